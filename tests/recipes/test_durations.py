"""Durations: one meaning for each way of writing them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.recipes.durations import Duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 epochs", Duration(2, "epochs")),
        ("1 epoch", Duration(1, "epochs")),
        ("0.5epochs", Duration(0.5, "epochs")),
        ("500 steps", Duration(500, "steps")),
        (" 60 s ", Duration(60, "s")),
        ("5 min", Duration(300, "s")),
        ("90 seconds", Duration(90, "s")),
        ("1.5 hours", Duration(5400, "s")),
        ("2 h", Duration(7200, "s")),
    ],
)
def test_every_unit_is_read(text: str, expected: Duration) -> None:
    assert Duration.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", "is no duration"),
        ("2", "is no duration"),
        ("2 epochs 3 steps", "is no duration"),
        ("-1 epochs", "is no duration"),
        ("0 epochs", "no time at all"),
        ("2.5 steps", "no whole number of steps"),
        ("9" * 400 + " s", "longer than can be counted"),
    ],
)
def test_what_is_no_duration_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Duration.parse(text)


@given(
    st.one_of(
        st.builds(Duration, st.floats(1e-6, 1e12), st.sampled_from(["epochs", "s"])),
        st.builds(Duration, st.integers(1, 10**12).map(float), st.just("steps")),
    )
)
def test_text_of_a_duration_reads_back_as_the_same(duration: Duration) -> None:
    assert Duration.parse(str(duration)) == duration


def test_a_duration_is_left_as_it_is() -> None:
    assert Duration.parse(Duration(3, "steps")) == Duration(3, "steps")


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_whole_epochs_are_whole_numbers_of_steps(per_epoch: int, epochs: int) -> None:
    assert Duration(epochs, "epochs").steps(per_epoch) == per_epoch * epochs


@pytest.mark.parametrize(
    ("duration", "steps"),
    [
        (Duration(0.07, "epochs"), 7),
        (Duration(0.075, "epochs"), 8),
        (Duration(0.001, "epochs"), 1),
        (Duration(40, "steps"), 40),
        (Duration(60, "s"), None),
    ],
)
def test_parts_of_an_epoch_are_rounded_up_and_seconds_are_left_to_the_clock(
    duration: Duration, steps: int | None
) -> None:
    assert duration.steps(per_epoch=100) == steps
