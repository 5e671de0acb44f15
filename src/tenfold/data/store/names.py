"""Names of the images of a split that are read from the store when one is asked for."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray


class LazyNames(Sequence[str]):
    """A sequence of names that are read from a file once the first of them is needed.

    Reading the paths of a million images takes longer than opening a store may, and training needs none of them.

    Args:
        count: number of names.
        load: returns the names.
    """

    def __init__(self, count: int, load: Callable[[], Sequence[str]]) -> None:
        self._count = count
        self._load = load

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._names[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._names == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._names)

    def __reduce__(self) -> tuple[type[tuple[str, ...]], tuple[tuple[str, ...]]]:
        return tuple, (self._names,)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self._load())


def chosen_names(names: Sequence[str] | None, indices: NDArray[np.int64]) -> Sequence[str] | None:
    """Returns the names at `indices`, int64 [M]; names that are not read yet are not read."""
    if isinstance(names, LazyNames):
        return LazyNames(len(indices), lambda: [names[index] for index in indices.tolist()])
    return None if names is None else tuple(names[index] for index in indices)
