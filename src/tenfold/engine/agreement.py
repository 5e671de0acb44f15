"""What the processes of a run agree on: whether a signal ends it, one clock, and the same state to the bit."""

from collections.abc import Iterable

import torch
from torch import Tensor

from tenfold.core.text import plural
from tenfold.data.share import Share
from tenfold.engine.distributed import Processes
from tenfold.engine.signals import StopRequest
from tenfold.engine.times import RunTimes


def agree(processes: Processes, stop: StopRequest, times: RunTimes | None = None) -> None:
    """Lets all processes stop after the same step, and follow the clock of rank 0. Alone, nothing happens."""
    if not processes.is_several:
        return
    measured = (0.0, 0.0) if times is None else times.measured()
    by_rank = processes.exchange([stop.received or 0, *measured])
    stop.agree(int(max(number for number, *_ in by_rank)) or None)
    if times is not None:
        times.agree(*by_rank[0][1:])


def share_text(processes: Processes, share: Share, batch_size: int, reduce: str) -> str:
    """Returns in one line how many images of a batch each process trains.

    Args:
        processes: at least two.
        share: of any of them.
        batch_size: number of images in a batch.
        reduce: how gradients are added up, `flat` or `ddp`.
    """
    counts = [sum(of_rank) for of_rank in zip(*share.counts(batch_size), strict=True)]
    fewest, most = min(counts), max(counts)
    each = f"{most}" if fewest == most else f"{fewest} or {most}"
    images = plural(batch_size, "image")
    how = "in one message" if reduce == "flat" else "during the backward pass"
    return f"processes: {processes.world.size}, each trains {each} of the {images} of a batch; gradients add up {how}"


def keep_equal(processes: Processes, tensors: Iterable[Tensor]) -> bool:
    """Gives all processes the tensors of rank 0 where they differ, and returns whether they did.

    Every process computes each update, with the same bits on the same kind of processor. Another kind may round
    otherwise.
    """
    tensors = list(tensors) if processes.is_several else []
    if not tensors:
        return False
    by_rank = processes.gather(torch.stack([_checksum(tensor) for tensor in tensors]))
    differ = bool((by_rank != by_rank[0]).any())
    if differ:
        processes.broadcast_tensors(tensors)
    return differ


def _checksum(tensor: Tensor) -> Tensor:
    """Returns the sum of the bits as numbers, int64 []."""
    integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.detach().contiguous().view(integers).sum(dtype=torch.int64)
