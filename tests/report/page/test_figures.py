"""Every figure of a page, computed again from `predictions.csv` by nothing but Python."""

import csv
import math
from collections import Counter
from pathlib import Path

import pytest

from harness.judged import answers, judged_run
from harness.pages import Element, read_page
from tenfold.report.page.run_page import page

CLASSES = ("cat", "dog", "ship", "never seen")


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def between(correct: int, total: int) -> str:
    z, share = 1.959963984540054, correct / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low, high = ((middle + sign * half) / (1 + z * z / total) for sign in (-1, 1))
    return f"{100 * low:.1f} – {100 * high:.1f} %"


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "calibrated"])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Element, list[dict[str, str]]]:
    """A page, and the rows of the file that it must be made of."""
    rows = answers(CLASSES[:3], 437, seed=3, right=0.8, calibrated=request.param)
    folder = judged_run(tmp_path_factory.mktemp("figures"), "made", CLASSES, rows)
    with folder.predictions.open(encoding="utf-8", newline="") as file:
        return read_page(page(folder, None)), list(csv.DictReader(file))


Run = tuple[Element, list[dict[str, str]]]


def test_accuracy_and_interval(run: Run) -> None:
    html, rows = run
    right = sum(row["true"] == row["predicted"] for row in rows)
    assert html.one("p", class_="accuracy").text == percent(right / len(rows))
    assert html.one("span", id="interval").text == between(right, len(rows))
    assert f"accuracy on {len(rows)} test pictures, {right} of them recognised" in html.text


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


def test_the_pairs_that_were_confused_most(run: Run) -> None:
    html, rows = run
    support = Counter(row["true"] for row in rows)
    pairs = Counter((row["true"], row["predicted"]) for row in rows if row["true"] != row["predicted"])
    expected = {f"{a} → {b} : {n} of {support[a]}, {percent(n / support[a])}": n for (a, b), n in pairs.items()}
    shown = [item.text for item in html.one("ul", class_="pairs").all("li")]
    assert set(shown) == set(expected)
    assert [expected[line] for line in shown] == sorted(expected.values(), reverse=True)


def test_the_table_of_classes(run: Run) -> None:
    html, rows = run
    lines = html.one("table", class_="sortable").one("tbody").all("tr")
    for name, line in zip(CLASSES, lines, strict=True):
        true = [row for row in rows if row["true"] == name]
        taken = [row for row in rows if row["predicted"] == name]
        right = sum(row["predicted"] == name for row in true)
        shown = [cell.text for cell in line.all("td")]
        if not true:
            assert shown == ["–", "–", "–", "–", "0"]
            continue
        recall, precision = right / len(true), right / len(taken)
        harmonic = 2 * recall * precision / (recall + precision)
        values = [percent(recall), between(right, len(true)), percent(precision), percent(harmonic), str(len(true))]
        assert shown == values


def calibration_error(rows: list[dict[str, str]], column: str) -> float:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row in rows:
        probability = float(row[column])
        bins.setdefault(math.ceil(probability * 15), []).append((probability, row["true"] == row["predicted"]))
    gaps = [abs(sum(p for p, _ in found) - sum(right for _, right in found)) for found in bins.values()]
    return sum(gaps) / len(rows)


def test_the_calibration_error_before_and_after_scaling(run: Run) -> None:
    html, rows = run
    shown = html.one("section", id="trust").text
    assert f"Calibration error {percent(calibration_error(rows, 'probability'))} 95 % interval" in shown
    if "calibrated_probability" in rows[0]:
        scaled = percent(calibration_error(rows, "calibrated_probability"))
        assert f"After temperature scaling {scaled} 95 % interval" in shown
        assert "temperature 0.50" in shown
    else:
        assert "After temperature scaling" not in shown
        assert "--set data.val_fraction=0.1" in shown


def test_what_it_may_be_left_to_answer(run: Run) -> None:
    html, rows = run
    surest = sorted(rows, key=lambda row: -float(row["probability"]))
    best, wrong = None, 0
    for count, row in enumerate(surest, 1):
        wrong += row["true"] != row["predicted"]
        if wrong / count <= 0.02:
            best = count, float(row["probability"])
    shown = html.one("section", id="trust").text
    if best is None:
        assert "There is no probability above which at most 2 % of the answers are wrong" in shown
    else:
        threshold, answered = percent(best[1]), f"{100 * best[0] / len(rows):.0f} %"
        assert f"probability is {threshold} or more, it answers {answered} of these pictures with ≤ 2 % errors" in shown


def test_sure_and_right_on_average(run: Run) -> None:
    html, rows = run
    sure = percent(sum(float(row["probability"]) for row in rows) / len(rows))
    right = percent(sum(row["true"] == row["predicted"] for row in rows) / len(rows))
    assert f"a probability of {sure} and was right in {right}" in html.one("section", id="trust").text


def test_the_reject_sentence_where_the_surest_are_right(tmp_path: Path) -> None:
    rows = answers(CLASSES, 200, right=0.5)
    sorted_rows = [row._replace(probability=0.9 if row.true == row.predicted else 0.4) for row in rows]
    folder = judged_run(tmp_path, "sorted", CLASSES, sorted_rows)
    right = sum(row.true == row.predicted for row in rows)
    text = read_page(page(folder, None)).one("section", id="trust").text
    assert f"is 90.0 % or more, it answers {right / 2:.0f} % of these pictures with ≤ 2 % errors" in text
