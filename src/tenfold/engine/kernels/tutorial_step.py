"""A whole training step as one compiled program, for the small networks of the tutorials on a CPU.

`cpp/tutorial_network.cpp` is compiled for the sizes of one network, once, and kept in the cache folder. A step then
takes about a sixth of the time of PyTorch's eager execution.
"""

import ctypes
import functools
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import cast
from weakref import finalize

import torch
from torch import Tensor, nn

from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.kernels.programs import compiler, program
from tenfold.engine.precision import Hardware
from tenfold.models.tutorial import TutorialNet
from tenfold.optim.build import CombinedOptimizer
from tenfold.optim.update import SGD

MAX_BATCH_SIZE = 32
"""Sums over a batch are kept in registers, of which there are 16 or 32."""

# Sums may be reordered so that they can be vectorized. NaN and infinity keep their meaning.
_MATH_FLAGS = ("-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros", "-ffp-contract=fast")


def unsupported_reason(
    model: nn.Module, optimizer: CombinedOptimizer, hardware: Hardware, batch_size: int
) -> str | None:
    """Returns why a training step cannot be compiled this way, or None if it can."""
    if hardware.device.type != "cpu" or hardware.autocast is not None:
        return f"it computes on {hardware}, not on a CPU in float32"
    if not isinstance(model, TutorialNet) or model.dropout is not None:
        return "its network is more than convolutions, pooling and fully connected layers"
    if not all(isinstance(rule, SGD) and rule.state for rule in optimizer.rules):
        return "its optimizer is not SGD with momentum"
    if len({float(rule.lr) for rule in optimizer.rules}) > 1:
        return "its layers have learning rates of their own (optim.layer_decay)"
    if not all(weight.is_contiguous() and weight.requires_grad for weight in model.parameters()):
        return "its weights are frozen or in the channels-last memory format (train.channels_last)"
    if batch_size > MAX_BATCH_SIZE:
        return f"its batches have {batch_size} images, more than {MAX_BATCH_SIZE}"
    if compiler() is None:
        return "there is no C++ compiler (g++ or clang++) on this machine"
    return None


class CompiledTutorialStep:
    """A training step in one call of a compiled program.

    The program works on the tensors of the network and its optimizer in place, so checkpoints, weight averages and
    evaluation need no special case.

    Args:
        model: on the CPU, in training mode.
        optimizer: of the model's weights; `unsupported_reason` must be None.
        preprocessing: normalizes images into the model's input.
        label_smoothing: fraction of the target that is spread over all classes, in [0, 1).
        batch_size: maximum number of images in a batch.
        class_weights: float32 [C] on the CPU; see `mean_loss`.

    Raises:
        TrainingError: when the compiler fails; the message holds its first error.
        StorageError: when the cache folder cannot be written.
    """

    def __init__(
        self,
        model: TutorialNet,
        optimizer: CombinedOptimizer,
        preprocessing: Preprocessing,
        label_smoothing: float,
        batch_size: int,
        class_weights: Tensor | None = None,
    ) -> None:
        self._program = _load(compiled_program(model, preprocessing.image_size, batch_size))
        self._rules = cast(list[SGD], list(optimizer.rules))
        self._tensors = _parameters_and_velocities(model, self._rules)  # kept alive for the program's pointers
        pointers = (ctypes.c_void_p * len(self._tensors))(*(tensor.data_ptr() for tensor in self._tensors))
        self._network = self._program.create_network(pointers)
        finalize(self, self._program.destroy_network, self._network)
        self._mean, self._std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self._smoothing = label_smoothing
        self._class_weights = class_weights  # kept alive for the program's pointer
        self._num_classes = model.layers[-1].out_features
        rule = self._rules[0]
        self._sgd = (ctypes.c_float * 4)(0.0, rule.momentum, rule.weight_decay, float(rule.nesterov))

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the loss, float32 [], and the logits, float32 [B, C].

        Raises:
            LossNotFiniteError: when the loss is not finite; no weight was changed.
        """
        images = batch.images
        logits = torch.empty(len(images), self._num_classes)
        self._sgd[0] = float(self._rules[0].lr)
        loss = self._program.train_step(
            self._network,
            images.data_ptr(),
            (ctypes.c_int64 * 4)(*images.stride()),
            self._mean.data_ptr(),
            self._std.data_ptr(),
            batch.labels.data_ptr(),
            len(images),
            self._smoothing,
            None if self._class_weights is None else self._class_weights.data_ptr(),
            self._sgd,
            logits.data_ptr(),
        )
        if not isfinite(loss):
            raise LossNotFiniteError(steps_ago=0)
        return torch.tensor(loss), logits


def compiled_program(model: TutorialNet, image_size: tuple[int, int], batch_size: int) -> Path:
    """Returns the path of the program for a network's sizes. It is compiled now unless the cache folder holds it.

    Args:
        model: network.
        image_size: height and width of its input in pixels.
        batch_size: maximum number of images in a batch.

    Raises:
        TrainingError: when the compiler fails.
        StorageError: when the cache folder cannot be written.
    """
    definitions = [f"-D{name}={value}" for name, value in _definitions(model, image_size, batch_size).items()]
    return program(["tutorial_network.cpp", "tutorial_layers.h"], [*_MATH_FLAGS, *definitions])


def _definitions(model: TutorialNet, image_size: tuple[int, int], batch_size: int) -> dict[str, str]:
    """Returns the macros that `cpp/tutorial_network.cpp` is compiled with.

    Example:
        >>> from tenfold.models.tutorial import tutorial
        >>> _definitions(tutorial(10, (32, 32)), (32, 32), 4)["CONV_LAYERS"]
        'Conv<3,6,5,32,32,true>,Conv<6,16,5,14,14,true>'
    """
    (height, width), channels, conv_layers = image_size, 3, []
    for layer, pooled in model.convolutions:
        kernel = layer.kernel_size[0]
        sizes = (layer.in_channels, layer.out_channels, kernel, height, width)
        conv_layers.append(f"Conv<{','.join(map(str, sizes))},{str(pooled).lower()}>")
        height, width = ((side - kernel + 1) // (2 if pooled else 1) for side in (height, width))
        channels = layer.out_channels
    return {
        "BATCH_SIZE": str(batch_size),
        "CONV_LAYERS": ",".join(conv_layers),
        "FEATURE_SHAPE": f"{channels},{height},{width}",
        "LINEAR_LAYERS": ",".join(f"Linear<{layer.in_features},{layer.out_features}>" for layer in model.layers),
    }


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    pointer, number, integer = ctypes.c_void_p, ctypes.c_float, ctypes.c_int
    library = ctypes.CDLL(str(path))
    library.create_network.argtypes, library.create_network.restype = [pointer], pointer
    library.destroy_network.argtypes, library.destroy_network.restype = [pointer], None
    library.train_step.argtypes = [*[pointer] * 6, integer, number, pointer, pointer, pointer]
    library.train_step.restype = number
    return library


def _parameters_and_velocities(model: TutorialNet, rules: Sequence[SGD]) -> list[Tensor]:
    """Returns weight, bias and their velocities of each layer, in the order of `create_network`."""
    velocities = {
        id(weight): velocity
        for rule in rules
        for weight, velocity in zip(rule.weights, rule.state["momentum"], strict=True)
    }
    layers: list[nn.Conv2d | nn.Linear] = [*(layer for layer, _ in model.convolutions), *model.layers]
    parameters = [(layer.weight, cast(Tensor, layer.bias)) for layer in layers]
    return [tensor for pair in parameters for tensor in (*pair, *(velocities[id(weight)] for weight in pair))]
