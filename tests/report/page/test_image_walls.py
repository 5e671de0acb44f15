"""Which pictures are chosen, for whatever a network answers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tenfold.report.page.confusion import matrix, most_confused, shown_cells
from tenfold.report.page.image_walls import least_sure, pictures_of_cells, surest_mistakes
from tenfold.report.page.predictions import Judgement, judgement_of
from tenfold.runs.tables import Prediction

NAMES = st.sampled_from("abcd")
ROWS = st.lists(st.tuples(NAMES, NAMES, st.floats(0, 1)), min_size=1, max_size=60)


def judged(rows: list[tuple[str, str, float]]) -> Judgement:
    return judgement_of([Prediction(str(i), *row) for i, row in enumerate(rows)], "abcd")


@given(ROWS)
def test_mistakes_are_wrong_and_none_surer_is_left_out(rows: list[tuple[str, str, float]]) -> None:
    judgement = judged(rows)
    chosen = surest_mistakes(judgement, 5)
    wrong = sorted((p for true, guess, p in rows if true != guess), reverse=True)
    assert [rows[i][2] for i in chosen] == wrong[:5]
    assert not judgement.right[chosen].any()


@given(ROWS)
def test_the_least_sure_come_first(rows: list[tuple[str, str, float]]) -> None:
    assert [rows[i][2] for i in least_sure(judged(rows), 5)] == sorted(p for _, _, p in rows)[:5]


@given(ROWS, st.integers(0, 30), st.integers(1, 5))
def test_cells_are_served_in_turns_until_all_is_dealt(rows: list[tuple[str, str, float]], most: int, each: int) -> None:
    judgement = judged(rows)
    cells = shown_cells(matrix(judgement.confusion), ())
    dealt = pictures_of_cells(judgement, cells, most, each)
    sizes = [min(cell.count, each) for cell in cells]
    assert sum(map(len, dealt.values())) == min(most, sum(sizes))
    shares = [len(dealt[cell.key]) for cell in cells]
    unfilled = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert max(shares) <= min(unfilled, default=each) + 1
    for cell in cells:
        for place in dealt[cell.key]:
            assert (judgement.true[place], judgement.predicted[place]) == (cell.true, cell.predicted)
        chances = judgement.probability[list(dealt[cell.key])]
        assert (np.diff(chances) <= 0).all()


@given(ROWS, st.integers(0, 20))
def test_no_pair_was_confused_more_often_than_those_named(rows: list[tuple[str, str, float]], most: int) -> None:
    confusion = judged(rows).confusion
    pairs = most_confused(confusion, most)
    counts = [pair.count for pair in pairs]
    every = sorted((int(n) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j and n), reverse=True)
    assert counts == every[:most]
    assert not any(pair.is_right for pair in pairs)


@given(ROWS)
def test_mistakes_are_served_before_what_was_recognised(rows: list[tuple[str, str, float]]) -> None:
    cells = shown_cells(matrix(judged(rows).confusion), ())
    assert [cell.is_right for cell in cells] == sorted(cell.is_right for cell in cells)
    assert sum(cell.count for cell in cells) == len(rows)
    assert all(0 <= cell.tint <= 0.55 for cell in cells)
