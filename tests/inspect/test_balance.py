"""What labels alone tell at the start of a training."""

import numpy as np
import pytest

from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset, Split
from tenfold.evaluate.intervals import wilson
from tenfold.inspect.balance import first_glance, interval_width


def labelled(train: list[int], test: list[int]) -> Dataset:
    """Returns black pictures, so many of each class."""

    def split(counts: list[int]) -> Split:
        labels = np.repeat(np.arange(len(counts)), counts)
        return Split(np.zeros((len(labels), 2, 2, 3), np.uint8), labels)

    return Dataset("labelled", tuple(f"c{n}" for n in range(len(train))), split(train), split(test))


def test_ordinary_data_gets_no_words() -> None:
    assert first_glance(build_shapes(1000, 200)) == ()
    assert first_glance(labelled([10, 99], [60, 60])) == ()


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        ([50, 0], [100, 100], "1 class has no train pictures: 'c1'"),
        ([50, 50], [200, 0], "1 class has no test pictures: 'c1'"),
        ([50, 9], [100, 100], "1 class has fewer than 10 training pictures: 'c1' (9); more pictures of it would help"),
        ([20, 9, 3], [50, 50, 50], "2 classes have fewer than 10 training pictures: 'c1' (9), 'c2' (3); more pictures"),
        ([500, 50], [100, 100], "lopsided classes: 'c0' has 500 training pictures, 'c1' 50, 10 times fewer; judge by"),
        ([50, 50], [10, 20], "only 30 test pictures: the 95 % interval of an accuracy can be 34 points wide"),
    ],
)
def test_what_is_uncommon_is_told(train: list[int], test: list[int], sentence: str) -> None:
    (found,) = first_glance(labelled(train, test))
    assert found.startswith(sentence)


def test_many_small_classes_are_counted_and_some_named() -> None:
    (found,) = [one for one in first_glance(labelled([2] * 40, [3] * 40)) if "fewer" in one]
    assert found.startswith("40 classes have fewer than 10 training pictures: 'c0' (2), 'c1' (2)")
    assert "and 35 more" in found


@pytest.mark.parametrize("pictures", [2, 30, 100, 10_000])
def test_the_width_is_that_of_wilsons_interval(pictures: int) -> None:
    low, high = wilson(pictures // 2, pictures)
    assert interval_width(pictures) == pytest.approx(high - low, rel=1e-4)
