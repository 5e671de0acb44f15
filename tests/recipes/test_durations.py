"""Parsing and converting durations."""

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
def test_all_units_are_parsed(text: str, expected: Duration) -> None:
    assert Duration.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", "is not a duration"),
        ("2", "is not a duration"),
        ("2 epochs 3 steps", "is not a duration"),
        ("-1 epochs", "is not a duration"),
        ("0 epochs", "is not a positive duration"),
        ("2.5 steps", "not a whole number of steps"),
        ("9" * 400 + " s", "is too long"),
    ],
)
def test_an_invalid_duration_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Duration.parse(text)


@given(
    st.one_of(
        st.builds(Duration, st.floats(1e-6, 1e12), st.sampled_from(["epochs", "s"])),
        st.builds(Duration, st.integers(1, 10**12).map(float), st.just("steps")),
    )
)
def test_the_text_of_a_duration_is_parsed_back(duration: Duration) -> None:
    assert Duration.parse(str(duration)) == duration


def test_parsing_a_duration_returns_it() -> None:
    assert Duration.parse(Duration(3, "steps")) == Duration(3, "steps")


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_whole_epochs_have_exact_numbers_of_steps(per_epoch: int, epochs: int) -> None:
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
def test_partial_epochs_are_rounded_up(duration: Duration, steps: int | None) -> None:
    assert duration.steps(per_epoch=100) == steps
