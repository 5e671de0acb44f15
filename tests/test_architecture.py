"""The architecture as a test: which room imports which, and how large files and functions may get."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "tenfold"

# Each room may import from the layers above its own, never from another room of its own layer.
LAYERS = (
    ("core",),
    ("data", "models", "optim", "evaluate"),
    ("recipes",),
    ("runs",),
    ("engine",),
    ("inspect",),
    ("experiments.sweep", "experiments.compare", "experiments.budget", "experiments.bench", "report", "deploy"),
    ("api",),
    ("cli",),
)
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
FORBIDDEN_ROOMS = {("report", "engine"), ("deploy", "engine")}
ENTRY_POINTS = {
    "__init__": set(LAYER_OF) - {"cli"},
    "__main__": {"cli"},
}  # files outside of all rooms, and what they may import
OUTSIDE_ROOMS = ("__init__.py", "__main__.py", "experiments/__init__.py")
FORBIDDEN_MODULES = ("torchvision", "matplotlib.pyplot")
MAX_LINES, MAX_BODY_LINES = 300, 60

Sources = dict[str, str]  # path below the package → text


def read_sources(folder: Path) -> Sources:
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))}


def module_of(path: str) -> str:
    """Returns the dotted name of a file: `data/types.py` is `tenfold.data.types`."""
    parts = ["tenfold", *path.removesuffix(".py").split("/")]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """Returns the room of a module: `tenfold.data.types` is in `data`; the package itself is `__init__`."""
    parts = module.split(".")[1:]
    nested = ".".join(parts[:2])
    return nested if nested in LAYER_OF else parts[0] if parts else "__init__"


def imported(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Yields line and full name of everything a file imports, also inside functions and by `import_module`."""
    package = module_of(path).split(".")
    if not path.endswith("__init__.py"):
        package.pop()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and _called(node.func) in ("import_module", "__import__"):
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def edges(sources: Sources) -> Iterator[tuple[str, int, str]]:
    """Yields path, line and target of every import within the package; `from a import b` means a or a.b."""
    modules = {module_of(path) for path in sources}
    for path, text in sources.items():
        for line, name in imported(path, text):
            if name.split(".")[0] == "tenfold":
                while name not in modules and room_of(name) in LAYER_OF and name.count(".") > 1:
                    name = name.rpartition(".")[0]
                if name not in modules and room_of(name) not in LAYER_OF:
                    name = "tenfold"
                yield path, line, name


def wrong_imports(sources: Sources) -> Iterator[str]:
    for path, line, target in edges(sources):
        here, there = room_of(module_of(path)), room_of(target)
        if path in ("__init__.py", "__main__.py"):
            allowed = there in ENTRY_POINTS[path.removesuffix(".py")]
        elif here not in LAYER_OF or there not in LAYER_OF:
            allowed = False
        else:
            allowed = here == there or (LAYER_OF[there] < LAYER_OF[here] and (here, there) not in FORBIDDEN_ROOMS)
        if not allowed:
            yield f"{path}:{line} imports {target}: {here} must not import {there}"


def cycles(sources: Sources) -> Iterator[str]:
    """Yields one message for each module whose imports lead back to it."""
    graph: dict[str, set[str]] = {module_of(path): set() for path in sources}
    for path, _, target in edges(sources):
        graph[module_of(path)].add(target)
    for start in graph:
        reached, pending = set(), list(graph[start])
        while pending:
            module = pending.pop()
            if module not in reached:
                reached.add(module)
                pending += graph.get(module, ())
        if start in reached:
            yield f"{start} is part of an import cycle"


