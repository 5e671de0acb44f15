"""From a recipe's name or file, and the user's overrides, to a checked `Recipe` and back to TOML."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from tenfold.core.errors import RecipeError
from tenfold.core.registry import did_you_mean
from tenfold.recipes.messages import explain, field_at, is_section
from tenfold.recipes.schema import Recipe

Overrides = Sequence[str] | Mapping[str, object]

_LIBRARY = Path(__file__).parent / "library"
_FOR_TIMM = Path(__file__).parent / "timm.toml"


def recipe_names() -> tuple[str, ...]:
    """Returns the names of the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in _LIBRARY.glob("*.toml")))


def recipe_header(name: str) -> str:
    """Returns the comment block at the top of a shipped recipe, without its `#` marks.

    Args:
        name: a shipped recipe.

    Raises:
        RecipeError: when no shipped recipe has this name.

    Example:
        >>> recipe_header("mlp").splitlines()[0]
        'A multi-layer perceptron on raw pixels.'
    """
    if name not in recipe_names():
        raise RecipeError(_no_such_recipe(name))
    lines: list[str] = []
    for line in (_LIBRARY / f"{name}.toml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" ").rstrip())
    return "\n".join(lines)


def load_recipe(name_or_path: str | Path, overrides: Overrides = ()) -> Recipe:
    """Returns a shipped recipe, or the one in a file or run folder, with `overrides` laid over it.

    Args:
        name_or_path: a name of `recipe_names()`, a TOML file, a folder that holds `recipe.toml`, or `timm:<name>`
            for a network of timm.
        overrides: see `resolve`.

    Raises:
        RecipeError: when there is no such recipe, the file is no TOML, a key or value is refused, or timm is missing.

    Example:
        >>> load_recipe("tutorial", ["train.batch_size=8"]).train.batch_size
        8
    """
    if isinstance(name_or_path, str) and name_or_path.startswith("timm:"):
        return resolve(_for_timm(name_or_path), overrides, source=name_or_path)
    path = _locate(name_or_path)
    return resolve(_read(path), overrides, source=path.name if path.parent == _LIBRARY else str(path))


def resolve(base: Recipe | Mapping[str, object], overrides: Overrides = (), *, source: str = "recipe") -> Recipe:
    """Returns a checked recipe: an override beats the file, and the file beats the default.

    Args:
        base: a recipe, or the tables of a file.
        overrides: `"section.key=value"` lines, whose value is a TOML literal or else bare text; or a
            mapping from dotted keys, or from sections to tables, to values.
        source: what to call `base` in messages.

    Raises:
        RecipeError: in one line, when a key is unknown or a value is refused.

    Example:
        >>> resolve({"data": {"fit": "crop"}}, ["data.fit=pad", "data.image_size=[48,64]"]).data.image_size
        (48, 64)
    """
    tables = base.model_dump() if isinstance(base, Recipe) else _copied(base)
    given = _parsed(overrides) if not isinstance(overrides, Mapping) else dict(_flattened(overrides))
    mark = "overrides" if isinstance(overrides, Mapping) else "--set"
    for key, value in given.items():
        _lay(tables, key, value, mark)

    def origin(key: str) -> str:
        return mark if any(f"{given_key}.".startswith(f"{key}.") for given_key in given) else source

    try:
        return Recipe.model_validate(tables)
    except ValidationError as error:
        raise RecipeError(explain(error, Recipe, origin)) from error


def to_toml(recipe: Recipe) -> str:
    """Returns every key of `recipe` as TOML that loads again to an equal recipe."""
    return tomli_w.dumps(recipe.model_dump())


def _for_timm(name: str) -> dict[str, Any]:
    if find_spec("timm") is None:  # found out before any picture is prepared
        raise RecipeError(f"'{name}' needs timm, which is not installed; run: pip install 'tenfold[timm]'")
    return {**_read(_FOR_TIMM), "model": {"name": name}}


def _locate(name_or_path: str | Path) -> Path:
    """Returns the TOML file that is meant; a shipped name wins over a file of the same name."""
    if isinstance(name_or_path, str) and name_or_path in recipe_names():
        return _LIBRARY / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.is_dir():
        if (path / "recipe.toml").is_file():
            return path / "recipe.toml"
        raise RecipeError(f"{path} is a folder without recipe.toml; expected a TOML file or a run folder")
    looks_like_path = isinstance(name_or_path, Path) or path.suffix or len(path.parts) > 1
    if not path.exists() and looks_like_path:
        hint = did_you_mean(path.stem, recipe_names()) if len(path.parts) == 1 else ""
        raise RecipeError(f"no recipe file {path}{hint or '; check the path'}")
    if not path.exists():
        raise RecipeError(_no_such_recipe(str(name_or_path)))
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        raise RecipeError(f"{path} is no TOML; `tenfold recipes quick` prints a recipe to start from")
    return path


def _no_such_recipe(name: str) -> str:
    known = ", ".join(recipe_names())
    return f"unknown recipe '{name}'{did_you_mean(name, recipe_names())} (known: {known}, or a .toml file)"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no TOML: byte {error.start} is no UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is no TOML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{path} is no recipe: its arrays are nested too deeply") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}") from error


def _parsed(lines: Sequence[str]) -> dict[str, object]:
    """Returns `section.key=value` lines as dotted keys and values; a later line beats an earlier one.

    Raises:
        RecipeError: when a line has no `=` or no section.
    """
    values: dict[str, object] = {}
    for line in [lines] if isinstance(lines, str) else lines:
        key, equals, text = line.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise RecipeError(f"--set {' '.join(line.split())}: expected section.key=value, e.g. optim.lr=0.01")
        values.pop(key, None)
        values[key] = read_value(key, text.strip())
    return values


def read_value(key: str, text: str) -> object:
    """Returns a TOML literal's value, or the text itself where it is none or where a text is expected.

    Args:
        key: dotted, of a recipe.
        text: as a user writes it behind `--set key=`.
    """
    try:
        (value,) = tomllib.loads(f"value = {text}").values()
    except (ValueError, RecursionError):
        return text
    field = field_at(key, Recipe)
    # A folder may be called 2024, and still be a folder.
    return text if field is not None and field.annotation is str and not isinstance(value, str) else value


def _flattened(tables: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields dotted keys and values of nested or dotted tables."""
    for name, value in tables.items():
        key = f"{prefix}{name}"
        field = field_at(key, Recipe)
        if isinstance(value, Mapping) and (field is None or is_section(field.annotation)):
            yield from _flattened(value, f"{key}.")
        else:
            yield key, value


def _lay(tables: dict[str, Any], key: str, value: object, mark: str) -> None:
    """Writes one override into `tables`, making the tables on the way."""
    *sections, name = key.split(".")
    here = tables
    for section in sections:
        here = here.setdefault(section, {})
        if not isinstance(here, dict):
            raise RecipeError(f"{mark}: {section!r} holds a value, so {key!r} cannot be set")
    here[name] = value


def _copied(tables: Mapping[str, object]) -> dict[str, Any]:
    return {name: _copied(value) if isinstance(value, Mapping) else value for name, value in tables.items()}
