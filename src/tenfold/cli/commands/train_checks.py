"""What `tenfold train` refuses: options that do not go together."""

from tenfold.core.errors import UsageError


def check_folds(others: dict[str, object]) -> None:
    """Raises UsageError if a flag was given that a cross-validation has no use for."""
    reasons = {
        "--seeds": "each fold is one run; cross-validate with another --seed instead",
        "--target": "a cross-validation has no time to a target",
        "--budget": "a budget plans a single run",
    }
    for name, value in others.items():
        if value is not None:
            raise UsageError(f"--folds and {name} were both given; {reasons[name]}, so leave one of them out")


def check_budget(budget: str, epochs: float | None, seeds: int | None) -> None:
    """Raises UsageError if the budget is not a time, or another flag sets what it plans."""
    from tenfold.experiments.budget.budget_plan import parse_budget

    parse_budget(budget)
    if epochs is not None or seeds is not None:
        flag, why = ("--epochs", "the training length") if epochs is not None else ("--seeds", "a single run")
        raise UsageError(f"--budget and {flag} were both given; --budget plans {why}, so leave one of them out")
