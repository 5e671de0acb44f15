"""Content of a run's page, also where something is missing."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.pages import read_page
from harness.predicted_runs import dataset_of, predicted_run, random_predictions
from harness.tiny import dataset
from tenfold.core.errors import RunError
from tenfold.data.types import Dataset, Split
from tenfold.report.page.run_page import page, write_page
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import PredictionRow

CLASSES = ("cat", "dog", "ship")


def copy_of(run: RunFolder, root: Path) -> RunFolder:
    return RunFolder.open(shutil.copytree(run.path, root / run.path.name))


def noise_dataset(num_classes: int, side: int, count: int) -> tuple[tuple[str, ...], list[PredictionRow], Dataset]:
    """Returns class names, random predictions, and images of noise, which do not compress."""
    names = tuple(f"class {i}" for i in range(num_classes))
    rows = random_predictions(names, count)
    split = dataset_of(names, rows, side=4).test
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    split = Split(images, split.labels, split.paths)
    return names, rows, Dataset("noise", names, split, split)


def test_a_trained_run_has_images_with_heatmaps(trained: RunFolder, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    assert write_page(folder, dataset(val=12)) == folder.report
    html = read_page(folder.report.read_text("utf-8"))
    text = html.text
    assert "network tutorial" in text
    assert "48 training, 12 validation, 24 test images" in text
    assert f"tenfold train --recipe {folder.recipe}" in text
    assert "shows in orange the regions that support the predicted class" in text
    galleries = html.all("ul", class_="gallery")
    assert len(galleries[-1].all("li", class_="card")) == 24
    for card in galleries[-1].all("li", class_="card"):
        probabilities = [float(item.all("span")[1].text.removesuffix(" %")) for item in card.one("ol").all("li")]
        assert sum(probabilities) == pytest.approx(100, abs=0.2)  # there are three classes
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(card.all("span", role="img")) == 2
    assert "are not shown" not in text


def test_the_page_loads_nothing_else(page_file: Path) -> None:
    html = page_file.read_text("utf-8")
    policy = read_page(html).one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-inline" not in re.search("script-src[^;]*", policy).group()  # type: ignore[union-attr]
    assert set(re.findall(r"""(?:src|href)\s*=\s*["']?(.)""", html)) == {"#"}
    assert not re.search(r"@import|https?:(?!//www\.w3\.org/)", html)
    assert not re.search(r"url\((?!data:image/)", html)
    assert "<script>alert(1)" not in html


def test_without_data_the_page_has_no_images_but_all_numbers(tmp_path: Path) -> None:
    folder = predicted_run(tmp_path, "made", CLASSES, random_predictions(CLASSES, 40))
    html = read_page(page(folder, None, why_no_data="/gone/set.zip is missing"))
    assert "This page has no images: /gone/set.zip is missing." in html.text
    assert not html.all("span", role="img")
    assert len(html.one("table", class_="cells").all("td", class_="correct")) == 3


def test_uneven_classes_lead_with_the_balanced_accuracy(tmp_path: Path) -> None:
    rows = [PredictionRow(str(i), "dog" if i % 10 == 0 else "cat", "cat", 0.75) for i in range(40)]
    html = read_page(page(predicted_run(tmp_path, "uneven", ("cat", "dog"), rows), None))
    assert html.one("p", class_="accuracy").text == "50.0 %"
    assert html.one("title").text == "uneven: 50.0 %"
    assert "accuracy 90.0 %: 36 of 40 test images correct" in html.text
    assert "Macro-F1 47.4 %" in html.one("section", id="classes").text
    even = read_page(page(predicted_run(tmp_path, "even", CLASSES, random_predictions(CLASSES, 40)), None))
    assert "balanced accuracy:" not in even.one("div", class_="result").text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows[:-1], "the dataset now has 39 test images, but the run predicted 40"),
        (lambda rows: rows[::-1], "the dataset now has other test images, or the same ones in another order"),
    ],
)
def test_images_of_another_dataset_are_not_shown(tmp_path: Path, change, reason: str) -> None:
    rows = random_predictions(CLASSES, 40)
    folder = predicted_run(tmp_path, "made", CLASSES, rows)
    html = read_page(page(folder, dataset_of(CLASSES, change(rows))))
    assert f"This page has no images: {reason}." in html.text


