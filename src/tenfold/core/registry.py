"""Names for builders, and a helping hand for a mistyped name."""

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Generic, TypeVar

from tenfold.core.errors import TenfoldError

T = TypeVar("T")


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` for the choice closest to `name`, or an empty string.

    Args:
        name: what the user wrote.
        choices: the names that would have been accepted.

    Example:
        >>> did_you_mean("tutoral", ["mlp", "tutorial"])
        "; did you mean 'tutorial'?"
    """
    matches = get_close_matches(name.lower(), list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{matches[0]}'?" if matches else ""


class Registry(Generic[T]):
    """Builders by name, in the order in which they were added.

    Args:
        kind: what the entries are, in the singular; it appears in error messages.
        error: the error to raise for an unknown name.

    Example:
        >>> models = Registry("model", TenfoldError)
        >>> @models.add("tiny")
        ... def build_tiny(): return "a tiny model"
        >>> models.get("tiny")()
        'a tiny model'
    """

    def __init__(self, kind: str, error: type[TenfoldError]) -> None:
        self._kind = kind
        self._error = error
        self._entries: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that stores what it decorates under `name`.

        Raises:
            ValueError: when the name is taken.
        """

        def store(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self._kind} '{name}' is registered twice")
            self._entries[name] = entry
            return entry

        return store

    def get(self, name: str) -> T:
        """Returns the entry called `name`.

        Raises:
            TenfoldError: of the registry's own kind, with the names that exist.
        """
        if name not in self._entries:
            raise self._error(f"unknown {self._kind} '{name}'{did_you_mean(name, self)} (known: {', '.join(self)})")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
