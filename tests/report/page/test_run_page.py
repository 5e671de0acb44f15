"""What the page of a run holds, and what it says where something is missing."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.judged import answers, dataset_for, judged_run
from harness.pages import read_page
from harness.tiny import dataset
from tenfold.core.errors import RunError
from tenfold.data.types import Dataset, Split
from tenfold.report.page.run_page import page, write_page
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import Prediction

CLASSES = ("cat", "dog", "ship")


def copied(run: RunFolder, root: Path) -> RunFolder:
    return RunFolder.open(shutil.copytree(run.path, root / run.path.name))


def noisy(classes: int, side: int, count: int) -> tuple[tuple[str, ...], list[Prediction], Dataset]:
    """Returns pictures of noise, which no format makes small."""
    names = tuple(f"class {i}" for i in range(classes))
    rows = answers(names, count)
    plain = dataset_for(names, rows, side=4).test
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    split = Split(images, plain.labels, plain.paths)
    return names, rows, Dataset("noise", names, split, split)


def test_a_real_run_is_told_with_its_pictures_and_what_the_network_looked_at(
    trained: RunFolder, tmp_path: Path
) -> None:
    folder = copied(trained, tmp_path)
    assert write_page(folder, dataset(val=12)) == folder.report
    html = read_page(folder.report.read_text("utf-8"))
    text = html.text
    assert "network tutorial" in text
    assert "48 training, 12 validation, 24 test pictures" in text
    assert f"tenfold train --recipe {folder.recipe}" in text
    assert "in orange, what spoke for the answer" in text
    walls = html.all("ul", class_="wall")
    assert len(walls[-1].all("li", class_="card")) == 24
    for card in walls[-1].all("li", class_="card"):
        chances = [float(item.all("span")[1].text.removesuffix(" %")) for item in card.one("ol").all("li")]
        assert sum(chances) == pytest.approx(100, abs=0.2)  # there are three classes
        assert chances == sorted(chances, reverse=True)
        assert len(card.all("span", role="img")) == 2
    assert "is not shown" not in text


def test_nothing_on_the_page_comes_from_elsewhere(page_file: Path) -> None:
    html = page_file.read_text("utf-8")
    policy = read_page(html).one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-inline" not in re.search("script-src[^;]*", policy).group()  # type: ignore[union-attr]
    assert set(re.findall(r"""(?:src|href)\s*=\s*["']?(.)""", html)) == {"#"}
    assert not re.search(r"@import|https?:(?!//www\.w3\.org/)", html)
    assert not re.search(r"url\((?!data:image/)", html)
    assert "<script>alert(1)" not in html


def test_gone_pictures_are_said_to_be_gone_and_all_figures_stay(tmp_path: Path) -> None:
    folder = judged_run(tmp_path, "made", CLASSES, answers(CLASSES, 40))
    html = read_page(page(folder, None, why_no_data="/gone/set.zip is missing"))
    assert "The page has no pictures: /gone/set.zip is missing." in html.text
    assert not html.all("span", role="img")
    assert len(html.one("table", class_="cells").all("td", class_="right")) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows[:-1], "the data holds 39 test pictures now, and 40 were judged"),
        (lambda rows: rows[::-1], "the data holds other test pictures now, or the same ones in another order"),
    ],
)
def test_pictures_of_another_set_are_not_shown(tmp_path: Path, change, reason: str) -> None:
    rows = answers(CLASSES, 40)
    folder = judged_run(tmp_path, "made", CLASSES, rows)
    html = read_page(page(folder, dataset_for(CLASSES, change(rows))))
    assert f"The page has no pictures: {reason}." in html.text


def test_without_a_model_the_pictures_are_shown_and_it_says_what_is_missing(tmp_path: Path) -> None:
    rows = answers(CLASSES, 40)
    folder = judged_run(tmp_path, "made", CLASSES, rows)
    html = read_page(page(folder, dataset_for(CLASSES, rows)))
    assert re.search(r"where it looked, is not shown: .*last\.safetensors", html.text)
    assert html.all("ul", class_="wall")
    assert not html.all("ol", class_="likeliest")


def test_a_model_that_is_not_the_runs_is_not_asked(trained: RunFolder, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path)
    folder.write_predictions([row._replace(probability=0.987) for row in folder.read_predictions()])
    assert "answers otherwise than predictions.csv says" in read_page(page(folder, dataset(val=12))).text


def test_a_run_that_knew_everything_has_no_mistakes_to_show(tmp_path: Path) -> None:
    rows = answers(CLASSES, 30, right=1.0)
    folder = judged_run(tmp_path, "made", CLASSES, rows)
    text = read_page(page(folder, dataset_for(CLASSES, rows))).text
    assert "Nothing was confused: every test picture was recognised." in text
    assert "There are none: every test picture was recognised." in text


def test_many_classes_have_their_pairs_in_the_place_of_a_matrix(tmp_path: Path) -> None:
    names, rows, data = noisy(31, 8, 900)
    html = read_page(page(judged_run(tmp_path, "made", names, rows), data))
    assert not html.all("table", class_="cells")
    assert "31 classes are too many for a matrix to be read" in html.text
    pairs = html.one("ul", class_="pairs").all("details")
    assert len(pairs) == 40
    assert all(pair.all("span", role="img") for pair in pairs)


@pytest.mark.parametrize(("classes", "side", "count"), [(10, 32, 3000), (100, 32, 5000), (10, 224, 700)])
def test_a_page_stays_small_whatever_the_pictures(tmp_path: Path, classes: int, side: int, count: int) -> None:
    names, rows, data = noisy(classes, side, count)
    file = write_page(judged_run(tmp_path, "made", names, rows), data)
    assert file.stat().st_size < 3_000_000


def test_names_that_are_no_text_are_shown_as_far_as_they_can_be(tmp_path: Path) -> None:
    names = ("caf\udce9", "\x1b[2J", "</script>")
    rows = answers(names, 30)
    file = write_page(judged_run(tmp_path, "made", names, rows), dataset_for(names, rows))
    headings = read_page(file.read_text("utf-8")).one("table", class_="sortable").one("tbody").all("th")
    assert [heading.text for heading in headings] == ["caf�", "�[2J", "</script>"]


def test_a_run_without_its_surroundings_is_told_all_the_same(tmp_path: Path) -> None:
    folder = judged_run(tmp_path, "made", CLASSES, answers(CLASSES, 30))
    folder.env.unlink()
    folder.write_summary({})
    assert "30 test pictures" in read_page(page(folder, None)).text


def test_a_run_that_is_not_finished_has_no_page(tmp_path: Path) -> None:
    folder = judged_run(tmp_path, "made", CLASSES, answers(CLASSES, 30))
    folder.summary.unlink()
    with pytest.raises(RunError, match=r"summary\.json is missing; finish the run with --resume"):
        write_page(folder, None)
    assert not folder.report.exists()


def test_a_run_that_judged_nothing_has_no_page(tmp_path: Path) -> None:
    folder = judged_run(tmp_path, "made", CLASSES, answers(CLASSES, 30))
    folder.write_predictions([])
    with pytest.raises(RunError, match=r"predictions\.csv holds no picture, expected one at least"):
        write_page(folder, None)


def test_what_the_run_doctor_finds_is_on_the_page(tmp_path: Path) -> None:
    rows = [row._replace(predicted="cat") for row in answers(CLASSES, 60)]
    folder = judged_run(tmp_path, "made", CLASSES, rows)
    findings = read_page(page(folder, None)).one("section", id="doctor").all("li")
    assert any("cat" in finding.text for finding in findings)
    assert all(finding.one("p", class_="remedy").text for finding in findings)
