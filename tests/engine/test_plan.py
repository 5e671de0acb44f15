import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.runs import noise_dataset
from tenfold.core.errors import RecipeError
from tenfold.data.types import Batch
from tenfold.engine.plan import Plan, effective_batch_size, extended, make_plan
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe


def plan_of(*overrides: str, train: int = 40, val: int = 0) -> Plan:
    return make_plan(resolve(Recipe(), list(overrides)), noise_dataset(train, val=val))


def no_clock() -> float:
    raise AssertionError("a run that counts steps must not read the clock")


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (["train.duration=2 epochs"], 20),
        (["train.duration=0.5 epochs"], 5),
        (["train.duration=0.01 epochs"], 1),
        (["train.duration=7 steps"], 7),
        (["train.duration=7 steps", "train.min_steps=9"], 9),
        (["train.duration=7 steps", "train.min_steps=5"], 7),
        (["train.duration=2 epochs", "train.batch_size=9"], 10),
        (["train.duration=2 epochs", "train.batch_size=9", "train.drop_last=true"], 8),
    ],
)
def test_a_duration_becomes_steps(settings: list[str], steps: int) -> None:
    plan = plan_of(*settings)
    assert plan.steps == steps
    assert not plan.is_over(steps - 1, no_clock)
    assert plan.is_over(steps, no_clock)
    assert plan.fraction_done(0, no_clock) == 0
    assert plan.fraction_done(10**9, no_clock) == 1


def test_a_duration_in_seconds_depends_on_the_clock() -> None:
    plan = plan_of("train.duration=60 s")
    assert plan.steps is None
    assert plan.fraction_done(10**9, lambda: 15.0) == 0.25
    assert not plan.is_over(10**9, lambda: 59.9)
    assert plan.is_over(0, lambda: 60.0)


@pytest.mark.parametrize(
    ("requested", "num_images", "size"),
    [(500, 50_000, 500), (500, 160, 40), (4, 16, 4), (4, 8, 2), (4, 1, 2), (1, 100, 1)],
)
def test_a_small_dataset_gets_smaller_batches(requested: int, num_images: int, size: int) -> None:
    assert effective_batch_size(requested, num_images) == size


@given(st.integers(1, 1000), st.integers(1, 100_000))
def test_a_batch_is_never_larger_than_requested(requested: int, num_images: int) -> None:
    size = effective_batch_size(requested, num_images)
    assert 1 <= size <= requested
    assert size == requested or size == 2 or num_images // size >= 4


def test_epochs_are_counted_from_one() -> None:
    plan = plan_of()  # ten steps an epoch
    assert [plan.epoch_of(step) for step in (0, 1, 10, 11, 20)] == [0, 1, 1, 2, 2]
    assert [step for step in range(1, 25) if plan.ends_epoch(step)] == [10, 20]


def test_ten_rows_per_epoch_are_logged_by_default() -> None:
    assert plan_of(train=400).log_every == 10
    assert plan_of().log_every == 1
    assert plan_of("train.log_every=3").log_every == 3


def test_checkpoints_are_due_by_steps_epochs_or_seconds() -> None:
    by_steps = plan_of("train.checkpoint_every=3 steps")
    assert [step for step in range(1, 8) if by_steps.checkpoint_due(step, 1e9)] == [3, 6]
    by_epochs = plan_of("train.checkpoint_every=0.5 epochs")
    assert [step for step in range(1, 12) if by_epochs.checkpoint_due(step, 1e9)] == [5, 10]
    by_seconds = plan_of("train.checkpoint_every=30 s")
    assert not by_seconds.checkpoint_due(5, 29.9)
    assert by_seconds.checkpoint_due(5, 30.0)


def test_early_stopping_needs_a_validation_split() -> None:
    assert plan_of("train.early_stop=2", val=6).patience == 2
    with pytest.raises(RecipeError, match=r"early_stop needs a validation split.*data\.val_fraction"):
        plan_of("train.early_stop=2")


