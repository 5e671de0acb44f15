"""A recipe as text with every key, which says what the recipe sets and what is a default."""

import json
from collections.abc import Iterator

from pydantic import BaseModel

from tenfold.models.build import default_arguments
from tenfold.recipes.schema import ModelSection, Recipe

_COMMENT_COLUMN = 40


def complete_toml(recipe: Recipe) -> str:
    """Returns a recipe as TOML with every key, also those of its network; keys that it does not set end in `# default`.

    The text loads as a recipe that trains the same.

    Args:
        recipe: as loaded; keys that it has from its file or from overrides count as set.

    Raises:
        RecipeError: when its network is unknown.

    Example:
        >>> from tenfold.recipes.load import load_recipe
        >>> [line for line in complete_toml(load_recipe("tutorial")).splitlines() if line.startswith("lr")]
        ['lr = 0.001']
    """
    return "\n".join(_section_lines("", recipe)).lstrip("\n") + "\n"


def _section_lines(name: str, section: BaseModel) -> Iterator[str]:
    """Yields the lines of a section, its own keys before the sections in it."""
    if name:
        yield from ("", f"[{name}]")
    values = section.model_dump()
    inner = {key: value for key in values if isinstance(value := getattr(section, key), BaseModel)}
    if isinstance(section, ModelSection):
        values = {"name": section.name, **default_arguments(section.name), **values}
    for key in [key for key in values if key not in inner]:
        if values[key] is None:  # TOML cannot say that
            yield f"{f'# {key} =':<{_COMMENT_COLUMN}} # default: no value"
            continue
        line = f"{key} = {_literal(values[key])}"
        yield line if key in section.model_fields_set else f"{line:<{_COMMENT_COLUMN}} # default"
    for key, value in inner.items():
        yield from _section_lines(f"{name}.{key}" if name else key, value)


def _literal(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(name)} = {_literal(item)}" for name, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)  # JSON's literals are TOML's for the other types
