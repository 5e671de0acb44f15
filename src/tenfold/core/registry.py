"""Registries of builders by name, and suggestions for mistyped names."""

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Generic, TypeVar

from tenfold.core.errors import TenfoldError

T = TypeVar("T")


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` for the choice closest to `name`, or an empty string if none is close.

    Args:
        name: the name that the user wrote.
        choices: the valid names.

    Example:
        >>> did_you_mean("tutoral", ["mlp", "tutorial"])
        "; did you mean 'tutorial'?"
    """
    matches = get_close_matches(name.lower(), list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{matches[0]}'?" if matches else ""


class Registry(Generic[T]):
    """Builders by name, in order of registration.

    Args:
        kind: singular noun for the entries, for error messages.
        error: class of the error for an unknown name.

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
        """Returns a decorator that registers an entry as `name`.

        Raises:
            ValueError: when `name` is already registered.
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
            TenfoldError: when there is none, as the registry's error class. The message lists the known names.
        """
        if name not in self._entries:
            raise self._error(f"unknown {self._kind} '{name}'{did_you_mean(name, self)} (known: {', '.join(self)})")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
