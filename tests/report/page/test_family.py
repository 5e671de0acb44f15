"""The page of several seeds or of a sweep: its figures are those of the trials' predictions.csv."""

from pathlib import Path

import numpy as np
import pytest

from harness.family import CLASSES, family
from harness.judged import answers
from harness.pages import Element, read_page
from tenfold.core.errors import RunError
from tenfold.evaluate.spread import spread
from tenfold.report.page.family import family_page, write_family_page
from tenfold.report.page.family_trials import agreement, common_pairs, setting_cells
from tenfold.report.page.predictions import Judgement, judgement_of, read_judgement
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder, Trial
from tenfold.runs.tables import Prediction


def page(folder: SweepFolder) -> Element:
    return read_page(family_page(folder))


def judged(folder: SweepFolder) -> list[Judgement]:
    return [read_judgement(RunFolder(folder.run_path(trial))) for trial in folder.trials()]


def cells(table: Element) -> list[list[str]]:
    return [[part.text for part in row.parts if isinstance(part, Element)] for row in table.all("tr")]


def section(document: Element, name: str) -> Element:
    return document.one("section", id=name)


def test_the_figure_of_seeds_is_their_mean_and_deviation(tmp_path: Path) -> None:
    folder = family(tmp_path)
    total = spread([one.accuracy for one in judged(folder)])
    assert total.deviation is not None
    assert total.interval is not None
    head = page(folder).one("header").text
    assert f"{100 * total.mean:.1f} ± {100 * total.deviation:.1f} %" in head
    assert f"95 % interval of the mean {100 * total.interval[0]:.1f} – " in head
    assert "mean test accuracy ± standard deviation of 3 runs" in head


def test_every_figure_follows_predictions_csv(tmp_path: Path) -> None:
    folder = family(tmp_path)
    for trial in folder.trials():
        run = RunFolder(folder.run_path(trial))
        run.write_predictions([row._replace(predicted=row.true) for row in run.read_predictions()])
    document = page(folder)
    assert "100.0 ± 0.0 %" in document.one("header").text
    assert [row[2] for row in cells(section(document, "trials").one("table"))[1:]] == ["100.0 %"] * 3
    assert "0 (0.0 %) were recognised by none of the 3 runs" in section(document, "confusions").text
    assert "No two classes were confused by every run." in section(document, "confusions").text


def test_each_trial_has_a_row_with_its_accuracy_and_interval(tmp_path: Path) -> None:
    folder = family(tmp_path)
    rows = cells(section(page(folder), "trials").one("table"))
    assert rows[0] == ["trial", "seed", "test accuracy", "95 % interval", "training"]
    low, high = judged(folder)[1].interval
    accuracy = judged(folder)[1].accuracy
    assert rows[2] == ["001", "1", f"{100 * accuracy:.1f} %", f"{100 * low:.1f} – {100 * high:.1f} %", "4.0 s"]


def test_a_trial_with_a_page_of_its_own_is_linked_to(tmp_path: Path) -> None:
    folder = family(tmp_path)
    RunFolder(folder.run_path(folder.trials()[1])).report.write_text("a page", encoding="utf-8")
    (link,) = section(page(folder), "trials").all("a")
    assert link.attributes["href"] == "trials/001-seed%3D1/report.html"
    assert link.text == "001"


def test_classes_have_mean_and_deviation_over_the_runs(tmp_path: Path) -> None:
    folder = family(tmp_path)
    rows = cells(section(page(folder), "classes").one("table"))
    recalls = [[result.recall for result in one.per_class] for one in judged(folder)]
    means = np.mean(recalls, axis=0)
    assert [row[0] for row in rows[1:]] == list(CLASSES)
    assert [row[1].split(" ±")[0] for row in rows[1:]] == [f"{100 * mean:.1f}" for mean in means]


def test_the_matrix_shows_shares_over_all_runs(tmp_path: Path) -> None:
    folder = family(tmp_path)
    confusion = sum(one.confusion for one in judged(folder))
    shares = confusion / np.sum(confusion, axis=1, keepdims=True)
    table = section(page(folder), "confusions").one("table")
    shown = [[float(share.text) for share in row.all("span", class_="share")] for row in table.all("tr")[1:]]
    assert np.allclose(shown, 100 * shares, atol=0.051)


