"""A network with all that is needed to use it: class names, preprocessing, the way it judges.

Validation, test, later evaluation and prediction all go through `Classifier.logits`: one path, one answer.

Shapes: N pictures, H×W pixels, C classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.core.devices import convolutions
from tenfold.core.errors import ModelError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.loader import in_order
from tenfold.data.sources.cifar_files import CIFAR10
from tenfold.data.types import Split
from tenfold.evaluate.logits import predict_logits
from tenfold.evaluate.metrics import Evaluation, accuracy, evaluate_logits
from tenfold.models.build import build_model
from tenfold.runs.model_file import ModelCard, load_model, read_state_dict, save_model


@dataclass(frozen=True)
class Classifier:
    """A network, its class names and its preprocessing.

    Args:
        model: from float [B, 3, H, W] to logits [B, C], on its device.
        classes: C names, in the order of the logits.
        preprocessing: makes the model's input from a picture.
        batch_size: pictures judged at once; 0 is what suits the device.
        views: of each picture whose logits are averaged; a name of `VIEWS`.
        unsure_below: see `averaged_logits`.
        recipe: that trained it, as plain values; empty where nothing is known of it.

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

    def logits(self, split: Split) -> Tensor:
        """Returns logits, float32 [N, C] on the CPU; see `judge`."""
        averaged, _ = self.judge(split)
        return averaged

    def judge(self, split: Split) -> tuple[Tensor, Tensor]:
        """Returns logits for the pictures of `split`, averaged over the views, and those of the plain view alone.

        Both are float32 [N, C] on the CPU, always computed in float32.

        Raises:
            ModelError: when the pictures have another size than the model was trained for.
        """
        size = tuple(split.images.shape[1:3])
        if size != self.preprocessing.image_size:
            raise ModelError(
                f"pictures are {size[0]}×{size[1]}, but the model was trained for "
                f"{'×'.join(map(str, self.preprocessing.image_size))}; prepare the data at that size"
            )
        batches = in_order(split, self.batch_size or _suited(size, self.device), self.device)
        with convolutions(onednn=True):  # whatever the training used, a judgement never depends on it
            return predict_logits(
                self.model,
                batches,
                self.preprocessing.normalize,
                views=self.views,
                unsure_below=self.unsure_below,
            )

    def evaluate(self, split: Split) -> Evaluation:
        """Returns how well `split` is classified; its labels must follow the order of `classes`."""
        return self.evaluation(split, *self.judge(split))

    def evaluation(self, split: Split, averaged: Tensor, plain: Tensor) -> Evaluation:
        """Returns what the logits that `judge` gave for `split` are worth, those of the plain view too."""
        labels = torch.from_numpy(split.labels)
        found = evaluate_logits(averaged, labels, self.classes)
        return found if self.views == "plain" else replace(found, plain_accuracy=accuracy(plain, labels))

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device

    def save(
        self,
        path: Path,
        *,
        architecture: str,
        arguments: Mapping[str, Any],
        metrics: Mapping[str, Any],
    ) -> None:
        """Writes the model file, durably; it alone is enough to predict.

        Args:
            path: where, ending in `.safetensors`.
            architecture: registered name of the network, or `custom` for a user's own.
            arguments: of the network's builder.
            metrics: known of it, as plain numbers.

        Raises:
            StorageError: when the disk refuses; what was there before stays.
        """
        card = ModelCard(
            architecture=architecture,
            arguments=dict(arguments),
            classes=self.classes,
            preprocessing=self.preprocessing,
            recipe=dict(self.recipe),
            metrics=dict(metrics),
        )
        save_model(path, self.model.state_dict(), card)

    @classmethod
    def load(cls, path: Path, *, device: torch.device | None = None, model: nn.Module | None = None) -> "Classifier":
        """Reads a model file.

        Args:
            path: of a `.safetensors` file that `save` wrote.
            device: where to put the model; the CPU when None.
            model: the network, where it is a user's own that no name stands for; it receives the weights.

        Raises:
            ModelError: when the file is damaged or foreign, or `model` does not fit it.
        """
        state, card = load_model(path)
        judging = card.recipe.get("evaluate", {})
        return cls(
            model=filled(model or _built(card, path), state, path).to(device or "cpu").eval(),
            classes=card.classes,
            preprocessing=card.preprocessing,
            batch_size=judging.get("batch_size", 0),
            views=judging.get("views", "mirror" if judging.get("mirror") else "plain"),  # `mirror` in former files
            unsure_below=judging.get("unsure_below", 1.0),
            recipe=card.recipe,
        )


def _suited(size: tuple[int, ...], device: torch.device) -> int:
    """Returns a batch size: on a CPU what its caches hold, elsewhere enough to be busy with."""
    pictures = 128 if device.type == "cpu" else 2048  # of 32×32
    return max(8, pictures * 32 * 32 // prod(size))


def _built(card: ModelCard, path: Path) -> nn.Module:
    if card.architecture == CUSTOM:
        raise ModelError(
            f"{path} holds the weights of a network of your own; pass it: tenfold.load(path, model=YourNetwork())"
        )
    size, classes = card.preprocessing.image_size, len(card.classes)
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced at once
        return build_model(card.architecture, card.arguments, classes=classes, image_size=size)


def filled(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Returns `model` with the weights of `state`.

    Raises:
        ModelError: when names or shapes differ; the message lists the first few.
    """
    own = model.state_dict()
    problems = list(_differences(own, state))
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ModelError(
            f"the weights in {path} do not fit {type(model).__name__}: {'; '.join(problems[:3])}{more}; "
            "check --model and the number of classes"
        )
    model.load_state_dict(dict(state))
    return model


def _differences(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Iterator[str]:
    yield from (f"'{name}' is missing" for name in own if name not in state)
    yield from (f"'{name}' is unknown" for name in state if name not in own)
    for name, weight in own.items():
        if name in state and state[name].shape != weight.shape:
            yield f"'{name}' is {list(state[name].shape)}, expected {list(weight.shape)}"


CUSTOM = "custom"
"""Stands for a user's own network in a model file."""


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
