"""What a page says about its test figures: how often training used the test images, and whether they chose a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from tenfold.core.errors import TenfoldError
from tenfold.core.text import count
from tenfold.runs.log import read_log
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder

_TIMES = {2: "twice", 3: "three times", 4: "four times"}


def use_of_test_images(folder: RunFolder, summary: Mapping[str, Any]) -> str:
    """Returns how often training evaluated the test images, and whether they chose among runs; empty if unknown.

    Args:
        folder: of a finished run. Without `evaluations` in its summary, the log is counted.
        summary: its `summary.json`.
    """
    return " ".join(filter(None, (_evaluations_text(_evaluations(folder, summary)), _sweep_text(folder, summary))))


def _evaluations(folder: RunFolder, summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "evaluations" in summary:
        return list(summary["evaluations"] or [])
    try:
        return [event for event in read_log(folder.log) if event.get("event") == "finished"]
    except TenfoldError:
        return []  # unknown, so nothing is claimed


def _evaluations_text(evaluations: Sequence[Mapping[str, Any]]) -> str:
    if len(evaluations) < 2:
        return "The test images were used once, after training." * len(evaluations)
    epochs = [f"{one['epochs']:g}" if one.get("epochs") is not None else "" for one in evaluations]
    unit, ends = "epochs", epochs
    if "" in epochs or len(set(epochs)) < len(epochs):
        unit, ends = "steps", [count(one.get("step", 0)) for one in evaluations]
    times = _TIMES.get(len(ends), f"{len(ends)} times")
    return (
        f"The test images were evaluated {times}: after {', '.join(ends[:-1])} and {ends[-1]} {unit}. Whoever trained "
        "on could see the earlier result, so this figure is not from untouched images."
    )


def _sweep_text(folder: RunFolder, summary: Mapping[str, Any]) -> str:
    """Returns a sentence for a trial of a sweep whose settings are compared by their test accuracy."""
    sweep = folder.path.absolute().parent.parent
    is_trial = folder.path.absolute().parent.name == "trials" and SweepFolder.is_sweep(sweep)
    if not is_trial or summary.get("val_accuracy") is not None:
        return ""
    try:
        is_choice = SweepFolder.open(sweep).plan().get("kind") != "seeds"
    except TenfoldError:
        return ""
    if not is_choice:
        return ""
    return (
        f"This run is one of the sweep {sweep.name}, which compares its settings on these test images: the accuracy of "
        "the best one is optimistic."
    )
