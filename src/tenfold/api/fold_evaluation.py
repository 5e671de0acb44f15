"""How good a cross-validation was, as the evaluation of its final model: the figures are those of its folds."""

from math import nan

import torch

from tenfold.evaluate.metrics import Evaluation
from tenfold.report.read_study import read_study
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder


def cross_validation_of(final: RunFolder) -> SweepFolder | None:
    """Returns the cross-validation whose final model a run folder holds; None for another run."""
    folder = SweepFolder(final.path.parent)
    is_final = final.path == folder.final and SweepFolder.is_sweep(folder.path) and folder.out_of_fold.is_file()
    return folder if is_final else None


def out_of_fold_evaluation(folder: SweepFolder) -> Evaluation:
    """Returns the results of a cross-validation on all images, each predicted by a network not trained on it.

    Its file has the predicted classes alone, so there is no loss, and no figure that sorts images.

    Args:
        folder: with predictions out of fold.

    Raises:
        RunError: when a file is damaged.
    """
    found = read_study(folder).out_of_fold
    assert found is not None
    predictions = found.predictions
    return Evaluation(
        accuracy=found.accuracy,
        interval=found.interval,
        correct=predictions.num_correct,
        total=len(predictions),
        top5=None,
        loss=nan,
        confusion=torch.from_numpy(predictions.confusion),
        per_class=found.per_class,
        estimates={},  # their intervals are for one network
        folds=found.folds,
    )
