"""What a user reads on the screen."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from rich.console import Console, RenderableType

from tenfold.evaluate.metrics import evaluate_logits, per_class_results
from tenfold.models.summary import LayerRow
from tenfold.report.tables.run_tables import (
    accuracy_line,
    class_table,
    file_size,
    ground_truth_lines,
    layer_table,
    listing,
    percent,
    plain_line,
    prediction_table,
    prediction_titles,
)


def _printed(table: RenderableType, width: int = 100) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return [" ".join(line.split()) for line in captured.get().splitlines() if line.strip()]


def test_the_overall_line_reads_as_a_sentence():
    line = accuracy_line(0.793, (0.785, 0.801), 10_000)
    assert line.plain == "accuracy 79.3 % (95 % interval 78.5–80.1 %) on 10,000 test pictures"
    assert accuracy_line(1, (0.5, 1), 3, "pictures").plain.endswith("on 3 pictures")


def test_the_class_table_shows_counts_shares_and_gaps():
    results = per_class_results(torch.tensor([[1200, 300], [0, 0]]), ("cat", "dog"))
    lines = _printed(class_table(results))
    assert lines[0] == "class pictures accuracy 95 % interval precision F1"
    assert lines[2] == "cat 1,500 80.0 % 77.9–81.9 % 100.0 % 88.9 %"
    assert lines[3] == "dog 0 – – 0.0 % 0.0 %"


def test_names_are_never_read_as_markup_or_terminal_commands():
    results = per_class_results(torch.tensor([[1, 0], [0, 1]]), ("[red]x[/red]", "\x1b[2J"))
    text = "\n".join(_printed(class_table(results)))
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert "[b].png" in "\n".join(_printed(prediction_table([("[b].png", "[i]", 0.5)])))


def test_the_layer_table_adds_up():
    rows = [LayerRow("conv1", "Conv2d", (6, 28, 28), 456, 352_800), LayerRow("fc", "Linear", (10,), 1210, 1200)]
    lines = _printed(layer_table(rows))
    assert lines[2] == "conv1 Conv2d 6 × 28 × 28 456 352,800"
    assert lines[-1] == "all 1,666 354,000"


def test_predictions_show_path_label_and_probability():
    lines = _printed(prediction_table([("a/cat.png", "cat", 0.913), ("b.png", "dog", None)]))
    assert lines[2:] == ["a/cat.png cat 91.3 %", "b.png dog –"]


def test_a_long_path_is_folded_and_never_cut():
    path = "folder/" * 20 + "cat.png"
    assert path in "".join(line.split(" ")[0] for line in _printed(prediction_table([(path, "cat", 0.5)]), 60)[2:])


def test_a_listing_aligns_numbers_and_marks_gaps():
    lines = _printed(listing(["store", "pictures"], [["cifar10", 60_000], ["mine", None]]))
    assert lines == ["store pictures", lines[1], "cifar10 60,000", "mine –"]


def test_a_listing_with_a_missing_cell_is_refused():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        listing(["a", "b"], [["x"]])


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (2 * 10**15, "2000.0 TB")]
)
def test_sizes_are_given_in_the_unit_that_suits(count, text):
    assert file_size(count) == text


def test_percent_has_one_decimal():
    assert [percent(share) for share in (0, 0.12345, 1, None)] == ["0.0 %", "12.3 %", "100.0 %", "–"]


def test_tables_come_without_torch():
    command = "import sys, tenfold.report.tables.run_tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_the_accuracy_from_one_view_is_told_where_several_were_averaged() -> None:
    logits = torch.tensor([[3.0, 0.0], [0.0, 3.0], [3.0, 0.0], [0.0, 3.0]])
    plain = evaluate_logits(logits, torch.tensor([0, 1, 0, 0]), ("cat", "dog"))
    assert plain_line(plain) == []
    averaged = replace(plain, plain_accuracy=0.5)
    assert plain_line(averaged) == ["from one view of each picture 50.0 % (95 % interval 15.0–85.0 %)"]


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