def foreign_modules(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        for line, name in imported(path, text):
            if any(f"{name}.".startswith(f"{module}.") for module in FORBIDDEN_MODULES):
                yield f"{path}:{line} imports {name}, which is forbidden"


def too_large(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        lines = len(text.splitlines())
        if lines > MAX_LINES:
            yield f"{path} has {lines} lines, more than {MAX_LINES}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MAX_BODY_LINES:
                yield f"{path}:{node.lineno} {node.name} has {body_lines(node)} lines, more than {MAX_BODY_LINES}"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Returns the lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def misplaced_files(sources: Sources) -> Iterator[str]:
    for path in sources:
        if path.split("/")[-1] in ("util.py", "utils.py"):
            yield f"{path}: a name without meaning; move each function to the module of its subject"
        if path not in OUTSIDE_ROOMS and room_of(module_of(path)) not in LAYER_OF:
            yield f"{path} is in no room"


CHECKS = (wrong_imports, cycles, foreign_modules, too_large, misplaced_files)


@pytest.mark.parametrize("check", CHECKS)
def test_the_source_follows_the_architecture(check):
    errors = list(check(read_sources(PACKAGE)))
    assert not errors, "\n".join(errors)


def test_the_source_is_read():
    assert "core/errors.py" in read_sources(PACKAGE)


@pytest.mark.parametrize(
    ("path", "text", "error"),
    [
        ("core/a.py", "import tenfold.data.types", "core must not import data"),
        ("core/a.py", "def f():\n    from tenfold.engine.loop import train", "a.py:2 imports tenfold.engine.loop"),
        ("data/a.py", "from tenfold.models import build", "data must not import models"),
        ("evaluate/a.py", "from tenfold import data", "evaluate must not import data"),
        ("evaluate/a.py", "from ..data.types import Split", "imports tenfold.data.types"),
        ("optim/a.py", "from .. import models", "optim must not import models"),
        ("report/a.py", "from tenfold.deploy.server import serve", "report must not import deploy"),
        ("report/a.py", "if True:\n    from tenfold.engine.loop import train", "report must not import engine"),
        ("deploy/a.py", "import tenfold.engine.loop", "deploy must not import engine"),
        ("experiments/sweep/a.py", "from tenfold.report import tables", "experiments.sweep must not import report"),
        ("experiments/sweep/a.py", "from tenfold.experiments.bench import x", "sweep must not import experiments"),
        ("engine/a.py", "from importlib import import_module\nimport_module('tenfold.cli.main')", "not import cli"),
        ("deploy/a.py", "from tenfold.api import train", "deploy must not import api"),
        ("api.py", "from tenfold.cli.main import run", "api must not import cli"),
        ("runs/a.py", "from tenfold import train", "runs must not import __init__"),
        ("runs/a.py", "import tenfold", "runs must not import __init__"),
        ("__init__.py", "from tenfold.cli.main import run", "__init__ must not import cli"),
        ("__main__.py", "from tenfold.api import train", "__main__ must not import api"),
        ("runs/a.py", "from tenfold.nowhere import x", "runs must not import"),
    ],
)  # fmt: skip
def test_a_planted_wrong_import_is_caught(path, text, error):
    sources = {
        "data/types.py": "",
        "data/__init__.py": "",
        "models/__init__.py": "",
        "engine/loop.py": "",
        "experiments/bench/x.py": "",
    }
    assert error in "\n".join(wrong_imports({**sources, "__init__.py": "", path: text}))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("core/a.py", "import os\nfrom tenfold.core.errors import DataError"),
        ("data/a.py", "from .types import Split\nfrom tenfold.core import durable"),
        ("recipes/a.py", "from tenfold.data import augment\nfrom tenfold.optim.muon import Muon"),
        ("experiments/sweep/a.py", "from tenfold.engine.loop import train"),
        ("report/a.py", "from tenfold.runs.run_folder import RunFolder"),
        ("api.py", "def f():\n    from tenfold.deploy.predictor import load"),
        ("cli/main.py", "from tenfold.engine.loop import train\nfrom tenfold import api"),
        ("__init__.py", "def __getattr__(name):\n    from tenfold import api"),
        ("__main__.py", "from tenfold.cli.main import run"),
    ],
)
def test_an_allowed_import_passes(path, text):
    assert not list(wrong_imports({"__init__.py": "", "api.py": "", "core/durable.py": "", path: text}))


def test_a_planted_cycle_is_caught_also_inside_functions_and_for_types():
    lazy = {"data/a.py": "import tenfold.data.b", "data/b.py": "def f():\n    from tenfold.data.c import x"}
    errors = list(
        cycles({**lazy, "data/c.py": "if TYPE_CHECKING:\n    from .a import y", "data/d.py": "from . import a"})
    )
    assert errors == [f"tenfold.data.{name} is part of an import cycle" for name in "abc"]
    assert not list(cycles({**lazy, "data/c.py": "", "data/d.py": "from . import a"}))


def test_a_package_importing_its_own_module_is_no_cycle():
    package = {"data/__init__.py": "from tenfold.data.a import x"}
    assert not list(cycles({**package, "data/a.py": ""}))
    assert len(list(cycles({**package, "data/a.py": "from tenfold.data import x"}))) == 2


def test_planted_foreign_modules_are_caught():
    text = "import torchvision.transforms\nfrom matplotlib import pyplot\nfrom matplotlib.figure import Figure"
    assert [error.split()[2] for error in foreign_modules({"data/a.py": text})] == [
        "torchvision.transforms,",
        "matplotlib.pyplot,",
    ]


def test_planted_long_files_and_functions_are_caught():
    assert not list(too_large({"core/a.py": "x = 1\n" * 300}))
    assert list(too_large({"core/a.py": "x = 1\n" * 301})) == ["core/a.py has 301 lines, more than 300"]
    head = 'async def f():\n    """One.\n\n    Two.\n    """\n'
    assert not list(too_large({"core/a.py": head + "    x = 1\n" * 60}))
    errors = list(too_large({"core/a.py": head + "    x = 1\n" * 61}))
    assert errors == ["core/a.py:1 f has 61 lines, more than 60"]


def test_planted_files_outside_of_rooms_are_caught():
    errors = list(
        misplaced_files({"data/utils.py": "", "helpers/a.py": "", "train.py": "", "api.py": "", "__init__.py": ""})
    )
    assert [error.split(":")[0].split(" ")[0] for error in errors] == ["data/utils.py", "helpers/a.py", "train.py"]
