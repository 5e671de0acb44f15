"""The tutorials' text lines and the titles of result pictures."""

import pytest

from tenfold.report.pictures import ground_truth_lines, prediction_titles


def test_the_lines_are_those_of_the_tutorial_with_columns_that_line_up():
    lines = ground_truth_lines(["cat", "ship", "ship", "plane"], ["cat", "ship", "plane", "plane"])
    assert lines.split("\n") == [
        "GroundTruth:  cat   ship  ship  plane",
        "Predicted:    cat   ship  plane plane",
    ]


def test_no_pictures_give_two_empty_lines():
    assert ground_truth_lines([], []) == "GroundTruth:\nPredicted:"


def test_a_newline_in_a_name_does_not_break_the_lines():
    assert ground_truth_lines(["a\nb"], ["c"]).count("\n") == 1


def test_a_wrong_picture_is_titled_with_guess_and_truth():
    assert prediction_titles(["cat", "ship"], ["cat", "plane"]) == ["cat", "plane\ntruth: ship"]


def test_lists_of_unlike_length_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        ground_truth_lines(["cat"], [])
    with pytest.raises(ValueError, match="longer"):
        prediction_titles([], ["cat"])
