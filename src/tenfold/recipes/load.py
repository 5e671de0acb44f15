"""Loads recipes by name or from files, applies overrides, and writes recipes as TOML."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from tenfold.core.errors import RecipeError, SettingError
from tenfold.core.registry import did_you_mean
from tenfold.recipes.messages import explain, field_at, is_section
from tenfold.recipes.schema import Recipe

AUTO = "auto"
"""Name of the recipe that is one of two others, by the size of the images; see `recipes/auto.py`."""

Overrides = Sequence[str] | Mapping[str, object]

_LIBRARY = Path(__file__).parent / "library"
_TIMM_RECIPE = Path(__file__).parent / "timm.toml"


def recipe_names() -> tuple[str, ...]:
    """Returns the names of the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in _LIBRARY.glob("*.toml")))


def recipe_header(name: str) -> str:
    """Returns the comment at the top of a shipped recipe, without the `#` characters.

    Args:
        name: name of a shipped recipe.

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
    """Returns a shipped recipe, or one from a file or run folder, with `overrides` applied.

    Args:
        name_or_path: a name from `recipe_names()`, a TOML file, a folder with a `recipe.toml`, or `timm:<name>`
            for a timm network.
        overrides: see `resolve`.

    Raises:
        RecipeError: when there is no such recipe, the file is not TOML, a key or value is invalid, or timm is missing.

    Example:
        >>> load_recipe("tutorial", ["train.batch_size=8"]).train.batch_size
        8
    """
    if isinstance(name_or_path, str) and name_or_path.startswith("timm:"):
        return resolve(_timm_recipe(name_or_path), overrides, source=name_or_path)
    if not isinstance(name_or_path, str | Path):
        raise RecipeError(f"recipe is {name_or_path!r}; expected a shipped recipe's name, a TOML file or a run folder")
    path = _locate(name_or_path)
    return resolve(_read(path), overrides, source=path.name if path.parent == _LIBRARY else str(path))


def resolve(base: Recipe | Mapping[str, object], overrides: Overrides = (), *, source: str = "recipe") -> Recipe:
    """Returns a validated recipe. Overrides take precedence over the file, the file over the defaults.

    An override of `train.duration` sets `train.min_steps` to 0, and one of the weights that a network starts from sets
    `data.normalize` to theirs, unless another one sets that too.

    Args:
        base: a recipe, or the tables of a TOML file.
        overrides: lines `"section.key=value"`, where the value is a TOML literal or plain text; or a mapping from
            dotted keys to values, or from sections to tables.
        source: name of `base` in messages.

    Raises:
        RecipeError: when a key is unknown or a value is invalid; the message is one line.

    Example:
        >>> resolve({"data": {"fit": "crop"}}, ["data.fit=pad", "data.image_size=[48,64]"]).data.image_size
        (48, 64)
    """
    tables = base.model_dump() if isinstance(base, Recipe) else _deep_copy(base)
    values = dict(_flatten(overrides)) if isinstance(overrides, Mapping) else _parse_lines(overrides)
    flag = "overrides" if isinstance(overrides, Mapping) else "--set"
    if "train.duration" in values and tables.get("train", {}).get("min_steps"):
        values = {"train.min_steps": 0, **values}  # a length that the user sets wins over the recipe's minimum
    if values.get("model.pretrained") or values.get("model.weights"):
        values = {
            "data.normalize": "weights",
            "model.weights_sha256": "",
            **values,
        }  # recipes normalize for training from scratch
    for key, value in values.items():
        _set_value(tables, key, value, flag)

    def origin(key: str) -> str:
        return flag if any(f"{override}.".startswith(f"{key}.") for override in values) else source

    try:
        return Recipe.model_validate(tables)
    except ValidationError as error:
        raise RecipeError(explain(error, Recipe, origin)) from error


def to_toml(recipe: Recipe) -> str:
    """Returns all keys of `recipe` as TOML, which loads as an equal recipe."""
    return tomli_w.dumps(recipe.model_dump())


def _timm_recipe(name: str) -> dict[str, Any]:
    if find_spec("timm") is None:  # an error before any data is prepared
        raise RecipeError(f"'{name}' needs timm, which is not installed; run: pip install -e '.[timm]'")
    return {**_read(_TIMM_RECIPE), "model": {"name": name}}


def _locate(name_or_path: str | Path) -> Path:
    """Returns the TOML file of a recipe. A shipped recipe takes precedence over a file with its name."""
    if isinstance(name_or_path, str) and name_or_path in recipe_names():
        return _LIBRARY / f"{name_or_path}.toml"
    if name_or_path == AUTO:
        raise RecipeError(
            "recipe 'auto' is quick or photo, by the size of the images that are trained on; expected one of them here"
        )
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
        raise RecipeError(f"{path} is not TOML; `tenfold recipes quick` prints a recipe to start from")
    return path


def _no_such_recipe(name: str) -> str:
    names = (AUTO, *recipe_names())
    known = ", ".join(names)
    return f"unknown recipe '{name}'{did_you_mean(name, names)} (known: {known}, or a .toml file)"


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not TOML: byte {error.start} is not valid UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise RecipeError(f"{path} is not a recipe: its arrays are nested too deeply") from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}") from error


def key_of(line: str) -> str:
    """Returns the dotted key of a line `section.key=value`."""
    return line.partition("=")[0].strip()


def _parse_lines(lines: Sequence[str]) -> dict[str, object]:
    """Returns lines `section.key=value` as dotted keys and values. Of two lines for a key the last one counts.

    Raises:
        RecipeError: when a line has no `=` or no section.
    """
    values: dict[str, object] = {}
    for line in [lines] if isinstance(lines, str) else lines:
        key, equals, text = line.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise SettingError(f"--set {' '.join(line.split())}: expected section.key=value, e.g. optim.lr=0.01")
        values.pop(key, None)
        values[key] = parse_value(key, text.strip())
    return values


def parse_value(key: str, text: str) -> object:
    """Returns the value of a TOML literal, or the text itself if it is not a literal or the key expects text.

    Args:
        key: dotted key of a recipe.
        text: the value, as in `--set key=value`.
    """
    try:
        (value,) = tomllib.loads(f"value = {text}").values()
    except (ValueError, RecursionError):
        return text
    field = field_at(key, Recipe)
    # For a text key, "2024" is a folder name and not a number.
    return text if field is not None and field.annotation is str and not isinstance(value, str) else value


def _flatten(tables: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields dotted keys and values of nested tables."""
    for name, value in tables.items():
        key = f"{prefix}{name}"
        field = field_at(key, Recipe)
        if isinstance(value, Mapping) and (field is None or is_section(field.annotation)):
            yield from _flatten(value, f"{key}.")
        else:
            yield key, value


def _set_value(tables: dict[str, Any], key: str, value: object, flag: str) -> None:
    """Sets one override in `tables`, creating missing tables."""
    *sections, name = key.split(".")
    table = tables
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"{flag}: {section!r} is a value, so {key!r} cannot be set")
    table[name] = value


def _deep_copy(tables: Mapping[str, object]) -> dict[str, Any]:
    return {name: _deep_copy(value) if isinstance(value, Mapping) else value for name, value in tables.items()}
