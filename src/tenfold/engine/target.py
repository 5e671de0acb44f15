"""Training to a target: it ends at the first judgement of the validation pictures that reaches it.

The run still plans its whole duration, so that learning rates fall as they would without a target.
"""

from collections.abc import Mapping
from typing import Any

from tenfold.engine.state import State
from tenfold.recipes.schema import Recipe

_VALIDATION_SHARE = 0.1
_JUDGED_EVERY = "0.1 epochs"


def settings_for_target(recipe: Recipe, *, chose_when: bool) -> dict[str, object]:
    """Returns what a recipe with a target needs beside it: validation pictures, and a look at them now and then.

    Args:
        recipe: with or without a target.
        chose_when: whether somebody chose `train.evaluate_every`, which is then left alone.

    Returns:
        Values by dotted key; nothing where nothing is missing. Data that bring a validation split of their own keep it.
    """
    settings: dict[str, object] = {}
    if recipe.train.target and not recipe.data.val_fraction:
        settings["data.val_fraction"] = _VALIDATION_SHARE
    if recipe.train.target and not chose_when:
        settings["train.evaluate_every"] = _JUDGED_EVERY
    return settings


def target_protocol(recipe: Recipe, validation_pictures: int) -> str:
    """Returns what is judged, and what is timed and what is not, as a line for the user."""
    return (
        f"target: {percent(recipe.train.target)} of {validation_pictures:,} validation pictures, judged every "
        f"{recipe.train.evaluate_every} and never on the test split; training time is that of the steps alone, without "
        "judging, checkpoints, warm-up and compiling; the time in all holds everything from the command's start on"
    )


def target_summary(target: float, state: State, seconds: float) -> dict[str, Any]:
    """Returns what `summary.json` says of the target.

    Args:
        target: validation accuracy, in (0, 1).
        state: at the end of training, judged at least once.
        seconds: in all, up to the judgement that ended the run; they count as `total_seconds` does, see `conclude`.

    Returns:
        `accuracy` aimed at; whether it was `reached`; of the best judgement: `val_accuracy`, `step`, `epoch` and
        `training_seconds` (steps only, of all sessions of a resumed run); `run_seconds`, everything since the start
        included, of the judgement that reached the target, else None.
    """
    best = state.best
    if best is None:
        raise ValueError("a run with a target is judged at least once")
    reached = best.accuracy >= target
    return {
        "accuracy": target,
        "reached": reached,
        "val_accuracy": best.accuracy,
        "step": best.step,
        "epoch": best.epoch,
        "training_seconds": next(row["time_s"] for row in state.rows if row["step"] == best.step),
        "run_seconds": round(seconds, 3) if reached else None,
    }


def target_text(summary: Mapping[str, Any]) -> str:
    """Returns how it ended, in one line.

    Args:
        summary: what `target_summary` returned.
    """
    aim, best = percent(summary["accuracy"]), percent(summary["val_accuracy"])
    if not summary["reached"]:
        return (
            f"target {aim} not reached: {best} at best, after step {summary['step']:,} (epoch {summary['epoch']}); "
            "try more --epochs, or a recipe with a larger network (tenfold recipes)"
        )
    return (
        f"target {aim} reached: {best} after step {summary['step']:,} (epoch {summary['epoch']}), "
        f"{summary['training_seconds']:.1f} s of training, "
        f"{summary['run_seconds']:.1f} s after the command's start, judging included"
    )


def percent(share: float) -> str:
    """Returns a share with as many digits as it needs, at least one.

    Example:
        >>> percent(0.9), percent(0.94375)
        ('90.0 %', '94.38 %')
    """
    text = f"{share * 100:.2f}"
    return f"{text.removesuffix('0')} %"
