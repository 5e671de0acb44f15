"""Taking back what a checkpoint remembers."""

from collections.abc import Mapping

from torch import Tensor

from tenfold.core.errors import RunError


def restore(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], whose: str) -> None:
    """Copies `saved` into the tensors of `own`, which keep their place in memory, their device and their layout.

    Args:
        own: what is there now, by name; none requires a gradient.
        saved: what a checkpoint holds.
        whose: what remembers them, e.g. `optimiser`.

    Raises:
        RunError: when names or shapes differ; nothing is changed then.
    """
    if {name: tensor.shape for name, tensor in saved.items()} != {name: tensor.shape for name, tensor in own.items()}:
        raise RunError(
            f"the checkpoint does not fit the recipe's {whose}: it holds {len(saved)} tensors of it, expected "
            f"{len(own)} of the same names and shapes; go on with the recipe and the version of tenfold that wrote it"
        )
    for name, tensor in saved.items():
        own[name].copy_(tensor)
