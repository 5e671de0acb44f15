"""The classifier: a network with class names, preprocessing and evaluation settings; loading and saving it.

Validation, test, later evaluation and prediction all use `Classifier.logits`, so they give the same results.

Shapes: N images, H×W pixels, C classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tenfold.core.disk import display_path
from tenfold.core.errors import ModelError, RecipeError
from tenfold.core.text import size_text
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.sources.cifar_files import CIFAR10
from tenfold.data.types import Split
from tenfold.evaluate.metrics import Evaluation, accuracy, evaluate_logits
from tenfold.models.build import build_model, limited_weights
from tenfold.runs.inference import logits_of
from tenfold.runs.model_file import ModelCard, load_model, read_state_dict, save_model

CUSTOM_ARCHITECTURE = "custom"
"""Architecture name of a user's own network in a model file."""


@dataclass(frozen=True)
class Classifier:
    """A network with its class names and preprocessing.

    Args:
        model: network from float [B, 3, H, W] to logits [B, C], on its device.
        classes: C class names, in the order of the logits.
        preprocessing: turns an image into the input of the network.
        batch_size: images per batch in evaluation; 0 chooses a size for the device.
        views: test-time augmentation (TTA): the views of each image whose logits are averaged; a key of `VIEWS`.
        unsure_below: see `averaged_logits`.
        recipe: the training recipe, as plain values; empty if unknown.
        temperature: divisor of the logits that calibrates the probabilities of these weights and views, above 0; None
            if none was fitted.
        names_assumed: whether the weights came without class names, so that `classes` is a guess.
        precision: `float32`, or `tf32` on a GPU; see `evaluation_kernels`.

    Example:
        >>> classifier = Classifier.load(Path("runs/shapes-quick/last.safetensors"))  # doctest: +SKIP
        >>> classifier.evaluate(dataset.test).accuracy  # doctest: +SKIP
        0.97
    """

    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    batch_size: int = 0
    views: str = "plain"
    unsure_below: float = 1.0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    names_assumed: bool = False
    precision: str = "float32"

    def with_views(self, views: str) -> "Classifier":
        """Returns the classifier with other views, without the temperature if it was fitted to others."""
        return self if views == self.views else replace(self, views=views, temperature=None)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Returns the probabilities for logits, float [N, C]: calibrated if there is a temperature."""
        return (logits if self.temperature is None else logits / self.temperature).softmax(1)

    def logits(self, images: NDArray[np.uint8]) -> Tensor:
        """Returns logits for images, float32 [N, C] on the CPU; see `tta_logits`."""
        averaged, _ = self.tta_logits(images)
        return averaged

    def tta_logits(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Returns logits for images: averaged over the views, and without TTA.

        Args:
            images: uint8 [N, H, W, 3], of the size that the network was trained for, or as a store holds them, with a
                margin around that.

        Returns:
            Two tensors, float32 [N, C] on the CPU. They are computed in float32 whatever the training used.

        Raises:
            ModelError: when the images have another size than the training images.
        """
        images = self.preprocessing.center(images)
        size = tuple(images.shape[1:3])
        if size != self.preprocessing.image_size:
            raise ModelError(
                f"images are {size_text(size)}, but the model was trained for "
                f"{size_text(self.preprocessing.image_size)}; prepare the data at that size"
            )
        return logits_of(
            self.model,
            images,
            self.preprocessing,
            batch_size=self.batch_size,
            views=self.views,
            unsure_below=self.unsure_below,
            tf32=self.precision == "tf32",
        )

    def evaluate(self, split: Split, *, roc_curves: bool = True) -> Evaluation:
        """Evaluates the classifier on `split`, whose labels must be indices of `classes`; see `evaluate_logits`."""
        return self.evaluate_tta_logits(split.labels, *self.tta_logits(split.images), roc_curves=roc_curves)

    def evaluate_tta_logits(
        self, true_labels: NDArray[np.int64], averaged: Tensor, plain: Tensor, *, roc_curves: bool = True
    ) -> Evaluation:
        """Evaluates logits that `tta_logits` returned for images with these labels, int64 [N], also without TTA."""
        labels = torch.from_numpy(true_labels)
        evaluation = evaluate_logits(averaged, labels, self.classes, roc_curves=roc_curves)
        return evaluation if self.views == "plain" else replace(evaluation, plain_accuracy=accuracy(plain, labels))

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return next(self.model.parameters()).device

    def save(
        self,
        path: Path,
        *,
        architecture: str,
        arguments: Mapping[str, Any],
        metrics: Mapping[str, Any],
    ) -> None:
        """Writes a model file durably. It contains everything that is needed to predict.

        Args:
            path: the file, ending in `.safetensors`.
            architecture: registered name of the network, or `custom` for a user's own.
            arguments: arguments of the network's builder.
            metrics: results of the model, as plain numbers.

        Raises:
            StorageError: when writing fails. The old file stays.
        """
        card = ModelCard(
            architecture=architecture,
            arguments=dict(arguments),
            classes=self.classes,
            preprocessing=self.preprocessing,
            recipe=dict(self.recipe),
            metrics=dict(metrics),
            temperature=self.temperature,
        )
        save_model(path, self.model.state_dict(), card)

    def load_weights(self, path: Path) -> None:
        """Loads the weights of a model file of the same network.

        Args:
            path: a `.safetensors` file written by `save`.

        Raises:
            ModelError: when the file is damaged or contains another network.
        """
        Classifier.load(path, device=self.device, model=self.model)

    @classmethod
    def load(cls, path: Path, *, device: torch.device | None = None, model: nn.Module | None = None) -> "Classifier":
        """Loads a model file.

        Args:
            path: a `.safetensors` file written by `save`.
            device: device for the network (default: CPU).
            model: the network, if it is a user's own; it receives the weights.

        Raises:
            ModelError: when the file is damaged or not from Tenfold, or `model` does not fit it.
        """
        state, card = load_model(path)
        settings = card.recipe.get("evaluate", {})
        network = load_state(model or _build(card, state, path), state, path, card.architecture)
        return cls(
            model=network.to(device or "cpu").eval(),
            classes=card.classes,
            preprocessing=card.preprocessing,
            batch_size=settings.get("batch_size", 0),
            views=settings.get("views", "mirror" if settings.get("mirror") else "plain"),  # `mirror`: old files
            unsure_below=settings.get("unsure_below", 1.0),
            precision=settings.get("precision", "float32"),
            recipe=card.recipe,
            temperature=card.temperature,
        )


