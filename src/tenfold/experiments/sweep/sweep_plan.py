"""What a sweep will do: decided and checked before anything is written."""

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from tenfold.core.errors import UsageError
from tenfold.experiments.sweep.distributions import check_space, parse_search
from tenfold.experiments.sweep.space import check_trials, expand_grid
from tenfold.experiments.sweep.values import parse_vary
from tenfold.recipes.load import key_of
from tenfold.recipes.schema import Recipe
from tenfold.runs.sweep_folder import Trial

T = TypeVar("T")

Kind = Literal["seeds", "folds", "grid", "search"]

FOLD_KEY = "data.fold"
"""The key in which the trials of a cross-validation differ."""

_NUM_SEARCH_TRIALS = 20
"""Default number of trials of a search."""

_WORKER_BYTES = 1.5e9
"""Approximate memory of a worker with PyTorch and a small dataset."""


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep will do; `sweep.json` holds it.

    Args:
        kind: several `seeds` of one recipe, the `folds` of a cross-validation, every combination of a `grid`, or a
            `search`.
        recipe: name of the base recipe.
        vary: values of a grid by dotted key.
        search: search space by dotted key, each range or choice as the user wrote it.
        seeds: of the runs of each combination.
        trials: total number of trials.
        overrides: the user's changes to the base recipe; they also apply to other recipes that are varied.
        storage: SQLAlchemy URL of the search's storage; None means a SQLite file in the sweep's folder.
        study: name of the study in that storage; sweeps with the same study search together.
        mark: identifies this sweep's trials in the study.
        prune: whether a search stops bad trials early.
        resplit: whether each seed draws splits of its own.
        folds: number of folds of a cross-validation, else 0.
        jobs: number of trials at the same time.
        threads: CPU threads of each trial.
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
    resplit: bool = False
    folds: int = 0
    jobs: int = 1
    threads: int = 1

    @property
    def keys(self) -> tuple[str, ...]:
        """The recipe keys in which trials differ."""
        return (*self.vary, *self.search)

    def to_json(self) -> dict[str, Any]:
        """Returns plain lists, numbers and strings."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SweepPlan":
        """Returns the plan from what `to_json` returned."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})


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
    resplit: bool = False,
) -> tuple[SweepPlan, list[Trial]]:
    """Returns the plan and the trials that are known from the start: all of a grid, none of a search.

    Args:
        base: recipe that all trials share.
        recipe: its name.
        vary: `"section.key=value,value"` each, or values by dotted key.
        search: `"section.key=log:1e-4..1"` each.
        overrides: the user's changes to the base recipe.
        seeds: number of seeds of each combination, counted from the recipe's own, or a list of seeds; None means one.
        trials: number of trials of a search; None means 20.
        storage: see `SweepPlan`.
        prune: see `SweepPlan`.
        resplit: see `SweepPlan`.

    Raises:
        UsageError: when arguments contradict each other.
        RecipeError: when a line cannot be read or a trial's recipe is invalid.
    """
    varied = dict(vary) if isinstance(vary, Mapping) else _by_key("--vary", map(parse_vary, vary))
    searched = _by_key("--search", map(parse_search, search))
    if varied and searched:
        raise UsageError("--vary tries every combination and --search chooses: use one of them, not both")
    if searched and seeds not in (None, 1):
        raise UsageError(
            "--seeds goes with --vary; a search runs each trial once: then train its best.toml with --seeds"
        )
    if resplit:
        _check_resplit(base, seeds, {**varied, **searched}, overrides)
    if trials is not None and not searched:
        raise UsageError("--trials is the length of a --search; a grid has as many trials as it has combinations")
    grid = [] if searched else expand_grid(base, varied, _seeds(base, seeds))
    check_trials(base, grid, overrides=overrides)
    check_space(base, searched)
    plan = SweepPlan(
        kind="search" if searched else "grid" if varied else "seeds",
        recipe=recipe,
        vary={key: list(values) for key, values in varied.items()},
        search={key: str(distribution) for key, distribution in searched.items()},
        seeds=sorted({trial.seed for trial in grid}) or [base.train.seed],
        trials=(trials or _NUM_SEARCH_TRIALS) if searched else len(grid),
        overrides=list(overrides),
        storage=storage,
        prune=prune,
        resplit=resplit,
    )
    return plan, grid


