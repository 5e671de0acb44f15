"""How a network computes logits: validation, test, later evaluation and prediction all do it here.

Batch norms are folded into convolutions, and each core of a CPU computes small batches of its own. A user's own network
runs as it is, one batch after another, because its `forward` may hold state.

Shapes: N images, B in a batch, H×W pixels, C classes.
"""

from contextlib import nullcontext
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tenfold.core.cores import in_turn, one_core_each
from tenfold.core.devices import evaluation_kernels
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.loader import image_batches
from tenfold.evaluate.logits import predict_logits
from tenfold.models.folding import inference_network, is_own_network

_CPU_PIXELS, _GPU_PIXELS = 128 * 32 * 32, 2048 * 32 * 32
"""Pixels of a batch that stays in the cache of a CPU core, and of one that keeps a GPU busy."""

_MIN_IMAGES = 8
"""Smallest batch that all cores of a CPU share, or for a GPU."""


def logits_of(
    model: nn.Module,
    images: NDArray[np.uint8],
    preprocessing: Preprocessing,
    *,
    batch_size: int = 0,
    views: str = "plain",
    unsure_below: float = 1.0,
    tf32: bool = False,
) -> tuple[Tensor, Tensor]:
    """Returns logits for images: averaged over the views, and without TTA; float32 [N, C] each, on the CPU.

    Args:
        model: from float [B, 3, H, W] to logits [B, C], on its device.
        images: uint8 [N, H, W, 3], of the network's size.
        preprocessing: of the network.
        batch_size: images per batch; 0 chooses a size for the device.
        views: see `predict_logits`.
        unsure_below: see `averaged_logits`.
        tf32: see `evaluation_kernels`.
    """
    device, is_own = next(model.parameters()).device, is_own_network(model)
    batch_size = batch_size or default_batch_size(model, preprocessing.image_size)
    batches = [slice(first, first + batch_size) for first in range(0, len(images), batch_size)]

    def inputs_of(rows: slice) -> Tensor:
        return preprocessing.normalize(next(image_batches(images[rows], batch_size, device)))

    way = nullcontext(in_turn) if is_own else one_core_each(device)
    with evaluation_kernels(tf32=tf32), way as run_all:
        # On one core too: threads that share such small work mostly wait for one another.
        (network,) = run_all(lambda size: inference_network(model, size), [preprocessing.image_size])
        return predict_logits(network, batches, inputs_of, views=views, unsure_below=unsure_below, run_all=run_all)


def default_batch_size(model: nn.Module, image_size: tuple[int, int]) -> int:
    """Returns a batch size that fits the cache of a CPU core, or those of all cores together, or keeps a GPU busy."""
    device = next(model.parameters()).device
    on_cpu = device.type == "cpu"
    if on_cpu and not is_own_network(model):
        return cpu_batch_size(image_size)
    return max(_MIN_IMAGES, (_CPU_PIXELS if on_cpu else _GPU_PIXELS) // prod(image_size))


def cpu_batch_size(image_size: tuple[int, int]) -> int:
    """Returns how many images a CPU core computes at once, so that they stay in its cache.

    Example:
        >>> cpu_batch_size((224, 224)), cpu_batch_size((32, 32))
        (2, 128)
    """
    return max(1, _CPU_PIXELS // prod(image_size))
