"""Schedules against their closed forms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.optim.schedules import build_schedule, constant, cosine, linear

shares = st.floats(0, 1)


@given(shares)
def test_constant_is_one(done: float) -> None:
    assert constant(done) == build_schedule("constant")(done) == 1


@given(shares, shares)
def test_linear_is_a_straight_line(done: float, final: float) -> None:
    assert linear(done, final) == pytest.approx((1 - done) + done * final)


@given(shares, shares)
def test_cosine_is_half_a_cosine(done: float, final: float) -> None:
    assert cosine(done, final) == pytest.approx(final + (1 - final) * math.cos(math.pi * done / 2) ** 2)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@given(final=st.floats(0, 0.99), first=shares, second=shares)
def test_falling_schedules_never_rise_and_end_where_they_are_told(
    name: str, final: float, first: float, second: float
) -> None:
    schedule = build_schedule(name, final=final)
    early, late = sorted((first, second))
    assert schedule(early) >= schedule(late) - 1e-12
    assert schedule(0) == 1
    assert schedule(1) == pytest.approx(final)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
@given(warmup=st.floats(0.01, 0.99), share=shares)
def test_warmup_rises_in_a_straight_line_and_the_decay_takes_what_is_left(
    name: str, warmup: float, share: float
) -> None:
    schedule, decay = build_schedule(name, warmup=warmup, final=0.1), build_schedule(name, final=0.1)
    assert schedule(warmup * share) == pytest.approx(share if share < 1 else 1)
    assert schedule(warmup + (1 - warmup) * share) == pytest.approx(decay(share), abs=1e-9)
