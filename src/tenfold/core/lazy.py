"""Names that are imported when they are first used: a program does not pay for what it does not call."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def importing(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package whose names live in modules that are not imported yet (PEP 562).

    Args:
        package: its full name.
        homes: names by the module that they live in; `"evaluate as eval"` gives one another name.

    Example:
        >>> importing("tenfold.core", {"math": ["sqrt as root"]})("root")(9)
        3.0
    """
    found: dict[str, tuple[str, str]] = {}
    for home, names in homes.items():
        for name in names:
            inside, _, outside = name.partition(" as ")
            found[outside or inside] = (home, inside)

    def get(name: str) -> Any:
        if name not in found:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        home, inside = found[name]
        return getattr(import_module(home), inside)

    return get
