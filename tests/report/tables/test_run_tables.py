"""Tables and lines about a run, as printed."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from harness.rendered import lines_of
from tenfold.evaluate.metrics import evaluate_logits, per_class_results
from tenfold.models.summary import LayerRow
from tenfold.report.tables.run_tables import (
    accuracy_line,
    class_table,
    ground_truth_lines,
    layer_table,
    listing,
    near_duplicate_line,
    plain_line,
    prediction_table,
)


def test_the_accuracy_line_is_a_sentence():
    line = accuracy_line(0.793, (0.785, 0.801), 10_000)
    assert line.plain == "accuracy 79.3 % (95 % interval 78.5–80.1 %) on 10,000 test images"
    assert accuracy_line(1, (0.5, 1), 1, "image").plain.endswith("on 1 image")


def test_the_accuracy_without_near_duplicates_is_a_sentence():
    found = {"pictures": 32, "left": 20, "test_accuracy": 0.8, "test_interval": [0.584, 0.919]}
    assert near_duplicate_line({"near_duplicates": found}) == [
        "without the 12 test images that have a near duplicate in train: 80.0 % (95 % interval 58.4–91.9 %) "
        "on 20 images"
    ]
    nothing_left = {"pictures": 32, "left": 0, "test_accuracy": None, "test_interval": None}
    assert near_duplicate_line({"near_duplicates": nothing_left})[0].startswith("all 32 test images have a near")
    for quiet in ({}, {"near_duplicates": None}, {"near_duplicates": {**found, "left": 32}}):
        assert near_duplicate_line(quiet) == []


def test_the_class_table_shows_counts_and_percentages():
    results = per_class_results(torch.tensor([[1200, 300], [0, 0]]), ("cat", "dog"))
    lines = lines_of(class_table(results))
    assert lines[0] == "class images accuracy 95 % interval precision F1"
    assert lines[2] == "cat 1,500 80.0 % 77.9–81.9 % 100.0 % 88.9 %"
    assert lines[3] == "dog 0 – – 0.0 % 0.0 %"


def test_names_are_not_parsed_as_markup_or_terminal_codes():
    results = per_class_results(torch.tensor([[1, 0], [0, 1]]), ("[red]x[/red]", "\x1b[2J"))
    text = "\n".join(lines_of(class_table(results)))
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert "[b].png" in "\n".join(lines_of(prediction_table([("[b].png", "[i]", 0.5)])))


def test_the_layer_table_has_totals():
    rows = [LayerRow("conv1", "Conv2d", (6, 28, 28), 456, 352_800), LayerRow("fc", "Linear", (10,), 1210, 1200)]
    lines = lines_of(layer_table(rows))
    assert lines[2] == "conv1 Conv2d 6 × 28 × 28 456 352,800"
    assert lines[-1] == "total 1,666 354,000"


def test_predictions_show_path_label_and_probability():
    lines = lines_of(prediction_table([("a/cat.png", "cat", 0.913), ("b.png", "dog", None)]))
    assert lines[2:] == ["a/cat.png cat 91.3 %", "b.png dog –"]


def test_a_long_path_is_folded_and_never_cut():
    path = "folder/" * 20 + "cat.png"
    assert path in "".join(
        line.split(" ")[0] for line in lines_of(prediction_table([(path, "cat", 0.5)]), width=60)[2:]
    )


def test_a_listing_formats_numbers_and_missing_cells():
    lines = lines_of(listing(["store", "images"], [["cifar10", 60_000], ["mine", None]]))
    assert lines == ["store images", lines[1], "cifar10 60,000", "mine –"]


def test_a_listing_needs_a_cell_for_each_heading():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        listing(["a", "b"], [["x"]])


def test_tables_do_not_import_torch():
    command = "import sys, tenfold.report.tables.run_tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_the_accuracy_without_tta_is_shown_if_tta_was_used() -> None:
    logits = torch.tensor([[3.0, 0.0], [0.0, 3.0], [3.0, 0.0], [0.0, 3.0]])
    plain = evaluate_logits(logits, torch.tensor([0, 1, 0, 0]), ("cat", "dog"))
    assert plain_line(plain) == []
    with_tta = replace(plain, plain_accuracy=0.5)
    assert plain_line(with_tta) == ["without TTA 50.0 % (95 % interval 15.0–85.0 %)"]


def test_ground_truth_lines_are_those_of_the_tutorial_but_aligned():
    lines = ground_truth_lines(["cat", "ship", "ship", "plane"], ["cat", "ship", "plane", "plane"])
    assert lines.split("\n") == [
        "GroundTruth:  cat   ship  ship  plane",
        "Predicted:    cat   ship  plane plane",
    ]


def test_no_images_give_two_empty_lines():
    assert ground_truth_lines([], []) == "GroundTruth:\nPredicted:"


def test_a_newline_in_a_name_does_not_break_the_lines():
    assert ground_truth_lines(["a\nb"], ["c"]).count("\n") == 1


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        ground_truth_lines(["cat"], [])