def test_a_target_needs_a_validation_split() -> None:
    assert plan_of("train.target=0.9", val=6).target == 0.9
    with pytest.raises(RecipeError, match=r"train\.target needs a validation split.*data\.val_fraction"):
        plan_of("train.target=0.9")


@pytest.mark.parametrize(
    ("every", "evaluated"),
    [
        ("1 epoch", [10, 20]),
        ("0.5 epochs", [5, 10, 15, 20]),
        ("0.3 epochs", [3, 6, 9, 10, 13, 16, 19, 20]),
        ("4 steps", [4, 8, 10, 14, 18, 20]),
        ("0.001 epochs", list(range(1, 21))),
        ("500 steps", [10, 20]),
    ],
)
def test_evaluations_are_due_within_each_epoch_and_at_its_end(every: str, evaluated: list[int]) -> None:
    plan = plan_of(f"train.evaluate_every={every}", val=6)  # ten steps an epoch
    assert [step for step in range(1, 21) if plan.evaluation_due(step)] == evaluated


def test_without_a_validation_split_only_epoch_ends_are_due() -> None:
    plan = plan_of("train.evaluate_every=1 step")
    assert [step for step in range(1, 21) if plan.evaluation_due(step)] == [10, 20]


@pytest.mark.parametrize("every", ["30 s", "1.5 epochs"])
def test_an_evaluation_by_seconds_or_beyond_an_epoch_is_refused(every: str) -> None:
    with pytest.raises(RecipeError, match=rf"evaluate_every is {every}; expected steps or at most an epoch"):
        plan_of(f"train.evaluate_every={every}", val=6)


@pytest.mark.parametrize(
    "change",
    [
        "train.duration=9 epochs",
        "train.min_steps=9",
        "train.evaluate_every=2 steps",
        "train.target=0.5",
        "train.duration=9 steps",
        "train.device=cuda",
        "train.log_every=7",
        "train.checkpoint_every=5 steps",
        "train.early_stop=3",
    ],
)
def test_a_resumed_run_may_change_its_length_and_logging(change: str) -> None:
    after = resolve(Recipe(), [change])
    assert extended(Recipe(), after) == after


@pytest.mark.parametrize(
    "change",
    ["optim.lr=0.5", "train.batch_size=8", "train.seed=1", "train.shuffle=false", "model.name=mlp", "data.fit=pad"],
)
def test_a_resumed_run_keeps_everything_else(change: str) -> None:
    with pytest.raises(RecipeError, match=r"keeps its recipe; only train\.duration.*start a new run"):
        extended(Recipe(), resolve(Recipe(), [change]))


def test_a_resumed_run_keeps_its_unit_of_time() -> None:
    timed = resolve(Recipe(), ["train.duration=60 s"])
    assert extended(timed, resolve(timed, ["train.duration=90 s"])).train.duration.amount == 90
    for before, after in ((timed, Recipe()), (Recipe(), timed)):
        with pytest.raises(RecipeError, match=r"cannot be extended to .* give the new length in the same unit"):
            extended(before, after)


def test_image_size_grows_with_the_run() -> None:
    plan = plan_of("train.progressive=[[0.5, 0.5], [0.75, 0.8]]")
    batch = Batch(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2), torch.zeros(2))
    sizes = [tuple(plan.resized(batch, done).images.shape[2:]) for done in (0.0, 0.49, 0.5, 0.75, 1.0)]
    assert sizes == [(16, 16), (16, 16), (26, 26), (32, 32), (32, 32)]
    assert plan_of().resized(batch, 0.0) is batch


@pytest.mark.parametrize("val", [0, 8])
def test_an_evaluation_by_seconds_is_refused_without_a_split_too(val: int) -> None:
    with pytest.raises(RecipeError, match=r"train.evaluate_every is 3 s; expected steps or at most an epoch"):
        plan_of("train.evaluate_every=3 s", val=val)
