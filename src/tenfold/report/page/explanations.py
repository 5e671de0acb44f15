"""The model's view of some images: its most probable classes, and Grad-CAM maps of the predicted class.

B images, H×W pixels, C classes.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tenfold.core.errors import ModelError, TenfoldError
from tenfold.data.types import Split
from tenfold.evaluate.gradcam import class_activation
from tenfold.report.page.predictions import Predictions
from tenfold.runs.artifact import Classifier
from tenfold.runs.run_folder import RunFolder

_TOP_CLASSES = 3
_MAX_OPACITY = 0.75  # of the orange, where the activation is 1
_ORANGE = np.array([255, 122, 26], np.float32)
_MIN_GRAY = 40.0  # keeps the darkest pixels visible on a dark page
_TOLERANCE = 0.02  # between a confidence and the one in predictions.csv


@dataclass(frozen=True, eq=False)  # == of arrays gives no single truth value
class Explanations:
    """Explanations of the predictions of B images.

    Args:
        top_classes: names and probabilities of the three most probable classes, for each image.
        activations: float32 [B, H, W] in [0, 1], Grad-CAM maps of the predicted class; None for a network without a
            suitable convolution.
    """

    top_classes: tuple[tuple[tuple[str, float], ...], ...]
    activations: NDArray[np.float32] | None


def explain(
    folder: RunFolder,
    split: Split,
    predictions: Predictions,
    indices: NDArray[np.int64],
    model: nn.Module | None = None,
) -> Explanations | str:
    """Runs the model of a run on some images again; returns explanations, or why there are none.

    Args:
        folder: folder of the run.
        split: B test images.
        predictions: predictions of all test images.
        indices: int64 [B], positions of these images in the predictions.
        model: the network of a run that was trained with a custom `nn.Module`.
    """
    try:
        classifier = Classifier.load(folder.best if folder.best.is_file() else folder.last, model=model)
        calibration = folder.read_summary().get("calibration") or {}  # as predictions.csv, also for old model files
        classifier = replace(classifier, temperature=calibration.get("temperature"))
        logits = classifier.logits(split.images)  # B C
        confidence = torch.from_numpy(predictions.confidence[indices])  # B
        predicted = _predicted_labels(classifier, predictions, indices)  # B
        found = logits.softmax(1).gather(1, predicted[:, None])[:, 0]  # B
        if float((found - confidence).abs().median()) > _TOLERANCE:
            return f"the model in {folder.path.name} does not reproduce predictions.csv"
        return Explanations(
            _top_classes(classifier.probabilities(logits), classifier.classes),
            _activations(classifier, split.images, predicted),
        )
    except TenfoldError as error:
        return str(error)


def _predicted_labels(classifier: Classifier, predictions: Predictions, indices: NDArray[np.int64]) -> torch.Tensor:
    """Returns the predicted labels, in the class order of the classifier, int64 [B]."""
    label = {name: i for i, name in enumerate(classifier.classes)}
    names = [predictions.classes[predicted] for predicted in predictions.predicted[indices]]
    if unknown := sorted(set(names) - set(label)):
        raise ModelError(f"the model has no class {unknown[0]}, which predictions.csv contains")
    return torch.tensor([label[name] for name in names])


def _top_classes(probabilities: torch.Tensor, classes: tuple[str, ...]) -> tuple[tuple[tuple[str, float], ...], ...]:
    values, labels = probabilities.topk(min(_TOP_CLASSES, len(classes)), dim=1)
    return tuple(
        tuple((classes[label], value) for label, value in zip(*row, strict=True))
        for row in zip(labels.tolist(), values.tolist(), strict=True)
    )


def _activations(
    classifier: Classifier, images: NDArray[np.uint8], predicted: torch.Tensor
) -> NDArray[np.float32] | None:
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)  # B 3 H W
    maps = class_activation(classifier.model, classifier.preprocessing.normalize(pixels), predicted)  # B H W
    return None if maps is None else maps.numpy().astype(np.float32)


def overlaid(images: NDArray[np.uint8], activations: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns the images in gray, with an orange overlay of the activations.

    Args:
        images: uint8 [B, H, W, 3].
        activations: float32 [B, H, W] in [0, 1].

    Returns:
        uint8 [B, H, W, 3].
    """
    gray = images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)  # B H W
    opacity = _MAX_OPACITY * activations[..., None]  # B H W 1
    mixed = (1 - opacity) * (_MIN_GRAY + (1 - 1.5 * _MIN_GRAY / 255) * gray[..., None]) + opacity * _ORANGE
    return np.asarray(mixed.clip(0, 255), np.uint8)
