"""Values of recipe keys and numbers of tables, as tables, charts and pages show them."""

from collections.abc import Mapping
from typing import Any

from tenfold.core.text import shortened

Row = Mapping[str, Any]
"""A row of a sweep's table."""

_MAX_VALUE_WIDTH = 24


def value_key(value: object) -> str:
    """Returns a dictionary key for any value, lists included; 1 and True differ."""
    return repr(value)


def value_text(value: object) -> str:
    """Returns a value of a recipe key as short text.

    Example:
        >>> [value_text(value) for value in (90, 0.0015, True, None, "muon", 1e-05, [64, 128])]
        ['90', '0.0015', 'true', 'none', 'muon', '1e-5', '64, 128']
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) < 10**9:
        return str(value)
    if isinstance(value, int | float):
        return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e+")
    if isinstance(value, list | tuple):
        return shortened(", ".join(map(value_text, value)), _MAX_VALUE_WIDTH)
    return shortened(str(value), _MAX_VALUE_WIDTH)


def as_number(value: object) -> float | None:
    """Returns a number that a chart can show, or None for anything else, such as True."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        return None
    return float(value)


def fraction_of(row: Row, column: str) -> float | None:
    """Returns the number in a column if it is in [0, 1], else None."""
    number = as_number(row.get(column))
    return number if number is not None and 0 <= number <= 1 else None
