"""What `train` refuses: arguments that do not go together."""

from collections.abc import Collection

from tenfold.api.budget import refuse_beside_budget
from tenfold.core.errors import UsageError
from tenfold.core.world import World


def check_seeds(seeds: object, resplit: bool, **others: object) -> None:
    """Raises UsageError if an argument of a single run is given for several, or the other way round."""
    if resplit and seeds is None:
        raise UsageError("resplit was given without seeds; expected seeds=N, whose runs get their own splits")
    for name, value in others.items():
        if value is not None and seeds is not None:
            raise UsageError(f"seeds and {name} were both given; expected {name} for a single run only")


def check_folds(folds: object, **others: object) -> None:
    """Raises UsageError if an argument is given that a cross-validation has no use for."""
    for name, value in others.items():
        if value is not None and folds is not None:
            raise UsageError(
                f"folds and {name} were both given; a cross-validation has no use for {name}: leave it out"
            )


def refuse_to_plan(resume: object, model: object, user_keys: Collection[str]) -> None:
    """Raises UsageError if a budget cannot be planned."""
    if resume is not None:
        raise UsageError("--budget plans a whole run and cannot plan the rest of one; resume without it")
    if model is not None:
        raise UsageError("a budget plans the recipe's networks; for your own network, set train.duration in seconds")
    refuse_beside_budget(user_keys)


def refuse_in_several(world: World, **others: object) -> None:
    """Raises UsageError if something is asked of several processes that one process must do."""
    for name, value in others.items():
        if value is not None and world.is_several:
            raise UsageError(
                f"{name} was given to {world.size} processes that train one network together; expected one process: "
                "several runs share the cores and GPUs of a machine by themselves"
            )
