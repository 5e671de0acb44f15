"""The end of a run: one evaluation on the test split, written to the run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from torch import Tensor

from tenfold.data.draw import group_counts
from tenfold.data.types import Dataset, Leak, Split
from tenfold.engine.calibrate import fit_calibration
from tenfold.engine.changes import recipe_changes
from tenfold.engine.head_first import FITTED, HEAD_THEN_ALL, outcome
from tenfold.engine.loop import Trained
from tenfold.engine.plan import Plan, make_plan
from tenfold.engine.state import Best
from tenfold.engine.target import target_summary
from tenfold.evaluate.intervals import wilson
from tenfold.evaluate.metrics import Evaluation
from tenfold.recipes.schema import Recipe
from tenfold.runs.changes import Change
from tenfold.runs.log import read_log
from tenfold.runs.tables import PredictionRow

_CLIPPED_IMAGES, _CLIPPED_BYTES = 1000, 32 * 1024**2
"""Number of training images that are checked for clipped colors, and the memory they may use."""


def conclude(trained: Trained, near_duplicates: Leak | None = None) -> dict[str, Any]:
    """Evaluates the best model on the test split: the last one where no validation split selected another.

    Args:
        trained: the end of training; its model holds the last weights, afterwards those evaluated.
        near_duplicates: see `run`.

    Returns:
        The content of `summary.json`; empty except on rank 0. `training_seconds` is the time of the steps alone, over
        all sessions of a resumed run; `loading_seconds` the part of it that the host spent on gathering and augmenting
        images; `compile_seconds` the time to prepare the step. `total_seconds` is the time of all `sessions`: of one
        that ended here, from the start of the process for `tenfold train`, from the call in Python or from the start of
        the trial in a sweep; of one that was killed, up to its last checkpoint. `batch_size` is the one used. `changes`
        lists what was not used as given, `evaluations` every time that training evaluated the test split. `head` says
        how a head was fitted, and with `train.layers = "head-then-all"` what all layers brought; see `outcome`.

    Raises:
        StorageError: when the disk refuses; the last model is saved before.
    """
    setup, state = trained.setup, trained.state
    recipe, folder, dataset, classifier = setup.recipe, setup.folder, setup.dataset, setup.classifier
    plan = make_plan(recipe, dataset)
    target = target_summary(recipe.train.target, state) if recipe.train.target else None
    setup.save_model(folder.last, {"steps": state.step}, None)
    if state.best is not None:
        classifier.load_weights(folder.best)
    logits, plain_logits = classifier.tta_logits(dataset.test.images)
    evaluation = classifier.evaluate_tta_logits(dataset.test.labels, logits, plain_logits)
    val_logits = None if dataset.val is None else classifier.logits(dataset.val.images)
    calibration = fit_calibration(setup, state.step, val_logits, trained.head)
    if not setup.processes.is_main:
        return {}
    temperature = None if calibration is None else calibration["temperature"]
    if dataset.val is not None and val_logits is not None:
        folder.write_predictions(predictions(dataset.val, val_logits, dataset.classes, temperature), "val")
    folder.write_predictions(predictions(dataset.test, logits, dataset.classes, temperature))
    setup.log.write("finished", step=state.step, epochs=plan.epoch_of(state.step), test_accuracy=evaluation.accuracy)
    events = read_log(folder.log)
    summary = {
        **_headline(evaluation),
        "model": "last" if state.best is None else "best",
        "val_accuracy": None if state.best is None else state.best.accuracy,
        "monitored": _monitored(recipe.train.monitor, state.best),
        "best_epoch": None if state.best is None else state.best.epoch,
        "target": target,
        "steps": state.step,
        "epochs": state.rows[-1]["epoch"],
        "batch_size": plan.batch_size,
        "training_seconds": round(state.times.training_seconds(), 3),
        "loading_seconds": round(state.times.loading_seconds, 3),
        "compile_seconds": round(state.times.compile_seconds, 3),
        "total_seconds": round(state.times.total_seconds(), 3),
        "sessions": sum(entry["event"] in ("started", "resumed") for entry in events),
        "parameters": sum(weight.numel() for weight in classifier.model.parameters()),
        "dataset": {**_dataset_summary(dataset), "groups": _groups(recipe, dataset)},
        "hardware": str(setup.hardware),
        "processes": setup.processes.world.size,
        "changes": [*map(asdict, recipe_changes(recipe, dataset)), *_logged_changes(events)],
        "evaluations": _evaluations(events, plan),
        "calibration": calibration,
        "head": _head(trained, events),
        "near_duplicates": _near_duplicates(dataset, near_duplicates, logits),
        "evaluation": evaluation.to_json(),
    }
    evaluated = folder.last if state.best is None else folder.best
    setup.save_model(evaluated, {**_headline(evaluation), "steps": state.step}, temperature)
    folder.write_summary(summary)
    return summary


def _head(trained: Trained, events: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns how a head was fitted; where all layers were trained afterwards, also what they brought."""
    if trained.setup.recipe.train.layers != HEAD_THEN_ALL:
        return None if trained.head is None else trained.head.to_json()
    fitted = [{key: entry[key] for key in ("l2", "chosen", "seconds")} for entry in events if entry["event"] == FITTED]
    return {**(fitted[-1] if fitted else {}), **outcome(trained.state)}


