"""A whole training step as one compiled program, for the small networks of the tutorials on a CPU.

`kernels/` knows how such a network learns; here it is compiled for one network's sizes by the machine's own C++
compiler, once, and kept in the cache folder. A step then takes about a sixth of what it takes operation by operation.
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
from tenfold.optim.update import MomentumSGD

LARGEST_BATCH = 32
"""Sums over a batch are kept in registers, of which there are 16 or 32."""

# Sums may be reordered, which is what lets them be done side by side; not-a-number and infinity keep their meaning.
_SUMS = ("-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros", "-ffp-contract=fast")


def why_not(model: nn.Module, optimizer: CombinedOptimizer, hardware: Hardware, batch_size: int) -> str | None:
    """Returns what keeps a training from being compiled this way, or None where nothing does."""
    if hardware.device.type != "cpu" or hardware.autocast is not None:
        return f"it computes on {hardware}, not on a CPU in float32"
    if not isinstance(model, TutorialNet) or model.dropout is not None:
        return "its network is more than convolutions, pooling and fully connected layers"
    if not all(isinstance(rule, MomentumSGD) and rule.memory for rule in optimizer.rules):
        return "its optimiser is not SGD with momentum"
    if not all(weight.is_contiguous() and weight.requires_grad for weight in model.parameters()):
        return "its weights are frozen or lie in memory with channels last (train.channels_last)"
    if batch_size > LARGEST_BATCH:
        return f"its batches have {batch_size} pictures, more than {LARGEST_BATCH}"
    if compiler() is None:
        return "there is no C++ compiler (g++ or clang++) on this machine"
    return None


class NativeStep:
    """Learns from one batch in one call of the compiled program.

    The program works on the very tensors of the network and its optimiser, so that checkpoints, averages and
    evaluation know nothing of it.

    Args:
        model: on the CPU, in training mode.
        optimizer: see `why_not`, which must have nothing against it.
        preprocessing: turns pictures into the model's input.
        label_smoothing: share of the target that is spread over all classes.
        batch_size: pictures in a batch, at most.

    Raises:
        TrainingError: when the compiler fails; the message holds its first complaint.
    """

    def __init__(
        self,
        model: TutorialNet,
        optimizer: CombinedOptimizer,
        preprocessing: Preprocessing,
        label_smoothing: float,
        batch_size: int,
    ) -> None:
        self._program = _load(compiled(model, preprocessing.image_size, batch_size))
        self._rules = cast(list[MomentumSGD], list(optimizer.rules))
        self._tensors = _tensors(model, self._rules)
        self._network = self._program.create(_pointers(self._tensors))  # which keeps no tensor alive: `_tensors` does
        finalize(self, self._program.destroy, self._network)
        self._mean, self._deviation = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self._smoothing = label_smoothing
        self._classes = model.layers[-1].out_features
        rule = self._rules[0]
        self._rule = (ctypes.c_float * 4)(0.0, rule.momentum, rule.weight_decay, float(rule.nesterov))

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the loss, float32 [], and the logits, float32 [B, C].

        Raises:
            LossNotFiniteError: when the loss is not finite; no weight was changed.
        """
        images = batch.images
        logits = torch.empty(len(images), self._classes)
        self._rule[0] = float(self._rules[0].lr)
        loss = self._program.step(
            self._network,
            images.data_ptr(),
            (ctypes.c_int64 * 4)(*images.stride()),
            self._mean.data_ptr(),
            self._deviation.data_ptr(),
            batch.labels.data_ptr(),
            len(images),
            self._smoothing,
            self._rule,
            logits.data_ptr(),
        )
        if not isfinite(loss):
            raise LossNotFiniteError(steps_ago=0)
        return torch.tensor(loss), logits


def compiled(model: TutorialNet, image_size: tuple[int, int], batch_size: int) -> Path:
    """Returns the program for a network's sizes, compiled now unless the cache folder holds it.

    Raises:
        TrainingError: when the compiler fails.
        StorageError: when the cache folder cannot be written.
    """
    definitions = [f"-D{name}={value}" for name, value in sizes(model, image_size, batch_size).items()]
    return program(["network.cpp", "layers.h"], [*_SUMS, *definitions])


def sizes(model: TutorialNet, image_size: tuple[int, int], batch_size: int) -> dict[str, str]:
    """Returns the constants that `kernels/network.cpp` is compiled with.

    Example:
        >>> from tenfold.models.tutorial import tutorial
        >>> sizes(tutorial(10, (32, 32)), (32, 32), 4)["STAGES"]
        'Conv<3,6,5,32,32,true>,Conv<6,16,5,14,14,true>'
    """
    (height, width), channels, stages = image_size, 3, []
    for convolution, pooled in model.convolutions:
        kernel = convolution.kernel_size[0]
        numbers = (convolution.in_channels, convolution.out_channels, kernel, height, width)
        stages.append(f"Conv<{','.join(map(str, numbers))},{str(pooled).lower()}>")
        height, width = ((side - kernel + 1) // (2 if pooled else 1) for side in (height, width))
        channels = convolution.out_channels
    return {
        "BATCH": str(batch_size),
        "STAGES": ",".join(stages),
        "FEATURES": f"{channels},{height},{width}",
        "LAYERS": ",".join(f"Linear<{layer.in_features},{layer.out_features}>" for layer in model.layers),
    }


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    pointer, number, count = ctypes.c_void_p, ctypes.c_float, ctypes.c_int
    program = ctypes.CDLL(str(path))
    program.create.argtypes, program.create.restype = [pointer], pointer
    program.destroy.argtypes, program.destroy.restype = [pointer], None
    program.step.argtypes = [pointer, pointer, pointer, pointer, pointer, pointer, count, number, pointer, pointer]
    program.step.restype = number
    return program


def _tensors(model: TutorialNet, rules: Sequence[MomentumSGD]) -> list[Tensor]:
    """Returns weight, bias and their velocities of each layer, as `create` in `kernels/network.cpp` takes them."""
    velocities = {
        id(weight): velocity
        for rule in rules
        for weight, velocity in zip(rule.weights, rule.memory["momentum"], strict=True)
    }
    layers: list[nn.Conv2d | nn.Linear] = [*(layer for layer, _ in model.convolutions), *model.layers]
    learnt = [(layer.weight, cast(Tensor, layer.bias)) for layer in layers]
    return [tensor for pair in learnt for tensor in (*pair, *(velocities[id(weight)] for weight in pair))]


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
