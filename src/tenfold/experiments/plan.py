"""What a sweep is to do: decided and checked before anything is written."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from tenfold.core.errors import UsageError
from tenfold.experiments.distributions import check_space, parse_search
from tenfold.experiments.space import check_all, expand
from tenfold.experiments.values import parse_vary
from tenfold.recipes.schema import Recipe
from tenfold.runs.sweepfolder import Trial

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