def _build(card: ModelCard, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    if card.architecture == CUSTOM_ARCHITECTURE:
        raise ModelError(
            f"{path} contains the weights of your own network; pass the network: "
            "tenfold.load(path, model=YourNetwork())"
        )
    size, num_classes = card.preprocessing.image_size, len(card.classes)
    # The random weights are replaced at once.
    with torch.random.fork_rng(devices=[]), limited_weights(state, display_path(path)):
        try:
            return build_model(card.architecture, card.arguments, num_classes=num_classes, image_size=size)
        except RecipeError as error:
            raise ModelError(f"{display_path(path)} describes a network that cannot be built: {error}") from error


def load_state(model: nn.Module, state: Mapping[str, Tensor], path: Path, name: str) -> nn.Module:
    """Loads `state` into `model`, which is returned.

    Args:
        model: the network.
        state: its `state_dict`.
        path: file of the weights, for the message.
        name: of the network as the user knows it, for the message.

    Raises:
        ModelError: when names or shapes differ; the message lists the first three differences.
    """
    differences = list(_differences(model.state_dict(), state))
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise ModelError(
            f"the weights in {path} do not fit {name}: {'; '.join(differences[:3])}{more}; "
            "check --model and the number of classes"
        )
    model.load_state_dict(dict(state))
    return model


def _differences(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Iterator[str]:
    yield from (f"'{name}' is missing" for name in expected if name not in state)
    yield from (f"'{name}' is unknown" for name in state if name not in expected)
    for name, weight in expected.items():
        if name in state and state[name].shape != weight.shape:
            yield f"'{name}' is {list(state[name].shape)}, expected {list(weight.shape)}"


_TUTORIAL_IMAGE_SIZE = (32, 32)
_MAX_CLASSES = 1_000_000
_TUTORIAL_MEAN_AND_STD = (0.5, 0.5, 0.5)


def load_plain_weights(path: Path, name: str, device: torch.device | None = None) -> Classifier:
    """Loads plain weights, such as the `cifar_net.pth` of PyTorch's tutorial, as a classifier.

    The file does not contain image size, preprocessing and class names. They are those of the tutorial: 32×32, pixels
    normalized by (x − 0.5) / 0.5, and the class names of CIFAR-10 if there are ten outputs.

    Args:
        path: the `.pth` file, read with `weights_only=True`.
        name: registered name of the network, such as `tutorial`.
        device: device for the network (default: CPU).

    Raises:
        ModelError: when the file is not a `state_dict` or does not fit the network.
        RecipeError: when there is no such network.
    """
    state = read_state_dict(path)
    num_classes = _num_outputs(state, path)
    classes = CIFAR10.classes if num_classes == 10 else tuple(f"class {i}" for i in range(num_classes))
    model = build_model(name, {}, num_classes=num_classes, image_size=_TUTORIAL_IMAGE_SIZE)
    preprocessing = Preprocessing(_TUTORIAL_IMAGE_SIZE, "crop", _TUTORIAL_MEAN_AND_STD, _TUTORIAL_MEAN_AND_STD)
    load_state(model, state, path, f"{name} for 32×32 images")
    return Classifier(model.to(device or "cpu").eval(), classes, preprocessing, names_assumed=True)


def _num_outputs(state: dict[str, Tensor], path: Path) -> int:
    """Returns the number of rows of the last matrix."""
    matrices = [weight for weight in state.values() if weight.ndim == 2]
    if not matrices:
        raise ModelError(f"{path} contains no linear layer, so the number of classes is unknown; expected a classifier")
    if not 0 < len(matrices[-1]) <= _MAX_CLASSES:
        raise ModelError(f"{path} has {len(matrices[-1]):,} outputs; expected 1 to {_MAX_CLASSES:,}")
    return len(matrices[-1])
