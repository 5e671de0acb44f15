"""The page of a sweep or of several seeds: its numbers come from the trials' predictions.csv."""

from pathlib import Path

import numpy as np
import pytest

from harness.pages import Element, read_page
from harness.predicted_runs import random_predictions
from harness.predicted_sweeps import CLASSES, predicted_sweep
from tenfold.core.errors import RunError
from tenfold.evaluate.spread import accuracy_spread, spread
from tenfold.report.page.predictions import Predictions, load_predictions, predictions_of
from tenfold.report.page.sweep_page import sweep_page, write_sweep_page
from tenfold.report.page.sweep_trials import common_pairs, setting_cells, shared_errors
from tenfold.report.read_study import read_study
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder, Trial
from tenfold.runs.tables import PredictionRow


def page(folder: SweepFolder) -> Element:
    return read_page(sweep_page(folder, read_study(folder)))


def predictions_in(folder: SweepFolder) -> list[Predictions]:
    return [load_predictions(RunFolder(folder.run_path(trial))) for trial in folder.trials()]


def cells(table: Element) -> list[list[str]]:
    return [[part.text for part in row.parts if isinstance(part, Element)] for row in table.all("tr")]


def section(document: Element, name: str) -> Element:
    return document.one("section", id=name)


def test_the_accuracy_of_seeds_is_their_mean_and_std(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    total = accuracy_spread([one.accuracy for one in predictions_in(folder)], 300)
    assert total.std is not None
    assert total.interval is not None
    head = page(folder).one("header").text
    assert f"{100 * total.mean:.1f} ± {100 * total.std:.1f} %" in head
    assert f"95 % interval {100 * total.interval[0]:.1f}–" in head
    assert "for new images and new seeds" in head
    assert "mean test accuracy ± standard deviation of 3 runs on one split" in head


def test_the_page_tells_the_accuracy_without_near_duplicates(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    for trial in folder.trials():
        run = RunFolder(folder.run_path(trial))
        found = {"pictures": 300, "left": 200, "test_accuracy": 0.5}
        run.write_summary(run.read_summary() | {"near_duplicates": found})
    head = page(folder).one("header").text
    assert "Without the test images that have a near duplicate in train (100 of 300): 50.0 ± 0.0 %." in head


def test_every_number_follows_predictions_csv(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    for trial in folder.trials():
        run = RunFolder(folder.run_path(trial))
        run.write_predictions([row._replace(predicted=row.true) for row in run.read_predictions()])
    document = page(folder)
    assert "100.0 ± 0.0 %" in document.one("header").text
    assert [row[2] for row in cells(section(document, "trials").one("table"))[1:]] == ["100.0 %"] * 3
    assert "0 (0.0 %) were predicted wrongly by all of the 3 runs" in section(document, "confusions").text
    assert "No two classes were confused by every run." in section(document, "confusions").text


def test_each_trial_has_a_row_with_its_accuracy_and_interval(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    rows = cells(section(page(folder), "trials").one("table"))
    assert rows[0] == ["trial", "seed", "test accuracy", "95 % interval", "training"]
    low, high = predictions_in(folder)[1].interval
    accuracy = predictions_in(folder)[1].accuracy
    assert rows[2] == ["001", "1", f"{100 * accuracy:.1f} %", f"{100 * low:.1f}–{100 * high:.1f} %", "4.0 s"]


def test_a_trial_with_its_own_page_is_linked(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    RunFolder(folder.run_path(folder.trials()[1])).report.write_text("a page", encoding="utf-8")
    (link,) = section(page(folder), "trials").all("a")
    assert link.attributes["href"] == "trials/001-seed%3D1/report.html"
    assert link.text == "001"


def test_classes_have_mean_and_std_over_the_runs(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    rows = cells(section(page(folder), "classes").one("table"))
    recalls = [[result.recall for result in one.per_class] for one in predictions_in(folder)]
    means = np.mean(recalls, axis=0)
    assert [row[0] for row in rows[1:]] == list(CLASSES)
    assert [row[1].split(" ±")[0] for row in rows[1:]] == [f"{100 * mean:.1f}" for mean in means]


def test_the_matrix_is_the_sum_over_all_runs(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    confusion = sum(one.confusion for one in predictions_in(folder))
    fractions = confusion / np.sum(confusion, axis=1, keepdims=True)
    table = section(page(folder), "confusions").one("table")
    shown = [[float(span.text) for span in row.all("span", class_="fraction")] for row in table.all("tr")[1:]]
    assert np.allclose(shown, 100 * fractions, atol=0.051)


def test_the_best_setting_is_selected_by_validation_accuracy(tmp_path: Path) -> None:
    settings = [{"optim.lr": 0.1}, {"optim.lr": 0.1}, {"optim.lr": 0.2}]
    folder = predicted_sweep(tmp_path, settings, accuracies=(0.5, 0.5, 0.9), val=(0.8, 0.7, 0.6))
    document = page(folder)
    total = spread([one.accuracy for one in predictions_in(folder)[:2]])
    assert f"{100 * total.mean:.1f}" in document.one("header").text
    assert "with lr=0.1, the best of 2 settings" in document.one("header").text
    assert "Best by validation accuracy: lr=0.1 (75.0 %)." in document.text
    assert "It is not significantly better than the other setting" in document.text
    rows = cells(section(document, "accuracy").one("table"))
    assert rows[1][:3] == ["lr=0.1 best", "2", "75.0 ± 7.1 %"]
    assert [row[0] for row in cells(section(document, "trials").one("table"))[1:]] == ["000 best", "001 best", "002"]


def test_a_selection_on_the_test_images_is_mentioned(tmp_path: Path) -> None:
    document = page(predicted_sweep(tmp_path, [{"optim.lr": 0.1}, {"optim.lr": 0.2}], accuracies=(0.5, 0.9)))
    header = document.one("header").text
    assert "chosen on these test images, so its accuracy is optimistic" in header
    assert "One run each cannot tell settings from seeds. To find a difference of" in header
    assert document.all("section", id="classes") == []  # a single run has a page of its own


def test_a_failed_trial_is_listed_with_its_error(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    failed = Trial("003-seed=3", {}, 3, 3)
    folder.add(failed)
    folder.record_end(failed, "failed", "the loss is <b>not</b> finite")
    html = sweep_page(folder, read_study(folder))
    assert "<b>not</b>" not in html
    text = section(read_page(html), "trials").text
    assert "003-seed=3: failed the loss is <b>not</b> finite" in text
    assert "3 of 4 trials finished, 1 failed" in read_page(html).one("header").text


def test_names_with_markup_are_escaped(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    folder = predicted_sweep(tmp_path, [{"model.name": name}] * 3, classes=("cat", "dog", name))
    html = sweep_page(folder, read_study(folder))
    assert "alert(1)</script>" not in html
    assert name in [heading.text for heading in read_page(html).all("th")]


def test_a_sweep_without_a_result_has_no_page(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path, [], accuracies=())
    with pytest.raises(RunError, match=r"no finished trial, expected at least one; .* tenfold sweep --resume"):
        write_sweep_page(folder)


def test_runs_with_other_test_images_are_not_combined(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    last = folder.trials()[-1]
    rows = [row._replace(path=f"other/{row.path}") for row in random_predictions(CLASSES, 300, accuracy=0.8)]
    RunFolder(folder.run_path(last)).write_predictions(rows)
    document = page(folder)
    assert document.all("section", id="confusions") == []
    assert len(section(document, "trials").one("table").all("tr")) == 4


def test_a_study_that_was_read_is_not_read_again(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    study = read_study(folder)
    for trial in folder.trials():
        RunFolder(folder.run_path(trial)).predictions.unlink()
    assert write_sweep_page(folder, study).is_file()


def test_the_page_is_in_the_sweep_folder_and_makes_no_requests(tmp_path: Path) -> None:
    folder = predicted_sweep(tmp_path)
    assert write_sweep_page(folder) == folder.report == folder.path / "report.html"
    html = folder.report.read_text(encoding="utf-8")
    policy = read_page(html).one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert "default-src 'none'" in (policy or "")
    assert "http://" not in html
    assert "https://" not in html


def test_of_many_settings_the_best_are_shown(tmp_path: Path) -> None:
    settings = [{"optim.lr": i / 100} for i in range(1, 31)]
    folder = predicted_sweep(tmp_path, settings, accuracies=[0.5] * 29 + [0.9])
    text = section(page(folder), "accuracy").text
    assert "Best 24 of 30 settings" in text
    assert "Test accuracy by lr" in text


def runs_of(*predicted: str) -> list[Predictions]:
    """Returns the predictions of runs, one letter per image; the true classes are a, a, b, b."""
    return [
        predictions_of(
            [PredictionRow(str(i), t, p, 0.9) for i, (t, p) in enumerate(zip("aabb", run, strict=True))], "ab"
        )
        for run in predicted
    ]


def test_common_pairs_were_confused_by_every_run() -> None:
    pairs = common_pairs(runs_of("bbba", "abbb"), 5)
    assert [(pair.true, pair.predicted, pair.fraction.mean, pair.fraction.lowest) for pair in pairs] == [
        ("a", "b", 0.75, 0.5)
    ]


def test_shared_errors_count_images_wrong_in_all_and_in_any_run() -> None:
    found = shared_errors(runs_of("bbbb", "abba"))
    assert (found.total, found.by_all, found.by_any) == (4, 1, 3)


def test_settings_sort_as_numbers_or_by_name() -> None:
    numbers = setting_cells([{"k": 10}, {"k": 9.5}], "k")
    assert [(cell.text, cell.value) for cell in numbers] == [("10", 10.0), ("9.5", 9.5)]
    names = setting_cells([{"k": "muon"}, {"k": None}, {"k": "adam"}, {"k": "muon"}], "k")
    assert [cell.text for cell in names] == ["muon", "none", "adam", "muon"]
    assert names[0].value == names[3].value > names[2].value
    assert len({cell.value for cell in names}) == 3
