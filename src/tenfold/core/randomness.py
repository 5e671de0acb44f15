"""Random seeds as a pure function of the run's seed and a purpose."""

import hashlib

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Returns a seed in [0, 2⁶³) for one purpose. Different purposes give independent streams.

    Args:
        seed: seed of the run, at least 0.
        purpose: words and numbers that name what is drawn, such as `"order", epoch`.

    Example:
        >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 1) != derive_seed(0, "order", 2)
        True
    """
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator_for(seed: int, *purpose: str | int) -> torch.Generator:
    """Returns a CPU generator with the seed of `derive_seed(seed, *purpose)`."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))