def _monitored(monitor: str, best: Best | None) -> dict[str, Any] | None:
    """Returns the name of the figure that chose the best model, and its value on the validation split."""
    if best is None:
        return None
    return {"figure": monitor, "value": -best.score if monitor == "loss" else best.score}


def conclude_untested(trained: Trained, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Saves the best model without an evaluation: the last one where no validation split selected another.

    Args:
        trained: the end of training.
        metrics: for the model file, which says that they are those of a cross-validation.

    Returns:
        `metrics`, with the number of steps.

    Raises:
        StorageError: when the disk refuses.
    """
    setup, state = trained.setup, trained.state
    dataset, classifier = setup.dataset, setup.classifier
    found = {**metrics, "steps": state.step}
    setup.save_model(setup.folder.last, found, None)
    if state.best is not None:
        classifier.load_weights(setup.folder.best)
    val_logits = None if dataset.val is None else classifier.logits(dataset.val.images)
    calibration = fit_calibration(setup, state.step, val_logits, trained.head)
    evaluated = setup.folder.last if state.best is None else setup.folder.best
    setup.save_model(evaluated, found, None if calibration is None else calibration["temperature"])
    setup.log.write("finished", step=state.step)
    return found


def _logged_changes(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns what changed when the run was resumed: its length, or rates after a loss that was not finite."""
    keys = [field.name for field in fields(Change)]
    changes = [{key: entry[key] for key in keys} for entry in events if entry["event"] == "changed"]
    return [change for index, change in enumerate(changes) if change not in changes[:index]]  # a kill may repeat one


def _evaluations(events: Sequence[Mapping[str, Any]], plan: Plan) -> list[dict[str, int]]:
    """Returns steps and epochs of all evaluations of the test split; a repeated one after a kill counts once."""
    steps = dict.fromkeys(entry["step"] for entry in events if entry["event"] == "finished")
    return [{"step": step, "epochs": plan.epoch_of(step)} for step in steps]


def _dataset_summary(dataset: Dataset) -> dict[str, Any]:
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.classes)).tolist()
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "test_digest": dataset.test.digest(),
        "pictures": {name: len(split) for name, split in dataset.splits().items()},  # key of files since version 0.1
        "skipped": len(dataset.skipped),
        "image_size": list(dataset.image_size),
        "train_counts": dict(zip(dataset.classes, counts, strict=True)),
        "clipped": clipped_fraction(dataset.train),
    }


def _groups(recipe: Recipe, dataset: Dataset) -> dict[str, Any] | None:
    """Returns what the groups are, their number in each split, and how many images share one with train."""
    found = group_counts(dataset)
    return None if found is None else {"by": recipe.data.group or "labels", **found._asdict()}


def _near_duplicates(dataset: Dataset, leak: Leak | None, logits: Tensor) -> dict[str, Any] | None:
    """Returns the number of test images with a duplicate in train, and the accuracy on the others."""
    if leak is None:
        return None
    correct = np.delete(logits.argmax(1).numpy() == dataset.test.labels, leak.indices)
    hits, left = int(correct.sum()), len(correct)
    return {
        "split": "test",
        "drawn": "test" in dataset.drawn,
        "exact": leak.exact,
        "near": leak.near,
        "pictures": leak.total,
        "test_accuracy": hits / left if left else None,
        "test_interval": list(wilson(hits, left)) if left else None,
        "left": left,
    }


def clipped_fraction(split: Split) -> float:
    """Returns the fraction of channel values that are 0 or 255, in images from all over the split.

    Args:
        split: N images, at least 1, of which 1,000 are read, or fewer where they are large.
    """
    limit = max(1, _CLIPPED_BYTES // split.images[0].nbytes)
    indices = np.linspace(0, len(split) - 1, min(len(split), _CLIPPED_IMAGES, limit)).astype(np.int64)
    values = split.images[indices]  # n H W 3
    return float(np.mean((values == 0) | (values == 255)))


def _headline(evaluation: Evaluation) -> dict[str, Any]:
    return {"test_accuracy": evaluation.accuracy, "test_interval": list(evaluation.interval)}


def predictions(
    split: Split, logits: Tensor, classes: tuple[str, ...], temperature: float | None = None
) -> list[PredictionRow]:
    """Returns one row of `predictions.csv` for each image.

    Args:
        split: N images.
        logits: float [N, C].
        classes: C names.
        temperature: of the calibrated probabilities, or None for none.
    """
    probabilities, predicted = logits.softmax(1).max(1)
    calibrated: list[Any] = [None] * len(split)
    if temperature is not None:
        calibrated = (logits / temperature).softmax(1).gather(1, predicted[:, None])[:, 0].tolist()
    columns = (split.labels.tolist(), predicted.tolist(), probabilities.tolist(), calibrated)
    return [
        PredictionRow(str(path), classes[true], classes[guess], *values)
        for path, true, guess, *values in zip(split.paths or range(len(split)), *columns, strict=True)
    ]
