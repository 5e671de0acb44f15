"""The page of a dataset check: complete, escaped and of limited size."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from harness.images import noise
from harness.pages import read_page
from harness.scenes import jpeg, scene, scenes
from tenfold.core.text import size_text
from tenfold.data.duplicates.dataset_images import DatasetImages
from tenfold.data.duplicates.search import DuplicatePair
from tenfold.data.types import Dataset, Split
from tenfold.inspect.dataset_check import inspect_dataset
from tenfold.inspect.file_survey import FileSurvey
from tenfold.inspect.findings import LeakEffect
from tenfold.inspect.similar_photos import SIMILAR
from tenfold.report.page.check_page import check_page
from tenfold.report.tables.check_tables import balance_table, effect_line, headline


def test_duplicates_are_shown_side_by_side_with_paths_and_labels() -> None:
    data = scenes([(scene(1), 0), (scene(1), 1), (scene(2), 0)], [(jpeg(scene(2), 80), 0)], paths=True)
    page = read_page(check_page(inspect_dataset(data)))
    conflict = page.one("section", id="conflicts")
    assert "cat train train/0.png" in conflict.text
    assert "dog train train/1.png" in conflict.text
    assert len(conflict.all("span", role="img")) == 2
    assert "test/0.png" in page.one("section", id="across").text
    assert "1 of 1 test image has a duplicate in train" in page.one("header").text


def test_similar_photos_are_shown_side_by_side() -> None:
    found = inspect_dataset(scenes([(scene(1), 0), (scene(2), 1)], [(scene(3), 0)], paths=True))
    images = DatasetImages(found.dataset)
    pair = DuplicatePair(SIMILAR, images.ref(1), images.ref(2), 0.915, mirrored=False)
    section = read_page(check_page(replace(found, similar=(pair,)))).one("section", id="similar")
    assert len(section.all("span", role="img")) == 2
    assert "train/1.png" in section.text
    assert "test/0.png" in section.text
    assert "cosine 0.92" in section.text or "cosine 0.91" in section.text


def test_headline_tells_the_size_of_the_images_from_that_of_the_comparison() -> None:
    found = inspect_dataset(scenes([(scene(1), 0), (scene(2), 1)], [(scene(3), 0)], paths=True))
    size = size_text(found.image_size)
    photos, small = (FileSurvey(sizes=Counter([own])) for own in ((288, 384), found.image_size))
    assert f", compared at {size}" in headline(replace(found, survey=photos))
    assert f", {size}" in headline(replace(found, survey=small))


def test_names_are_escaped() -> None:
    name = "<script>alert(1)</script>"
    images = np.stack([scene(1), scene(1)])
    split = Split(images, np.array([0, 1]), (f"{name}/0.png", f"{name}/1.png"))
    text = check_page(inspect_dataset(Dataset(name, (name, "b"), split, Split(images[:1], np.array([0]), (name,)))))
    assert name not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_page_stays_small_and_makes_no_requests() -> None:
    images = [noise(96, 96, n) for n in range(150)]
    data = scenes([(image, 0) for image in images], [(image, n % 2) for n, image in enumerate(images)])
    found = inspect_dataset(data)
    assert len(found.pairs) == 150
    text = check_page(found)
    assert len(text.encode()) < 3_000_000
    assert "http://" not in text
    assert "https://" not in text


def test_a_dataset_without_findings_gets_a_page() -> None:
    found = inspect_dataset(
        scenes([(scene(n), n % 2) for n in range(40)], [(scene(100 + n), n % 2) for n in range(100)])
    )
    assert found.findings == ()
    assert "Nothing unusual in files, labels and pixels." in read_page(check_page(found)).text


@pytest.mark.parametrize("classes", [3, 400])
def test_the_balance_table_of_many_classes_is_short(classes: int) -> None:
    table = balance_table({"train": {f"c{n}": n for n in range(classes)}})
    assert table.row_count == min(classes, 11)


def test_no_accuracy_without_images() -> None:
    line = effect_line(LeakEffect("r", 5, 1.0, (0.57, 1.0), 0, None, (0.0, 1.0)))
    assert "without duplicates – (no test image is left), with them 100.0 %" in line


def test_a_run_without_duplicates_has_one_accuracy() -> None:
    line = effect_line(LeakEffect("r", 5, 0.8, (0.38, 0.96), 5, 0.8, (0.38, 0.96)))
    assert line == "test accuracy of r 80.0 % (95 % interval 38.0–96.0 %); no test image has a duplicate in train"
