"""The temperature of a run, which calibrates the probabilities of its model."""

from typing import Any

import torch

from tenfold.data.types import Dataset
from tenfold.evaluate.calibration import fit_temperature
from tenfold.runs.artifact import Classifier


def fit_calibration(classifier: Classifier, dataset: Dataset) -> dict[str, Any] | None:
    """Fits the temperature to the validation images.

    Args:
        classifier: as evaluated on the test split, without a temperature.
        dataset: of the run.

    Returns:
        The `calibration` of `summary.json`: `temperature`, the number of images it was fitted to (`pictures`) and
        their split (`source`); None without validation images.
    """
    if dataset.val is None:
        return None
    temperature = fit_temperature(classifier.logits(dataset.val.images), torch.from_numpy(dataset.val.labels))
    return {"temperature": temperature, "pictures": len(dataset.val), "source": "val"}