def plan_folds(base: Recipe, recipe: str, folds: int, overrides: Sequence[str] = ()) -> tuple[SweepPlan, list[Trial]]:
    """Returns the plan of a cross-validation and its trials, one for each fold.

    Args:
        base: recipe that all trials share.
        recipe: its name.
        folds: number of folds.
        overrides: the user's changes to the base recipe.

    Raises:
        UsageError: when there are fewer than two folds.
    """
    if folds < 2:
        raise UsageError(f"--folds is {folds}; expected 2 folds or more, such as --folds 5")
    seed = base.train.seed
    trials = [Trial(f"{n:03}-fold={n + 1}", {FOLD_KEY: n + 1}, seed, n) for n in range(folds)]
    plan = SweepPlan("folds", recipe, {}, {}, [seed], folds, overrides=list(overrides), folds=folds)
    return plan, trials


def final_trial(plan: SweepPlan) -> Trial:
    """Returns the trial that a cross-validation ends with: trained on all folds, tested on none."""
    return Trial("final", {FOLD_KEY: 0}, plan.seeds[0], plan.folds)


def _check_resplit(
    base: Recipe, seeds: int | Sequence[int] | None, varied: Mapping[str, object], overrides: Sequence[str]
) -> None:
    """Raises UsageError unless several seeds of one recipe may each draw their own splits."""
    if varied:
        raise UsageError(
            f"--resplit and {', '.join(varied)} were both given; settings are compared on one split: use one of them"
        )
    if len(_seeds(base, seeds)) < 2:
        raise UsageError("--resplit was given without several seeds; expected --seeds N with N of 2 or more")
    if any(key_of(line) == "data.split_seed" for line in overrides):
        raise UsageError("--resplit and data.split_seed were both given; --resplit uses the seed of each run")


def _seeds(base: Recipe, seeds: int | Sequence[int] | None) -> list[int]:
    """Returns the seeds as a list; it is empty if the user gave none."""
    if seeds is None:
        return []
    first = base.train.seed
    return list(range(first, first + seeds)) if isinstance(seeds, int) else list(seeds)


def _by_key(flag: str, pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    values_of: dict[str, T] = {}
    for key, values in pairs:
        if key in values_of:
            raise UsageError(f"{flag} {key} is given twice; write all its values after one {flag}")
        values_of[key] = values
    return values_of


def share_cores(trials: int, cores: int, *, jobs: int = 0, threads: int = 0, on_gpu: bool = False) -> tuple[int, int]:
    """Returns the number of trials at the same time and the CPU threads of each; together they fit the cores.

    Several trials with one thread each finish sooner than the same trials one by one with all threads: with the
    `wide` networks at batch size 4 on two cores, 1.1 to 1.9 times sooner (docs/experiments.md).

    Args:
        trials: number of trials to run, at least 1.
        cores: of the machine.
        jobs: number of trials at the same time; 0 means one on a GPU, else as many as cores and memory allow.
        threads: of each trial; 0 divides the cores among the trials.
        on_gpu: whether trials train on a GPU.

    Example:
        >>> share_cores(8, cores=2, jobs=2)
        (2, 1)
    """
    if not jobs:
        jobs = 1 if on_gpu else min(cores // max(1, threads), int(_available_memory() // _WORKER_BYTES))
    jobs = max(1, min(jobs, trials))
    return jobs, threads or max(1, cores // jobs)


def _available_memory() -> float:
    """Returns the memory that programs can still get, in bytes, or a very large number where it is unknown.

    Linux reports it apart from free memory, of which files that are kept for faster reading leave little.
    """
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 1e15
