"""The cores of a CPU: one batch on each, instead of all of them on one batch."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Protocol, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class RunAll(Protocol):
    """A `map` that returns a list."""

    def __call__(self, compute: Callable[[T], R], batches: Iterable[T]) -> list[R]:
        """Returns what `compute` returns for each batch, in order."""
        ...


def in_turn(compute: Callable[[T], R], batches: Iterable[T]) -> list[R]:
    """Computes one batch after another."""
    return [compute(batch) for batch in batches]


_lock = Lock()
_num_users = 0
_num_threads = 1


@contextmanager
def one_core_each(device: torch.device) -> Iterator[RunAll]:
    """Yields a `map` that computes each batch on one core of a CPU, as many at once as PyTorch has threads.

    Results then have the same bits whatever the number of threads, and many cores are used well: the layers of one
    image are too small to share. On a GPU batches follow one another.

    Example:
        >>> with one_core_each(torch.device("cpu")) as run_all:
        ...     run_all(torch.zeros, [1, 2])
        [tensor([0.]), tensor([0., 0.])]
    """
    if device.type != "cpu":
        yield in_turn
        return
    num_threads = _enter()
    try:
        with ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield lambda compute, batches: list(pool.map(compute, batches))
    finally:
        _leave()  # after the pool: a thread of it may have begun just now


def _enter() -> int:
    """Returns the number of threads, which is 1 for new threads while batches are computed, and counts its users."""
    global _num_users, _num_threads
    with _lock:
        if not _num_users:
            _num_threads = torch.get_num_threads()
        _num_users += 1
        return _num_threads


def _leave() -> None:
    """Restores the number for threads that start later, after the last user; those of now have kept theirs."""
    global _num_users
    with _lock:
        _num_users -= 1
        if not _num_users:
            torch.set_num_threads(_num_threads)
