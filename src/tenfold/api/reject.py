"""When a classifier should rather say nothing: the confidence below which its answers are too often wrong."""

from typing import NamedTuple

from tenfold.api.runs import RunSource, path_of
from tenfold.core.errors import RunError, UsageError
from tenfold.core.text import percent, plural
from tenfold.evaluate.calibration import best_coverage, reject_curve
from tenfold.evaluate.intervals import wilson
from tenfold.runs.run_folder import RunFolder


class RejectThreshold(NamedTuple):
    """A confidence threshold, and what it does on the images that it was read off.

    Args:
        probability: answers below it are unsure.
        split: `validation` or `test`, whose predictions it was read off.
        total: number of images of that split.
        accepted: number of them at or above the threshold.
        wrong: number of the accepted ones that were predicted wrongly.
    """

    probability: float
    split: str
    total: int
    accepted: int
    wrong: int

    def __str__(self) -> str:
        low, high = wilson(self.wrong, self.accepted)
        are = "is" if self.accepted == 1 else "are"
        found = f"{self.accepted:,} of {plural(self.total, f'{self.split} image')} {are} at or above it"
        wrong = f"{percent(self.wrong / self.accepted)} of these wrong (95 % interval {100 * low:.1f}–{percent(high)})"
        return f"unsure below {percent(self.probability)}: {found}, {wrong}; on new images it varies"


def reject_threshold(source: RunSource, max_errors: float) -> RejectThreshold:
    """Returns the lowest threshold above which at most a fraction of a run's predictions is wrong.

    It is read off the validation images, which other choices used already, or off the test images where there are none.

    Args:
        source: a finished run, or its folder.
        max_errors: fraction of wrong answers among those that are not unsure, in (0, 1).

    Raises:
        UsageError: when `source` is a model file, which has no predictions.
        RunError: when the run has no predictions, or no threshold keeps to the fraction.
    """
    path = path_of(source, "run")
    if not path.is_dir():
        raise UsageError(
            f"{path} has no predictions to read a threshold off; name its run folder, or use --reject-below"
        )
    folder = RunFolder.open(path)
    if not folder.predictions.is_file() and not folder.val_predictions.is_file():
        raise RunError(
            f"{folder.path} has no predictions to read a threshold off, as it has no test images or is not finished; "
            "use --reject-below"
        )
    split = "val" if folder.val_predictions.is_file() else "test"
    rows = folder.read_predictions(split)
    confidences = [row.probability if row.calibrated is None else row.calibrated for row in rows]
    correct = [row.true == row.predicted for row in rows]
    found = best_coverage(reject_curve(confidences, correct), max_errors)
    name = "validation" if split == "val" else "test"
    if found is None:
        raise RunError(
            f"no probability keeps the errors of {folder.path} at {percent(max_errors)} of the answers on its "
            f"{plural(len(rows), f'{name} image')}; allow more, or train longer"
        )
    kept = [is_right for confidence, is_right in zip(confidences, correct, strict=True) if confidence >= found[0]]
    return RejectThreshold(found[0], name, len(rows), len(kept), len(kept) - sum(kept))
