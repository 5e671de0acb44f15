"""How the cores of a machine are shared by trials."""

import os

_MEMORY_OF_A_JOB = 1.5e9
"""Bytes that a worker with PyTorch and a small set of pictures takes, about."""


def share_cores(trials: int, cores: int, *, jobs: int = 0, threads: int = 0, on_gpu: bool = False) -> tuple[int, int]:
    """Returns how many trials run at once, and the CPU threads of each: together never more than there are cores.

    One thread for each of many trials does more in all than many threads for one: measured with the `wide` networks
    at batch 4 on two cores, two trials with one thread each finish 1.1 to 1.9 times sooner than one after the other
    with two threads (docs/experiments.md).

    Args:
        trials: to run, at least 1.
        cores: of the machine.
        jobs: trials at once; 0 chooses: one on a GPU, else as many as cores and memory allow.
        threads: of each trial, where the recipe says; 0 shares the cores out.
        on_gpu: whether trials train on a GPU.

    Example:
        >>> share_cores(8, cores=2, jobs=2)
        (2, 1)
    """
    if not jobs:
        fitting = 1 if on_gpu else max(1, min(cores // max(1, threads), int(_free_memory() // _MEMORY_OF_A_JOB)))
        jobs = min(trials, fitting)
    jobs = max(1, min(jobs, trials))
    return jobs, threads or max(1, cores // jobs)


def _free_memory() -> float:
    """Returns the bytes that are free, or very many where the system does not tell."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 1e15
