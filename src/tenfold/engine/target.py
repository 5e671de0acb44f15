"""Training to a target accuracy: the run ends at the first evaluation of the validation split that reaches it.

The run still plans its whole duration, so that learning rates fall as they would without a target.
"""

from collections.abc import Mapping
from typing import Any

from tenfold.core.text import plural
from tenfold.engine.state import State
from tenfold.recipes.schema import Recipe

_VAL_FRACTION = 0.1
_EVALUATE_EVERY = "0.1 epochs"


def settings_for_target(recipe: Recipe, *, evaluate_every_set: bool) -> dict[str, object]:
    """Returns the settings that a recipe with a target needs besides it: a validation split and its evaluations.

    Args:
        recipe: with or without a target.
        evaluate_every_set: whether the user set `train.evaluate_every`, which then stays.

    Returns:
        Values by dotted key; empty where nothing is missing. Data with a validation split of its own keeps it.
    """
    settings: dict[str, object] = {}
    if recipe.train.target and not recipe.data.val_fraction:
        settings["data.val_fraction"] = _VAL_FRACTION
    if recipe.train.target and not evaluate_every_set:
        settings["train.evaluate_every"] = _EVALUATE_EVERY
    return settings


def target_protocol(recipe: Recipe, num_val_images: int) -> str:
    """Returns one line for the user: what is evaluated when, and which time counts."""
    images = f"target: {_percent(recipe.train.target)} of {plural(num_val_images, 'validation image')}, evaluated"
    if recipe.train.layers == "head":
        return f"{images} once, when the head is fitted, never on the test split"
    return (
        f"{images} every {recipe.train.evaluate_every}, never on the test split; training time is that of the steps "
        "alone, without evaluations, checkpoints, warm-up and compilation; total time counts from the start of the "
        "command"
    )


def target_summary(target: float, state: State) -> dict[str, Any]:
    """Returns the part of `summary.json` about the target.

    Args:
        target: validation accuracy, in (0, 1).
        state: at the end of training, evaluated at least once.

    Returns:
        `accuracy`, the target; `reached`; `val_accuracy`, `step`, `epoch` and `training_seconds` (steps only, all
        sessions of a resumed run) of the best evaluation; `run_seconds`, the total time up to the evaluation that
        reached the target, else None.
    """
    best = state.best
    if best is None:
        raise ValueError("a run with a target is evaluated at least once")
    reached = best.accuracy >= target
    return {
        "accuracy": target,
        "reached": reached,
        "val_accuracy": best.accuracy,
        "step": best.step,
        "epoch": best.epoch,
        "training_seconds": next(row["time_s"] for row in state.rows if row["step"] == best.step),
        "run_seconds": round(state.times.total_seconds(), 3) if reached else None,
    }


def target_text(summary: Mapping[str, Any], layers: str) -> str:
    """Returns the outcome in one line.

    Args:
        summary: from `target_summary`.
        layers: that were trained, `train.layers`.
    """
    target, best = _percent(summary["accuracy"]), _percent(summary["val_accuracy"])
    if not summary["reached"]:
        advice = "more --epochs, or a recipe with a larger network (tenfold recipes)"
        if layers == "head":
            advice = "--recipe photo-tuned, which trains all layers after the head, or more training images"
        return f"target {target} not reached: best {best} {_when(summary, layers)}; try {advice}"
    return (
        f"target {target} reached: {best} {_when(summary, layers)}, "
        f"{summary['training_seconds']:.1f} s of training, "
        f"{summary['run_seconds']:.1f} s after the command's start, evaluations included"
    )


def _when(summary: Mapping[str, Any], layers: str) -> str:
    if layers == "head":
        return "with the fitted head"
    step, epoch = summary["step"], summary["epoch"]
    return f"after step {step:,} (epoch {epoch})" if step else "with the head alone, before the first step"


def _percent(fraction: float) -> str:
    """Returns a percentage with one or two decimals, as many as it needs: a target may be 0.9375."""
    return f"{fraction * 100:.2f}".removesuffix("0") + " %"
