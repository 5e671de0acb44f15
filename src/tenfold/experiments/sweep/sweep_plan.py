"""What a sweep is to do: decided and checked before anything is written."""

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from tenfold.core.errors import UsageError
from tenfold.experiments.sweep.distributions import check_space, parse_search
from tenfold.experiments.sweep.space import check_all, expand
from tenfold.experiments.sweep.values import parse_vary
from tenfold.recipes.schema import Recipe
from tenfold.runs.sweep_folder import Trial

T = TypeVar("T")

Kind = Literal["seeds", "grid", "search"]

_TRIALS = 20
"""Length of a search that nobody gave one."""


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is to do; `sweep.json` holds it.

    Args:
        kind: several `seeds` of one recipe, every combination of a `grid`, or a `search`.
        recipe: name of the base recipe.
        vary: values by dotted key.
        search: what a search may choose from, as the user wrote it, by dotted key.
        seeds: of each combination's runs.
        trials: in all.
        overrides: what the user changed in the base recipe, for other recipes that are varied.
        storage: SQLAlchemy URL of a search's storage; None for a SQLite file in the sweep's folder.
        study: name of the study in that storage; sweeps that share one search together.
        mark: tells this sweep's trials in the study from those of others.
        prune: whether a search gives up trials that fall behind.
        jobs: trials at once.
        threads: CPU threads of each.
    """

    kind: Kind
    recipe: str
    vary: Mapping[str, Sequence[Any]]
    search: Mapping[str, str]
    seeds: Sequence[int]
    trials: int
    overrides: Sequence[str] = ()
    storage: str | None = None
    study: str = "search"
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    prune: bool = True
    jobs: int = 1
    threads: int = 1

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the recipe in which trials differ."""
        return (*self.vary, *self.search)

    def to_json(self) -> dict[str, Any]:
        """Returns plain lists, numbers and text."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SweepPlan":
        """Returns the plan that `to_json` described."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


def plan_sweep(
    base: Recipe,
    recipe: str,
    vary: Sequence[str] | Mapping[str, Sequence[Any]],
    search: Sequence[str],
    *,
    overrides: Sequence[str] = (),
    seeds: int | Sequence[int] | None = None,
    trials: int | None = None,
    storage: str | None = None,
    prune: bool = True,
) -> tuple[SweepPlan, list[Trial]]:
    """Returns the plan, and the trials that are known from the start: all of a grid, none of a search.

    Args:
        base: recipe that all trials share.
        recipe: its name.
        vary: `"section.key=value,value"` each, or values by dotted key.
        search: `"section.key=log:1e-4..1"` each.
        overrides: what the user changed in the base recipe.
        seeds: how many of each combination, from the recipe's own seed on, or which; one where None.
        trials: of a search; 20 where None.
        storage: see `SweepPlan`.
        prune: see `SweepPlan`.

    Raises:
        UsageError: when what is asked for does not go together.
        RecipeError: when a line cannot be read, or a trial's recipe is refused.
    """
    varied = dict(vary) if isinstance(vary, Mapping) else _by_key("--vary", map(parse_vary, vary))
    searched = _by_key("--search", map(parse_search, search))
    if varied and searched:
        raise UsageError("--vary tries every combination and --search chooses: use one of them, not both")
    if searched and seeds not in (None, 1):
        raise UsageError(
            "--seeds goes with --vary; a search runs each trial once: then train its best.toml with --seeds"
        )
    if trials is not None and not searched:
        raise UsageError("--trials is the length of a --search; a grid has as many trials as it has combinations")
    listed = [] if searched else expand(base, varied, _seeds(base, seeds))
    check_all(base, listed, overrides=overrides)
    check_space(base, searched)
    plan = SweepPlan(
        kind="search" if searched else "grid" if varied else "seeds",
        recipe=recipe,
        vary={key: list(values) for key, values in varied.items()},
        search={key: str(distribution) for key, distribution in searched.items()},
        seeds=sorted({trial.seed for trial in listed}) or [base.train.seed],
        trials=(trials or _TRIALS) if searched else len(listed),
        overrides=list(overrides),
        storage=storage,
        prune=prune,
    )
    return plan, listed


def _seeds(base: Recipe, seeds: int | Sequence[int] | None) -> list[int]:
    """Returns the seeds, or none where the grid itself gives them."""
    if seeds is None:
        return []
    first = base.train.seed
    return list(range(first, first + seeds)) if isinstance(seeds, int) else list(seeds)


def _by_key(flag: str, pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for key, values in pairs:
        if key in found:
            raise UsageError(f"{flag} {key} is given twice; write all of its values behind one {flag}")
        found[key] = values
    return found


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
