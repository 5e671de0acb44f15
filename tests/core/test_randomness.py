"""Derived seeds: the same in every version, and different for different purposes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.randomness import derive_seed, generator_for


def test_derived_seeds_never_change() -> None:
    # Every saved run depends on this.
    assert derive_seed(0, "order", 1) == 4374215849138048446


@given(st.integers(0, 2**63 - 1), st.lists(st.text(max_size=5) | st.integers(0, 9), max_size=3))
def test_a_derived_seed_is_a_pure_function_and_valid(seed: int, purpose: list[str | int]) -> None:
    derived = derive_seed(seed, *purpose)
    assert 0 <= derived < 2**63
    assert derive_seed(seed, *purpose) == derived
    torch.Generator().manual_seed(derived)


def test_different_purposes_and_seeds_do_not_collide() -> None:
    seeds = {derive_seed(seed, word, n) for seed in range(20) for word in ("order", "augment") for n in range(20)}
    assert len(seeds) == 800


def test_generators_depend_on_the_purpose() -> None:
    first, again, other = (torch.rand(8, generator=generator_for(3, "order", n)) for n in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_global_generator_is_unchanged() -> None:
    before = torch.get_rng_state()
    torch.rand(8, generator=generator_for(3, "order"))
    assert torch.equal(torch.get_rng_state(), before)
