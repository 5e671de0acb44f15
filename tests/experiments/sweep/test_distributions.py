"""Search spaces: ranges and choices are read, and invalid ones are rejected."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.tiny import recipe
from tenfold.core.errors import RecipeError
from tenfold.experiments.sweep.distributions import Choice, Distribution, Range, check_space, parse_search

FLOATS = st.floats(-1e9, 1e9)
INTEGERS = st.integers(-(2**50), 2**50)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("optim.lr=log:1e-4..1", Range(1e-4, 1.0, log=True)),
        ("optim.momentum=0.5..0.99", Range(0.5, 0.99)),
        ("train.batch_size=int:32..512", Range(32, 512)),
        ("train.batch_size=32..512", Range(32, 512)),
        ("train.batch_size=log:16..512", Range(16, 512, log=True)),
        ("train.batch_size=16..512..16", Range(16, 512, step=16)),
        ("optim.label_smoothing=0..0.3..0.1", Range(0.0, 0.3, step=0.1)),
        ("model.width = 30..90", Range(30, 90)),
        ("model.share=-0.5..1", Range(-0.5, 1.0)),
        ("optim.name=sgd,adamw,muon", Choice(("sgd", "adamw", "muon"))),
        ("model.channels=[64,128],[32,64]", Choice(([64, 128], [32, 64]))),
        ("train.shuffle=true,false", Choice((True, False))),
        ("data.source=../a,../b", Choice(("../a", "../b"))),
        ("train.duration=2 epochs,500 steps", Choice(("2 epochs", "500 steps"))),
    ],
)
def test_ranges_and_choices_are_read(line: str, expected: Distribution) -> None:
    _, found = parse_search(line)
    assert found == expected
    if isinstance(expected, Range) and isinstance(found, Range):
        assert isinstance(found.low, int) == isinstance(expected.low, int)


def test_integer_ends_mean_floats_for_a_key_that_accepts_floats() -> None:
    assert str(parse_search("optim.lr=log:1..10")[1]) == "log:1.0..10.0"
    assert str(parse_search("model.width=log:1..10")[1]) == "int:log:1..10"
    assert str(parse_search("optim.lr=int:1..10")[1]) == "int:1..10"


@given(st.one_of(st.tuples(FLOATS, FLOATS), st.tuples(INTEGERS, INTEGERS)), st.booleans())
def test_any_range_is_read_back_from_its_text(ends: tuple[float, float], log: bool) -> None:
    low, high = sorted(ends)
    assume(low < high and not (log and low <= 0))
    expected = Range(low, high, log)
    key, found = parse_search(f"model.x={expected}")
    assert (key, found, str(found)) == ("model.x", expected, str(expected))


@given(
    st.lists(
        st.one_of(TEXTS, INTEGERS, FLOATS, st.lists(st.integers(), min_size=1, max_size=3)), min_size=2, max_size=5
    )
)
def test_any_choice_is_read_back_from_its_text(values: list[object]) -> None:
    assume(all(value not in values[:index] for index, value in enumerate(values)))
    expected = Choice(tuple(values))  # type: ignore[arg-type]
    assert parse_search(f"model.x={expected}") == ("model.x", expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim.lr=1..0.1", "1.0 is not less than 0.1; expected lo..hi, the smaller end first"),
        ("optim.lr=1..1", "1.0 is not less than 1.0; expected lo..hi, the smaller end first"),
        ("optim.lr=log:0..1", "'log:' starts at 0.0; expected a number above 0, e.g. optim.lr=log:1e-4..1"),
        ("optim.lr=log:1..9..1", "'log:' allows no step; leave out one of the two"),
        ("optim.lr=log:5", "expected a range of numbers lo..hi or lo..hi..step, e.g. optim.lr=log:1e-4..1"),
        ("optim.lr=1..x", "expected a range of numbers lo..hi or lo..hi..step, e.g. optim.lr=log:1e-4..1"),
        ("optim.lr=0..1e300", "the ends are too large; expected at most 9,007,199,254,740,992"),
        ("optim.lr=0..1..0.3", "steps of 0.3 do not end at 1.0; the last ends at 0.9"),
        ("optim.lr=0..1..0", "the step 0.0 does not fit between 0.0 and 1.0; expected one above 0 and of at most 1.0"),
        ("optim.lr=0..1..2", "the step 2.0 does not fit between 0.0 and 1.0; expected one above 0 and of at most 1.0"),
        ("model.x=int:1.5..3", "'int:' means integers; expected integer ends such as int:16..512"),
        ("optim.name=sgd", "one value leaves nothing to search; set it with --set, or give a range"),
    ],
)
def test_an_invalid_range_is_rejected(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^--search {re.escape(text)}: {re.escape(message)}$"):
        parse_search(text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("optim.lr", "--search optim.lr: expected section.key=values, e.g. --search optim.lr=log:1e-4..1"),
        ("lr=1..2", "--search lr=1..2: expected section.key=values, e.g. --search optim.lr=log:1e-4..1"),
        ("optim.name=sgd,sgd", "--search optim.name: sgd is given twice; expected each value once"),
    ],
)
def test_an_invalid_line_is_rejected_with_an_example(line: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}$"):
        parse_search(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("optim.lr=0..1", r"^--search optim\.lr=0\.0: optim\.lr is 0\.0; expected a number above 0$"),
        ("optim.momentum=0.5..1", r"^--search optim\.momentum=1\.0: .*expected a number of at least 0 and below 1$"),
        ("train.batch_size=0.5..2.5", r"^2 mistakes: \(1\) --search train\.batch_size=0\.5: .*expected a whole number"),
        ("optim.name=sgd,sgdd", r"^--search optim\.name=sgdd: .*did you mean 'sgd'\?"),
        ("optim.lrr=0.1..1", r"--search optim\.lrr=0\.1: unknown key 'optim\.lrr'; did you mean 'lr'\?"),
        ("model.hidden=[8],[0]", r"^--search model\.hidden=\[0\]: "),
    ],
)
def test_values_that_the_recipe_rejects_are_rejected_before_the_search(line: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_space(recipe("mlp"), dict([parse_search(line)]))


def test_a_space_that_the_recipe_accepts_passes() -> None:
    check_space(recipe("mlp"), dict([parse_search("optim.lr=log:1e-4..1"), parse_search("model.hidden=[8],[9,9]")]))