def test_the_best_setting_is_chosen_by_validation_pictures_and_tested_on_others(tmp_path: Path) -> None:
    settings = [{"optim.lr": 0.1}, {"optim.lr": 0.1}, {"optim.lr": 0.2}]
    folder = family(tmp_path, settings, right=(0.5, 0.5, 0.9), val=(0.8, 0.7, 0.6))
    document = page(folder)
    total = spread([one.accuracy for one in judged(folder)[:2]])
    assert f"{100 * total.mean:.1f}" in document.one("header").text
    assert "with lr=0.1, the best of 2 settings" in document.one("header").text
    assert "Chosen by validation accuracy, 75.0 ± 7.1 %; the test pictures had no say." in document.text
    rows = cells(section(document, "spread").one("table"))
    assert rows[1][:3] == ["lr=0.1 best", "2", "75.0 ± 7.1 %"]
    assert [row[0] for row in cells(section(document, "trials").one("table"))[1:]] == ["000 best", "001 best", "002"]


def test_a_choice_by_test_pictures_is_owned_up_to(tmp_path: Path) -> None:
    document = page(family(tmp_path, [{"optim.lr": 0.1}, {"optim.lr": 0.2}], right=(0.5, 0.9)))
    assert "Chosen by the test pictures: on new ones expect a little less" in document.one("header").text
    assert document.all("section", id="classes") == []  # a single run has a page of its own


def test_a_trial_that_failed_is_told_with_its_error(tmp_path: Path) -> None:
    folder = family(tmp_path)
    failed = Trial("003-seed=3", {}, 3, 3)
    folder.add(failed)
    folder.note_end(failed, "failed", "the loss is <b>not</b> finite")
    html = family_page(folder)
    assert "<b>not</b>" not in html
    text = section(read_page(html), "trials").text
    assert "003-seed=3: failed the loss is <b>not</b> finite" in text
    assert "3 of 4 trials finished, 1 failed" in read_page(html).one("header").text


def test_names_that_are_markup_stay_names(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    html = family_page(family(tmp_path, [{"model.name": name}] * 3, classes=("cat", "dog", name)))
    assert "alert(1)</script>" not in html
    assert name in [heading.text for heading in read_page(html).all("th")]


def test_a_family_without_a_result_says_how_to_go_on(tmp_path: Path) -> None:
    folder = family(tmp_path, [], right=())
    with pytest.raises(RunError, match=r"no trial that finished, expected one at least; .* tenfold sweep --resume"):
        family_page(folder)


def test_runs_that_judged_other_pictures_are_not_pooled(tmp_path: Path) -> None:
    folder = family(tmp_path)
    last = folder.trials()[-1]
    rows = [row._replace(picture=f"other/{row.picture}") for row in answers(CLASSES, 300, right=0.8)]
    RunFolder(folder.run_path(last)).write_predictions(rows)
    document = page(folder)
    assert document.all("section", id="confusions") == []
    assert len(section(document, "trials").one("table").all("tr")) == 4


def test_the_page_lies_beside_the_sweep_and_asks_no_network(tmp_path: Path) -> None:
    folder = family(tmp_path)
    assert write_family_page(folder) == folder.report == folder.path / "report.html"
    html = folder.report.read_text(encoding="utf-8")
    policy = read_page(html).one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert "default-src 'none'" in (policy or "")
    assert "http://" not in html
    assert "https://" not in html


def test_a_hundred_settings_are_shown_by_their_best(tmp_path: Path) -> None:
    settings = [{"optim.lr": place / 100} for place in range(1, 31)]
    folder = family(tmp_path, settings, right=[0.5] * 29 + [0.9])
    text = section(page(folder), "spread").text
    assert "The best 24 of 30 settings" in text
    assert "Test accuracy by lr" in text


def runs_of(*guesses: str) -> list[Judgement]:
    """Returns runs that judged pictures of a, a, b, b as told, one letter each."""
    return [
        judgement_of([Prediction(str(i), t, p, 0.9) for i, (t, p) in enumerate(zip("aabb", each, strict=True))], "ab")
        for each in guesses
    ]


def test_a_pair_counts_where_every_run_confused_it() -> None:
    pairs = common_pairs(runs_of("bbba", "abbb"), 5)
    assert [(pair.true, pair.predicted, pair.share.mean, pair.share.lowest) for pair in pairs] == [
        ("a", "b", 0.75, 0.5)
    ]


def test_agreement_counts_pictures_missed_by_all_and_by_any() -> None:
    found = agreement(runs_of("bbbb", "abba"))
    assert (found.pictures, found.always, found.ever) == (4, 1, 3)


def test_settings_sort_as_numbers_or_else_by_name() -> None:
    numbers = setting_cells([{"k": 10}, {"k": 9.5}], "k")
    assert [(cell.text, cell.value) for cell in numbers] == [("10", 10.0), ("9.5", 9.5)]
    names = setting_cells([{"k": "muon"}, {"k": None}, {"k": "adam"}, {"k": "muon"}], "k")
    assert [cell.text for cell in names] == ["muon", "none", "adam", "muon"]
    assert names[0].value == names[3].value > names[2].value
    assert len({cell.value for cell in names}) == 3