def test_without_a_model_the_images_have_no_explanations(tmp_path: Path) -> None:
    rows = random_predictions(CLASSES, 40)
    folder = predicted_run(tmp_path, "made", CLASSES, rows)
    html = read_page(page(folder, dataset_of(CLASSES, rows)))
    assert re.search(r"Grad-CAM heatmaps are not shown: .*last\.safetensors", html.text)
    assert html.all("ul", class_="gallery")
    assert not html.all("ol", class_="top-classes")


def test_a_model_that_does_not_fit_the_predictions_is_not_used(trained: RunFolder, tmp_path: Path) -> None:
    folder = copy_of(trained, tmp_path)
    folder.write_predictions([row._replace(probability=0.987) for row in folder.read_predictions()])
    assert "does not reproduce predictions.csv" in read_page(page(folder, dataset(val=12))).text


def test_a_run_without_errors_says_so(tmp_path: Path) -> None:
    rows = random_predictions(CLASSES, 30, accuracy=1.0)
    folder = predicted_run(tmp_path, "made", CLASSES, rows)
    text = read_page(page(folder, dataset_of(CLASSES, rows))).text
    assert "No confusions: every test image was predicted correctly." in text
    assert "None: every test image was predicted correctly." in text


def test_many_classes_have_pairs_instead_of_a_matrix(tmp_path: Path) -> None:
    names, rows, data = noise_dataset(31, 8, 900)
    html = read_page(page(predicted_run(tmp_path, "made", names, rows), data))
    assert not html.all("table", class_="cells")
    assert "A matrix of 31 classes is too large to read." in html.text
    pairs = html.one("ul", class_="pairs").all("details")
    assert len(pairs) == 40
    assert all(pair.all("span", role="img") for pair in pairs)


@pytest.mark.parametrize(("num_classes", "side", "count"), [(10, 32, 3000), (100, 32, 5000), (10, 224, 700)])
def test_a_page_stays_small_for_any_images(tmp_path: Path, num_classes: int, side: int, count: int) -> None:
    names, rows, data = noise_dataset(num_classes, side, count)
    file = write_page(predicted_run(tmp_path, "made", names, rows), data)
    assert file.stat().st_size < 3_000_000


def test_unprintable_names_are_shown_with_replacements(tmp_path: Path) -> None:
    names = ("caf\udce9", "\x1b[2J", "</script>")
    rows = random_predictions(names, 30)
    file = write_page(predicted_run(tmp_path, "made", names, rows), dataset_of(names, rows))
    headings = read_page(file.read_text("utf-8")).one("table", class_="sortable").one("tbody").all("th")
    assert [heading.text for heading in headings] == ["caf�", "�[2J", "</script>"]


def test_a_run_without_environment_and_summary_has_a_page(tmp_path: Path) -> None:
    folder = predicted_run(tmp_path, "made", CLASSES, random_predictions(CLASSES, 30))
    folder.env.unlink()
    folder.write_summary({})
    assert "of 30 images correct" in read_page(page(folder, None)).text


def test_an_unfinished_run_has_no_page(tmp_path: Path) -> None:
    folder = predicted_run(tmp_path, "made", CLASSES, random_predictions(CLASSES, 30))
    folder.summary.unlink()
    with pytest.raises(RunError, match=r"summary\.json is missing; finish the run: tenfold train --resume"):
        write_page(folder, None)
    assert not folder.report.exists()


def test_a_run_without_predictions_has_no_page(tmp_path: Path) -> None:
    folder = predicted_run(tmp_path, "made", CLASSES, random_predictions(CLASSES, 30))
    folder.write_predictions([])
    with pytest.raises(RunError, match=r"predictions\.csv has no rows, expected one per test image"):
        write_page(folder, None)


def test_findings_of_the_run_doctor_are_on_the_page(tmp_path: Path) -> None:
    rows = [row._replace(predicted="cat") for row in random_predictions(CLASSES, 60)]
    folder = predicted_run(tmp_path, "made", CLASSES, rows)
    findings = read_page(page(folder, None)).one("section", id="doctor").all("li")
    assert any("cat" in finding.text for finding in findings)
    assert all(finding.one("p", class_="remedy").text for finding in findings)
