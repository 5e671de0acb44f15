"""What the network itself says of some pictures: its likeliest classes, and where it looked.

B pictures, H×W pixels, C classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tenfold.core.errors import ModelError, TenfoldError
from tenfold.data.types import Split
from tenfold.evaluate.gradcam import class_activation
from tenfold.report.page.predictions import Judgement
from tenfold.runs.artifact import Classifier
from tenfold.runs.run_folder import RunFolder

_LIKELIEST = 3
_LIGHT = 0.75  # of the orange where the network looked most
_ORANGE = np.array([255, 122, 26], np.float32)
_DARKEST = 40.0  # of the grey, so that its darkest places are told from dark paper
_SAME = 0.02  # by which a probability may differ from the one that was written down


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Insight:
    """What a network says of B pictures.

    Args:
        likeliest: names and probabilities of the three likeliest classes, for each picture.
        looked: float32 [B, H, W] in [0, 1], where it found the predicted class; None where that cannot be told.
    """

    likeliest: tuple[tuple[tuple[str, float], ...], ...]
    looked: NDArray[np.float32] | None


def look(
    folder: RunFolder, pictures: Split, judgement: Judgement, places: NDArray[np.int64], model: nn.Module | None = None
) -> Insight | str:
    """Shows some pictures to the run's network again; returns what it says, or why it cannot be asked.

    Args:
        folder: of the run.
        pictures: B of them.
        judgement: what was written down of all test pictures.
        places: int64 [B], of these pictures in it.
        model: the network, where it is a user's own.
    """
    try:
        classifier = Classifier.load(folder.best if folder.best.is_file() else folder.last, model=model)
        probabilities = classifier.logits(pictures).softmax(1)  # B C
        own, predicted = torch.from_numpy(judgement.probability[places]), _labels(classifier, judgement, places)
        if float((probabilities.gather(1, predicted[:, None])[:, 0] - own).abs().median()) > _SAME:
            return f"the model in {folder.path.name} answers otherwise than predictions.csv says"
        return Insight(_likeliest(probabilities, classifier.classes), _looked(classifier, pictures, predicted))
    except TenfoldError as error:
        return str(error)


def _labels(classifier: Classifier, judgement: Judgement, places: NDArray[np.int64]) -> torch.Tensor:
    """Returns what was predicted, in the classifier's own order of classes, int64 [B]."""
    known = {name: i for i, name in enumerate(classifier.classes)}
    names = [judgement.classes[label] for label in judgement.predicted[places]]
    if unknown := sorted(set(names) - set(known)):
        raise ModelError(f"the model does not know the class {unknown[0]}, which predictions.csv names")
    return torch.tensor([known[name] for name in names])


def _likeliest(probabilities: torch.Tensor, classes: tuple[str, ...]) -> tuple[tuple[tuple[str, float], ...], ...]:
    values, labels = probabilities.topk(min(_LIKELIEST, len(classes)), dim=1)
    return tuple(
        tuple((classes[label], value) for label, value in zip(*row, strict=True))
        for row in zip(labels.tolist(), values.tolist(), strict=True)
    )


def _looked(classifier: Classifier, pictures: Split, predicted: torch.Tensor) -> NDArray[np.float32] | None:
    pixels = torch.from_numpy(np.ascontiguousarray(pictures.images)).permute(0, 3, 1, 2)  # B 3 H W
    found = class_activation(classifier.model, classifier.preprocessing.normalize(pixels), predicted)  # B H W
    return None if found is None else found.numpy().astype(np.float32)


def lit(images: NDArray[np.uint8], looked: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns the pictures in grey, with orange light where the network looked.

    Args:
        images: uint8 [B, H, W, 3].
        looked: float32 [B, H, W] in [0, 1].

    Returns:
        uint8 [B, H, W, 3].
    """
    grey = images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)  # B H W
    strength = _LIGHT * looked[..., None]  # B H W 1
    mixed = (1 - strength) * (_DARKEST + (1 - 1.5 * _DARKEST / 255) * grey[..., None]) + strength * _ORANGE
    return np.asarray(mixed.clip(0, 255), np.uint8)
