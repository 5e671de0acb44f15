"""`make` finds a Python to set up with. All Pythons here are shell scripts; nothing is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FILES = ("Makefile", "pyproject.toml", "constraints.txt", ".ci/find-python")

PYTHON = """#!/bin/sh
echo "$0 $*" >> calls
case "$*" in
    *version_info*) echo {version} ;;
    *ensurepip*) exit {venv_rc} ;;
    "-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
esac
"""
SHIM = '#!/bin/sh\necho "pyenv: $0: command not found" >&2\nexit 127\n'

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None, reason="no make; install it (Debian: apt-get install make)"
)


def python(version: str, *, has_venv: bool = True) -> str:
    return PYTHON.format(version=version, venv_rc=int(not has_venv))


def checkout(folder: Path, **pythons: str) -> Path:
    """Returns a folder with the set-up files, and with these executables in its `bin`."""
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / "bin").mkdir()
    for name, text in pythons.items():
        write_executable(folder / "bin" / name, text)
    return folder


def write_executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs make with no other programs on its PATH than those of `folder / "bin"` and the ones its recipes call."""
    for name in ("sh", "echo", "mkdir", "cp", "touch"):
        if not (folder / "bin" / name).exists():
            (folder / "bin" / name).symlink_to(shutil.which(name) or name)
    program = shutil.which("make") or "make"
    environment = {"PATH": str(folder / "bin")}
    return subprocess.run(
        [program, "-s", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"python3.13": python("3.13"), "python3.12": python("3.12"), "python3.11": python("3.11")}, "python3.13"),
        ({"python3.13": SHIM, "python3.12": python("3.12"), "python3": python("3.11")}, "python3.12"),
        ({"python3.13": SHIM, "python3.12": SHIM, "python3.11": python("3.11")}, "python3.11"),
        ({"python3.12": python("3.12", has_venv=False), "python3.11": python("3.11")}, "python3.11"),
        ({"python3.11": SHIM, "python3": python("3.14")}, "python3"),
    ],
)
def test_the_newest_python_that_runs_is_chosen(tmp_path: Path, pythons: dict[str, str], chosen: str) -> None:
    done = make(checkout(tmp_path, **pythons), "python")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{chosen}\n", "")


def test_a_named_python_is_taken(tmp_path: Path) -> None:
    folder = checkout(tmp_path, **{"python3.13": python("3.13"), "mine": python("3.11")})
    assert make(folder, "python", "PYTHON=mine").stdout == "mine\n"


@pytest.mark.parametrize(
    ("pythons", "found"),
    [
        ({"python3.13": SHIM}, r"none of python3.13 python3.12 python3.11 python3"),
        ({"python3.13": SHIM, "python3": python("3.9")}, "python3 (3.9)"),
        ({"python3.12": python("3.12", has_venv=False), "python3": python("2.7")},
         "python3.12 (3.12 without venv), python3 (2.7)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["python", "run", "test"])
def test_a_machine_without_python_gets_one_clear_line(
    tmp_path: Path, pythons: dict[str, str], found: str, target: str
) -> None:
    done = make(checkout(tmp_path, **pythons), target)
    line, makes_own, *rest = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"found {found}, expected Python 3.11 or newer with its venv module; install one ")
    assert line.endswith("or name it: make PYTHON=/path/to/python")
    assert makes_own.startswith("make: ***")
    assert not rest
    assert not (tmp_path / ".venv").exists()


def test_a_new_venv_is_made_with_the_chosen_python(tmp_path: Path) -> None:
    folder = checkout(tmp_path, **{"python3.13": SHIM, "python3.12": python("3.12")})
    done = make(folder, "install")
    assert (done.returncode, done.stderr) == (0, "")
    calls = (folder / "calls").read_text(encoding="utf-8")
    assert f"{folder}/bin/python3.12 -m venv .venv\n" in calls
    assert "-c constraints.txt torch==" in calls
    assert "-c constraints.txt -e .[dev]\n" in calls


def test_a_venv_that_exists_keeps_its_python(tmp_path: Path) -> None:
    folder = checkout(tmp_path, **{"python3.13": python("3.13")})
    write_executable(folder / ".venv/bin/python", python("3.11"))
    assert make(folder, "install").returncode == 0
    calls = (folder / "calls").read_text(encoding="utf-8").splitlines()
    assert len(calls) == 2
    assert all(call.startswith(".venv/bin/python -m pip install ") for call in calls)


def test_help_lists_every_target(tmp_path: Path) -> None:
    done = make(checkout(tmp_path), "help")
    text = (tmp_path / "Makefile").read_text(encoding="utf-8")
    (phony,) = (line for line in text.splitlines() if line.startswith(".PHONY: "))
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert listed == set(phony.split()[1:]) - {"help"}
