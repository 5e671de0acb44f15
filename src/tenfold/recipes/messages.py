"""Error messages for recipes: the validation errors of pydantic in one line."""

from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tenfold.core.registry import did_you_mean
from tenfold.recipes.durations import Duration

_TYPE_NAMES: Mapping[object, str] = {
    bool: "true or false",
    str: 'text, e.g. "…"',
    int: "a whole number",
    float: "a number",
    Duration: 'a duration such as "2 epochs", "500 steps" or "60 s"',
}
_LIMITS: tuple[tuple[type, str, str], ...] = (
    (Ge, "ge", "at least"),
    (Gt, "gt", "above"),
    (Le, "le", "at most"),
    (Lt, "lt", "below"),
)


def explain(error: ValidationError, root: type[BaseModel], origin: Callable[[str], str]) -> str:
    """Returns one line for all errors in `error`: key, found value, accepted values.

    Args:
        error: raised by pydantic for `root`.
        root: the model of the whole recipe.
        origin: returns the source of a dotted key: a file name or a flag.
    """
    messages: dict[str, str] = {}
    for details in error.errors(include_url=False):
        key = _key(details["loc"], root)
        messages.setdefault(key, f"{origin(key)}: {_message(key, details, root)}")
    return join_messages(messages.values())


def join_messages(messages: Iterable[str]) -> str:
    """Returns one message unchanged, and several numbered, in one line."""
    parts = list(messages)
    if len(parts) == 1:
        return parts[0]
    return f"{len(parts)} mistakes: " + "; ".join(f"({i}) {part}" for i, part in enumerate(parts, start=1))


def field_at(key: str, root: type[BaseModel]) -> FieldInfo | None:
    """Returns the field of a dotted key, or None if `root` has no such key."""
    *sections, name = key.split(".")
    model: Any = root
    for section in sections:
        field = model.model_fields.get(section)
        model = field.annotation if field else None
        if not is_section(model):
            return None
    found: FieldInfo | None = model.model_fields.get(name)
    return found


def is_section(annotation: object) -> bool:
    """Returns whether a key of this type is a table of keys."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def accepted(annotation: object, limits: Iterable[object] = ()) -> str:
    """Returns the values that a key of this type accepts, such as `a whole number of at least 1`.

    Args:
        annotation: type of the key.
        limits: the limits of the key: `Ge`, `Gt`, `Le` and `Lt`.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        nested = [m for a in arguments[1:] for m in (a.metadata if isinstance(a, FieldInfo) else [a])]
        return accepted(arguments[0], [*limits, *nested])
    if origin is Literal:
        return _either([f"'{choice}'" for choice in arguments])
    if origin in (Union, UnionType):
        return _either([accepted(choice) for choice in arguments])
    if origin is tuple:
        return f"[height, width], each {accepted(arguments[0])}"
    if is_section(annotation):
        return "a table of keys"
    return _TYPE_NAMES.get(annotation, str(annotation)) + _limits_text(limits)


def _limits_text(limits: Iterable[object]) -> str:
    """Returns the limits as text, such as ` of at least 0 and below 1` or ` from 8 to 1024`; empty without limits."""
    bounds = {
        attribute: getattr(limit, attribute)
        for limit in limits
        for kind, attribute, _ in _LIMITS
        if isinstance(limit, kind)
    }
    if set(bounds) == {"ge", "le"}:
        return f" from {bounds['ge']} to {bounds['le']}"
    known = [f"{words} {bounds[attribute]}" for _, attribute, words in _LIMITS if attribute in bounds]
    return (" of " if "ge" in bounds or "le" in bounds else " ") + " and ".join(known) if known else ""


def _either(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _key(location: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """Returns the dotted key of an error, without the union branches that pydantic appends."""
    parts: list[str] = []
    model: Any = root
    for part in location:
        parts.append(str(part))
        field = model.model_fields.get(part)
        if field is None or not is_section(field.annotation):
            break
        model = field.annotation
    return ".".join(parts)


def _message(key: str, details: ErrorDetails, root: type[BaseModel]) -> str:
    if details["type"] == "extra_forbidden":
        return _unknown(key, root)
    field = field_at(key, root)
    if details["type"] == "value_error" and (field is None or is_section(field.annotation)):
        return str(details["ctx"]["error"])
    if details["type"] == "value_error":
        return f"{key}: {details['ctx']['error']}"
    hint = ""
    if field is not None and isinstance(details["input"], str) and get_origin(field.annotation) is Literal:
        hint = did_you_mean(details["input"], map(str, get_args(field.annotation)))
    expected = accepted(field.annotation, field.metadata) if field else details["msg"]
    if details["type"] == "finite_number":
        expected = expected.replace("a number", "a finite number", 1)
    return f"{key} is {_value_text(details['input'])}; expected {expected}{hint}"


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _unknown(key: str, root: type[BaseModel]) -> str:
    """Returns the message for an unknown key or section, with a suggestion."""
    *sections, name = key.split(".")
    parent = field_at(".".join(sections), root) if sections else None
    model: Any = parent.annotation if parent else root
    known = list(model.model_fields)
    kind = "key" if sections else "section"
    hint = did_you_mean(name, known)
    if not hint and not sections:
        keys = [f"{section}.{name}" for section in known if field_at(f"{section}.{name}", root)]
        hint = f"; did you mean '{keys[0]}'?" if keys else ""
    return f"unknown {kind} {key!r}{hint} (known: {', '.join(known)})"
