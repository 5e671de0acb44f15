"""The end of a run: judged once on the test split, and written down."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tenfold.data.types import Dataset, Split
from tenfold.engine.plan import batch_size_for
from tenfold.engine.setup import Setup
from tenfold.engine.state import State
from tenfold.engine.target import target_summary
from tenfold.evaluate.calibration import fit_temperature
from tenfold.evaluate.metrics import Evaluation
from tenfold.runs.artifact import Classifier
from tenfold.runs.run_folder import Prediction

Save = Callable[[str, dict[str, Any]], None]
"""Writes the model's present weights under the name `last` or `best`, with metrics."""

_CLIPPED_PICTURES, _CLIPPED_BYTES = 1000, 32 * 1024**2
"""How many training pictures are looked at for clipped colours, and how much memory they may fill."""


def conclude(setup: Setup, state: State, save: Save, seconds: Callable[[], float]) -> dict[str, Any]:
    """Judges the best model on the test split (the last one, where no validation split picked another).

    Args:
        setup: of the run; its model holds the last weights.
        state: at the end of training.
        save: see `Save`.
        seconds: since the start; see `total_seconds`.

    Returns:
        What `summary.json` holds. Of its times `training_seconds` is that of the steps alone, of all sessions of a
        resumed run, `loading_seconds` what of it went into gathering and augmenting pictures on the host, and
        `compile_seconds` that of making the step ready. `total_seconds` holds everything up to the summary, from the
        start of the process for `tenfold train`, of the call from Python, and of the trial in a sweep; where a run was
        resumed, from the start of what resumed it. `batch_size` is the one that was used.

    Raises:
        StorageError: when the disk refuses; the last model is saved by then.
    """
    folder, dataset, classifier = setup.folder, setup.dataset, setup.classifier
    target = setup.recipe.train.target
    aim = target_summary(target, state, seconds()) if target else None
    save("last", {"steps": state.step})
    if state.best is not None:
        Classifier.load(folder.best, device=setup.hardware.device, model=classifier.model)
    logits, plain = classifier.judge(dataset.test)
    evaluation = classifier.evaluation(dataset.test, logits, plain)
    temperature = None if dataset.val is None else _temperature(classifier, dataset.val)
    folder.write_predictions(predictions(dataset.test, logits, dataset.classes, temperature))
    summary = {
        **_headline(evaluation),
        "model": "last" if state.best is None else "best",
        "val_accuracy": None if state.best is None else state.best.accuracy,
        "best_epoch": None if state.best is None else state.best.epoch,
        "target": aim,
        "steps": state.step,
        "epochs": state.rows[-1]["epoch"],
        "batch_size": batch_size_for(setup.recipe.train.batch_size, len(dataset.train)),
        "training_seconds": round(state.seconds, 3),
        "loading_seconds": round(state.loading_seconds, 3),
        "compile_seconds": round(state.compile_seconds, 3),
        "total_seconds": round(seconds(), 3),
        "parameters": sum(weight.numel() for weight in classifier.model.parameters()),
        "dataset": _described(dataset),
        "hardware": str(state.hardware),
        "calibration": None if dataset.val is None else {"temperature": temperature, "pictures": len(dataset.val)},
        "evaluation": evaluation.to_json(),
    }
    save(summary["model"], {**_headline(evaluation), "steps": state.step})
    folder.write_summary(summary)
    setup.log.write("finished", step=state.step, test_accuracy=evaluation.accuracy)
    return summary


def _described(dataset: Dataset) -> dict[str, Any]:
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.classes)).tolist()
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "pictures": {name: len(split) for name, split in dataset.splits().items()},
        "skipped": len(dataset.skipped),
        "image_size": list(dataset.image_size),
        "train_counts": dict(zip(dataset.classes, counts, strict=True)),
        "clipped": clipped_share(dataset.train),
    }


def clipped_share(split: Split) -> float:
    """Returns the share of channel values at 0 or 255, in pictures from all over the split.

    Args:
        split: N pictures, at least 1, of which 1,000 are looked at, or fewer where they are large.
    """
    fitting = max(1, _CLIPPED_BYTES // split.images[0].nbytes)
    places = np.linspace(0, len(split) - 1, min(len(split), _CLIPPED_PICTURES, fitting)).astype(np.int64)
    values = split.images[places]  # n H W 3
    return float(np.mean((values == 0) | (values == 255)))


def _temperature(classifier: Classifier, val: Split) -> float:
    return fit_temperature(classifier.logits(val), torch.from_numpy(val.labels))


def _headline(evaluation: Evaluation) -> dict[str, Any]:
    return {"test_accuracy": evaluation.accuracy, "test_interval": list(evaluation.interval)}


def predictions(
    split: Split, logits: Tensor, classes: tuple[str, ...], temperature: float | None = None
) -> list[Prediction]:
    """Returns one row of `predictions.csv` for each picture.

    Args:
        split: N pictures.
        logits: float [N, C].
        classes: C names.
        temperature: of the calibrated probabilities; without one there are none.
    """
    probabilities, predicted = logits.softmax(1).max(1)
    calibrated: list[Any] = [None] * len(split)
    if temperature is not None:
        calibrated = (logits / temperature).softmax(1).gather(1, predicted[:, None])[:, 0].tolist()
    columns = (split.labels.tolist(), predicted.tolist(), probabilities.tolist(), calibrated)
    return [
        Prediction(str(name), classes[true], classes[guess], *values)
        for name, true, guess, *values in zip(split.paths or range(len(split)), *columns, strict=True)
    ]
