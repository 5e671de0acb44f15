"""Every number of a page, recomputed from `predictions.csv` in plain Python."""

import csv
import math
from collections import Counter
from pathlib import Path

import pytest

from harness.pages import Element, read_page
from harness.predicted_runs import predicted_run, random_predictions
from tenfold.report.page.run_page import page

CLASSES = ("cat", "dog", "ship", "absent")


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def wilson_text(correct: int, total: int) -> str:
    z, fraction = 1.959963984540054, correct / total
    middle = fraction + z * z / (2 * total)
    half = z * math.sqrt(fraction * (1 - fraction) / total + z * z / (4 * total * total))
    low, high = ((middle + sign * half) / (1 + z * z / total) for sign in (-1, 1))
    return f"{100 * low:.1f}–{100 * high:.1f} %"


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "calibrated"])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Element, list[dict[str, str]]]:
    """A page, and the rows of its predictions.csv."""
    rows = random_predictions(CLASSES[:3], 437, seed=3, accuracy=0.8, calibrated=request.param)
    folder = predicted_run(tmp_path_factory.mktemp("figures"), "made", CLASSES, rows)
    with folder.predictions.open(encoding="utf-8", newline="") as file:
        return read_page(page(folder, None)), list(csv.DictReader(file))


Run = tuple[Element, list[dict[str, str]]]


def test_accuracy_and_interval(run: Run) -> None:
    html, rows = run
    correct = sum(row["true"] == row["predicted"] for row in rows)
    assert html.one("p", class_="accuracy").text == percent(correct / len(rows))
    assert html.one("span", id="interval").text == wilson_text(correct, len(rows))
    assert f"test accuracy: {correct} of {len(rows)} images correct" in html.text


def test_the_confusion_matrix(run: Run) -> None:
    html, rows = run
    counts = Counter((row["true"], row["predicted"]) for row in rows)
    support = Counter(row["true"] for row in rows)
    table = html.one("table", class_="cells")
    assert [th.text for th in table.all("th", scope="col")] == list(CLASSES)
    for name, row in zip(CLASSES, table.one("tbody").all("tr"), strict=True):
        for other, cell in zip(CLASSES, row.all("td"), strict=True):
            count = counts[name, other]
            shown = [f"{100 * count / support[name]:.1f}", str(count)] if count else ["·"] if support[name] else ["–"]
            assert cell.text.split() == shown


def test_the_most_confused_pairs(run: Run) -> None:
    html, rows = run
    support = Counter(row["true"] for row in rows)
    pairs = Counter((row["true"], row["predicted"]) for row in rows if row["true"] != row["predicted"])
    expected = {f"{a} → {b} : {n} of {support[a]}, {percent(n / support[a])}": n for (a, b), n in pairs.items()}
    shown = [item.text for item in html.one("ul", class_="pairs").all("li")]
    assert set(shown) == set(expected)
    assert [expected[line] for line in shown] == sorted(expected.values(), reverse=True)


def test_the_results_by_class(run: Run) -> None:
    html, rows = run
    lines = html.one("table", class_="sortable").one("tbody").all("tr")
    for name, line in zip(CLASSES, lines, strict=True):
        true = [row for row in rows if row["true"] == name]
        predicted = [row for row in rows if row["predicted"] == name]
        correct = sum(row["predicted"] == name for row in true)
        shown = [cell.text for cell in line.all("td")]
        if not true:
            assert shown == ["–", "–", "–", "–", "0"]
            continue
        recall, precision = correct / len(true), correct / len(predicted)
        harmonic = 2 * recall * precision / (recall + precision)
        values = [
            percent(recall),
            wilson_text(correct, len(true)),
            percent(precision),
            percent(harmonic),
            str(len(true)),
        ]
        assert shown == values


def calibration_error(rows: list[dict[str, str]], column: str) -> float:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row in rows:
        probability = float(row[column])
        bins.setdefault(math.ceil(probability * 15), []).append((probability, row["true"] == row["predicted"]))
    gaps = [abs(sum(p for p, _ in found) - sum(correct for _, correct in found)) for found in bins.values()]
    return sum(gaps) / len(rows)


def test_the_calibration_error_before_and_after_scaling(run: Run) -> None:
    html, rows = run
    shown = html.one("section", id="calibration").text
    assert f"Calibration error {percent(calibration_error(rows, 'probability'))} 95 % interval" in shown
    if "calibrated_probability" in rows[0]:
        scaled = percent(calibration_error(rows, "calibrated_probability"))
        assert f"After temperature scaling {scaled} 95 % interval" in shown
        assert "temperature 0.50, fitted to 10 validation images" in shown
    else:
        assert "After temperature scaling" not in shown
        assert "--set data.val_fraction=0.1" in shown


def test_the_coverage_at_a_confidence_threshold(run: Run) -> None:
    html, rows = run
    column = "calibrated_probability" if "calibrated_probability" in rows[0] else "probability"
    ranked = sorted(rows, key=lambda row: -float(row[column]))
    best, wrong = None, 0
    for count, row in enumerate(ranked, 1):
        wrong += row["true"] != row["predicted"]
        if wrong / count <= 0.02:
            best = count, float(row[column])
    shown = html.one("section", id="calibration").text
    if best is None or best[0] < 0.005 * len(rows):
        assert "No confidence threshold classifies even 1 % of these images with at most 2 % errors." in shown
    else:
        threshold, coverage = percent(best[1]), f"{100 * best[0] / len(rows):.0f} %"
        assert f"threshold of {threshold} it classifies {coverage} of these images with at most 2 % errors" in shown


def test_mean_confidence_and_accuracy(run: Run) -> None:
    html, rows = run
    confidence = percent(sum(float(row["probability"]) for row in rows) / len(rows))
    accuracy = percent(sum(row["true"] == row["predicted"] for row in rows) / len(rows))
    assert f"The mean confidence is {confidence}, the accuracy {accuracy}" in html.one("section", id="calibration").text


def test_the_confidence_with_the_temperature_is_compared_too(run: Run) -> None:
    html, rows = run
    shown = html.one("section", id="calibration").text
    if "calibrated_probability" in rows[0]:
        scaled = percent(sum(float(row["calibrated_probability"]) for row in rows) / len(rows))
        assert f"With the temperature the mean confidence is {scaled}: " in shown
    else:
        assert "With the temperature" not in shown


def test_a_threshold_for_hardly_an_image_is_no_threshold(tmp_path: Path) -> None:
    rows = random_predictions(CLASSES, 400, accuracy=0.5)
    wrong = [row._replace(probability=0.5) for row in rows]
    first = next(i for i, row in enumerate(rows) if row.true == row.predicted)
    wrong[first] = wrong[first]._replace(probability=0.99)
    text = read_page(page(predicted_run(tmp_path, "one", CLASSES, wrong), None)).one("section", id="calibration").text
    assert "No confidence threshold classifies even 1 % of these images with at most 2 % errors." in text
    assert "0 % of these images" not in text


def test_the_coverage_where_correct_predictions_are_more_confident(tmp_path: Path) -> None:
    rows = random_predictions(CLASSES, 200, accuracy=0.5)
    sorted_rows = [row._replace(probability=0.9 if row.true == row.predicted else 0.4) for row in rows]
    folder = predicted_run(tmp_path, "sorted", CLASSES, sorted_rows)
    correct = sum(row.true == row.predicted for row in rows)
    text = read_page(page(folder, None)).one("section", id="calibration").text
    assert f"threshold of 90.0 % it classifies {correct / 2:.0f} % of these images with at most 2 % errors" in text
