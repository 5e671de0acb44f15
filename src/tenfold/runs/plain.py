"""Weights without a word about themselves: a plain `state_dict`, as `torch.save` writes it."""

from pathlib import Path

import torch
from torch import Tensor

from tenfold.core.errors import ModelError
from tenfold.data.cifar_sources import CIFAR10
from tenfold.data.pictures import Preprocessing
from tenfold.models.build import build_model
from tenfold.runs.classifier import Classifier, filled
from tenfold.runs.modelfile import read_state_dict

_SIZE = (32, 32)
_HALF = (0.5, 0.5, 0.5)


def load_plain(path: Path, name: str, device: torch.device | None = None) -> Classifier:
    """Returns the classifier that a tutorial's `cifar_net.pth` is meant to be.

    What the file does not say is taken from the tutorials: pictures of 32×32, pixels (x − 0.5) / 0.5, and for ten
    outputs the class names of CIFAR-10.

    Args:
        path: of the `.pth` file; read with `weights_only=True`.
        name: of the network, such as `tutorial`.
        device: where to put the network; the CPU when None.

    Raises:
        ModelError: when the file is no state_dict or does not fit the network.
        RecipeError: when there is no such network.
    """
    state = read_state_dict(path)
    outputs = _outputs(state, path)
    classes = CIFAR10.classes if outputs == 10 else tuple(f"class {i}" for i in range(outputs))
    model = filled(build_model(name, {}, classes=outputs, image_size=_SIZE), state, path)
    return Classifier(model.to(device or "cpu").eval(), classes, Preprocessing(_SIZE, "crop", _HALF, _HALF))


def _outputs(state: dict[str, Tensor], path: Path) -> int:
    """Returns the number of classes: the rows of the last matrix."""
    matrices = [weight for weight in state.values() if weight.ndim == 2]
    if not matrices:
        raise ModelError(f"{path} holds no linear layer to read the number of classes from; expected a classifier")
    return len(matrices[-1])
