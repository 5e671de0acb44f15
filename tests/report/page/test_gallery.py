"""Selection of the images of a page, for any predictions."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.tiny import dataset
from tenfold.data.types import Split
from tenfold.report.page.confusion import cells_with_images, confusion_cells, most_confused
from tenfold.report.page.gallery import images_by_cell, least_confident, most_confident_errors, page_images
from tenfold.report.page.predictions import Predictions, predictions_of
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import PredictionRow

NAMES = st.sampled_from("abcd")
ROWS = st.lists(st.tuples(NAMES, NAMES, st.floats(0, 1)), min_size=1, max_size=60)


def predictions_from(rows: list[tuple[str, str, float]]) -> Predictions:
    return predictions_of([PredictionRow(str(i), *row) for i, row in enumerate(rows)], "abcd")


@given(ROWS)
def test_the_most_confident_errors_are_chosen(rows: list[tuple[str, str, float]]) -> None:
    predictions = predictions_from(rows)
    chosen = most_confident_errors(predictions, 5)
    wrong = sorted((p for true, predicted, p in rows if true != predicted), reverse=True)
    assert [rows[i][2] for i in chosen] == wrong[:5]
    assert not predictions.is_correct[chosen].any()


@given(ROWS)
def test_the_least_confident_come_first(rows: list[tuple[str, str, float]]) -> None:
    assert [rows[i][2] for i in least_confident(predictions_from(rows), 5)] == sorted(p for _, _, p in rows)[:5]


@given(ROWS, st.integers(0, 30), st.integers(1, 5))
def test_cells_get_images_in_turns_up_to_the_limit(
    rows: list[tuple[str, str, float]], max_images: int, per_cell: int
) -> None:
    predictions = predictions_from(rows)
    cells = cells_with_images(confusion_cells(predictions.confusion), ())
    chosen = images_by_cell(predictions, cells, max_images, per_cell)
    sizes = [min(cell.count, per_cell) for cell in cells]
    assert sum(map(len, chosen.values())) == min(max_images, sum(sizes))
    counts = [len(chosen[cell.key]) for cell in cells]
    unfilled = [count for count, size in zip(counts, sizes, strict=True) if count < size]
    assert max(counts) <= min(unfilled, default=per_cell) + 1
    for cell in cells:
        for index in chosen[cell.key]:
            assert (predictions.true[index], predictions.predicted[index]) == (cell.true, cell.predicted)
        confidence = predictions.confidence[list(chosen[cell.key])]
        assert (np.diff(confidence) <= 0).all()


@given(ROWS, st.integers(0, 20))
def test_the_most_confused_pairs_are_listed(rows: list[tuple[str, str, float]], max_pairs: int) -> None:
    confusion = predictions_from(rows).confusion
    pairs = most_confused(confusion, max_pairs)
    counts = [pair.count for pair in pairs]
    every = sorted((int(n) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j and n), reverse=True)
    assert counts == every[:max_pairs]
    assert not any(pair.is_correct for pair in pairs)


@given(ROWS)
def test_errors_come_before_correct_predictions(rows: list[tuple[str, str, float]]) -> None:
    cells = cells_with_images(confusion_cells(predictions_from(rows).confusion), ())
    assert [cell.is_correct for cell in cells] == sorted(cell.is_correct for cell in cells)
    assert sum(cell.count for cell in cells) == len(rows)
    assert all(0 <= cell.tint <= 0.55 for cell in cells)


def test_images_are_chosen_by_the_probability_that_predict_gives() -> None:
    rows = [
        PredictionRow(str(i), "a", "b", p, calibrated) for i, (p, calibrated) in enumerate([(0.9, 0.5), (0.8, 0.7)])
    ]
    assert most_confident_errors(predictions_of(rows), 1).tolist() == [1]
    assert least_confident(predictions_of(rows), 1).tolist() == [0]


def test_images_and_heatmaps_have_no_margin(trained: RunFolder) -> None:
    """They show what the network sees, as for the same images stored without a margin."""
    plain = dataset(val=12)

    def with_margin(split: Split) -> Split:
        return replace(split, images=np.pad(split.images, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge"))

    stored = replace(plain, train=with_margin(plain.train), test=with_margin(plain.test), val=None, fit="crop:0.889")
    predictions = predictions_of(trained.read_predictions(), plain.classes)
    cells = cells_with_images(confusion_cells(predictions.confusion), ())
    found = page_images(trained, stored, predictions, cells, None)
    assert found == page_images(trained, plain, predictions, cells, None)
    assert not isinstance(found, str)
    assert found.unsure.sheet is not None
    assert found.unsure.heatmaps is not None
    assert found.unsure.sheet.height == found.unsure.heatmaps.height == 16
