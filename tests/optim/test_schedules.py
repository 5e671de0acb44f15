"""Schedules against their closed forms."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from tenfold.optim.schedules import Schedule, build_schedule, constant, cosine, linear, one_cycle, step

fractions = st.floats(0, 1)
inner_fractions = st.floats(0.01, 0.99)
NAMES = ["constant", "step", "linear", "cosine", "one-cycle"]


@given(fractions)
def test_constant_is_one(done: float) -> None:
    assert constant(done) == build_schedule("constant")(done) == 1


@given(fractions, fractions)
def test_linear_is_linear(done: float, final: float) -> None:
    assert linear(done, final) == pytest.approx((1 - done) + done * final)


@given(fractions, fractions)
def test_cosine_is_half_a_cosine(done: float, final: float) -> None:
    assert cosine(done, final) == pytest.approx(final + (1 - final) * math.cos(math.pi * done / 2) ** 2)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@given(final=st.floats(0, 0.99), first=fractions, second=fractions)
def test_decreasing_schedules_end_at_their_final_value(name: str, final: float, first: float, second: float) -> None:
    schedule = build_schedule(name, final=final)
    early, late = sorted((first, second))
    assert schedule(early) >= schedule(late) - 1e-12
    assert schedule(0) == 1
    assert schedule(1) == pytest.approx(final)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])  # the others use fractions of the whole run
@given(warmup=st.floats(0.01, 0.99), fraction=fractions)
def test_warmup_is_linear_and_the_schedule_covers_the_rest(name: str, warmup: float, fraction: float) -> None:
    schedule, decay = build_schedule(name, warmup=warmup, final=0.1), build_schedule(name, final=0.1)
    assert schedule(warmup * fraction) == pytest.approx(fraction if fraction < 1 else 1)
    assert schedule(warmup + (1 - warmup) * fraction) == pytest.approx(decay(fraction), abs=1e-9)


@given(fractions, st.lists(inner_fractions, min_size=1, max_size=4, unique=True), st.floats(0.01, 1))
def test_step_decreases_at_each_milestone_only(done: float, milestones: list[float], factor: float) -> None:
    passed = sum(milestone <= done for milestone in milestones)
    assert step(done, sorted(milestones), factor) == pytest.approx(factor**passed)


@given(peak=inner_fractions, final=st.floats(0, 0.04), first=fractions, second=fractions)
def test_one_cycle_increases_to_its_peak_and_then_decreases(
    peak: float, final: float, first: float, second: float
) -> None:
    early, late = sorted((first, second))
    if late <= peak:
        assert one_cycle(early, peak, final) <= one_cycle(late, peak, final) + 1e-12
    elif early >= peak:
        assert one_cycle(early, peak, final) >= one_cycle(late, peak, final) - 1e-12
    assert one_cycle(0, peak, final) == pytest.approx(1 / 25)
    assert one_cycle(peak, peak, final) == 1
    assert one_cycle(1, peak, final) == pytest.approx(final)


@pytest.mark.parametrize("name", NAMES)
@given(warmup=st.floats(0, 0.4), final=st.floats(0, 0.99), done=fractions)
def test_a_factor_is_between_zero_and_one(name: str, warmup: float, final: float, done: float) -> None:
    schedule = build_schedule(name, warmup=warmup, final=final, peak=0.5)
    assert 0 <= schedule(done) <= 1 + 1e-12


@pytest.mark.parametrize("name", [name for name in NAMES if name != "step"])
@given(warmup=st.floats(0.01, 0.4), done=st.floats(0, 1 - 1e-6))
def test_all_schedules_except_step_are_continuous(name: str, warmup: float, done: float) -> None:
    schedule = build_schedule(name, warmup=warmup, peak=0.5)
    assert schedule(done + 1e-6) == pytest.approx(schedule(done), abs=2e-4)


@given(st.floats(0.01, 0.4))
def test_milestones_and_peak_are_fractions_of_the_whole_run(warmup: float) -> None:
    falling = build_schedule("step", warmup=warmup, milestones=[0.5, 0.75], step_factor=0.5)
    assert [falling(done) for done in (warmup, 0.4999, 0.5, 0.7499, 0.75, 1.0)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert build_schedule("one-cycle", warmup=warmup, peak=0.5)(0.5) == 1


@given(st.floats(0.01, 0.4), fractions)
def test_warmup_ends_at_the_initial_factor_of_the_schedule(warmup: float, fraction: float) -> None:
    cycle = build_schedule("one-cycle", warmup=warmup, peak=0.5)
    assert cycle(warmup * fraction) == pytest.approx(fraction / 25)


NUM_STEPS = 40
"""Number of steps in a run."""


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            build_schedule("step", milestones=[0.25, 0.5, 0.75], step_factor=0.2),
            lambda o: lr_scheduler.MultiStepLR(o, [10, 20, 30], gamma=0.2),
        ),
        (build_schedule("cosine"), lambda o: lr_scheduler.CosineAnnealingLR(o, NUM_STEPS)),
        (build_schedule("cosine", final=0.3), lambda o: lr_scheduler.CosineAnnealingLR(o, NUM_STEPS, eta_min=0.3)),
        (
            build_schedule("linear", final=0.1),
            lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=NUM_STEPS),
        ),
        # PyTorch peaks at step pct_start * total_steps − 1 and ends at total_steps − 1.
        (
            build_schedule("one-cycle", peak=0.25, final=0.04 / 1e4),
            lambda o: lr_scheduler.OneCycleLR(
                o, 1.0, total_steps=NUM_STEPS + 1, pct_start=11 / 41, cycle_momentum=False
            ),
        ),
    ],
    ids=["step", "cosine", "cosine with a final value", "linear", "one-cycle"],
)
def test_schedules_equal_those_of_pytorch(
    ours: Schedule, theirs: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]
) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = theirs(optimizer)
    for steps in range(NUM_STEPS + 1):
        assert ours(steps / NUM_STEPS) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9), (
            f"after {steps} steps"
        )
        if steps < NUM_STEPS:
            optimizer.step()
            scheduler.step()
