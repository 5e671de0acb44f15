"""`tenfold.api.report`: where the images come from, and what the page says if they are missing."""

import shutil
from pathlib import Path

import pytest

import tenfold
from harness.pages import read_page
from harness.predicted_runs import dataset_of, predicted_run, random_predictions
from harness.predicted_sweeps import predicted_sweep
from harness.tiny import dataset, photo_folder, recipe
from tenfold.api.report import report
from tenfold.core.errors import DataError, RunError, UsageError

CLASSES = ("cat", "dog")


@pytest.fixture
def photo_run(tmp_path: Path) -> Path:
    """A run on a folder of images, which lies at `tmp_path / "photos"`."""
    photos = photo_folder(tmp_path / "photos", each=10)
    short = recipe("mlp", "data.image_size=[12,12]", "model.hidden=[4]", "train.duration=2 steps")
    return tenfold.train(short, data=photos, runs=tmp_path / "runs", name="photos", report=False).path


def text_of(page: Path) -> str:
    return read_page(page.read_text("utf-8")).text


def test_the_images_come_from_the_recipe(photo_run: Path) -> None:
    page = report(photo_run)
    assert page == photo_run / "report.html"
    assert "This page has no images" not in text_of(page)
    assert "Grad-CAM heatmaps are not shown: the network has no suitable convolution." in text_of(page)


def test_missing_images_leave_a_sentence_and_moved_ones_can_be_given(photo_run: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "photos", tmp_path / "moved")
    gone = f"{tmp_path / 'photos'}, the data of {photo_run}, is not there; name its new place with --data"
    assert f"This page has no images: {gone}" in text_of(report(photo_run))
    assert "This page has no images" not in text_of(report(photo_run, data=tmp_path / "moved"))


def test_other_images_are_not_shown_as_those_of_the_run(photo_run: Path, tmp_path: Path) -> None:
    other = photo_folder(tmp_path / "other", each=9)
    with pytest.raises(DataError, match=r"other holds other images than .*photos was trained on"):
        report(photo_run, data=other)


def test_a_relative_source_is_found_from_another_folder(
    photo_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_file = photo_run / "recipe.toml"
    recipe_file.write_text(recipe_file.read_text("utf-8").replace(str(tmp_path / "photos"), "photos"), "utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "This page has no images" not in text_of(report(photo_run))


def test_changed_images_are_not_shown(photo_run: Path, tmp_path: Path) -> None:
    next((tmp_path / "photos" / "blue").iterdir()).unlink()
    assert "has changed since the run: it holds other images now" in text_of(report(photo_run))


def test_missing_data_given_by_name_is_an_error(photo_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        report(photo_run, data=tmp_path / "nowhere")


def test_a_report_downloads_nothing(tmp_path: Path) -> None:
    folder = predicted_run(tmp_path, "made", CLASSES, random_predictions(CLASSES, 20))
    folder.recipe.write_text(folder.recipe.read_text("utf-8").replace('"shapes"', '"cifar100"'), "utf-8")
    expected = "cifar100 is not on this machine; get it with: tenfold data get cifar100"
    assert expected in text_of(report(folder.path))


def test_a_dataset_can_be_given(tmp_path: Path) -> None:
    rows = random_predictions(CLASSES, 20)
    folder = predicted_run(tmp_path, "made", CLASSES, rows)
    assert "This page has no images" not in text_of(report(folder.path, data=dataset_of(CLASSES, rows)))


def test_the_users_own_network_can_be_given(tmp_path: Path) -> None:
    from torch import nn

    def network() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    short = recipe("mlp", "train.duration=2 steps")
    run = tenfold.train(short, data=dataset(), model=network(), runs=tmp_path, report=False)
    assert "contains the weights of your own network" in text_of(report(run.path, data=dataset()))
    assert "shows in orange the regions that support the predicted class" in text_of(
        report(run.path, data=dataset(), model=network())
    )


def test_a_sweep_has_a_page_of_its_own(tmp_path: Path) -> None:
    sweep = predicted_sweep(tmp_path).path
    assert report(sweep) == sweep / "report.html"
    with pytest.raises(UsageError, match="is a sweep, whose page shows no images"):
        report(sweep, data="shapes")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        report(tmp_path / "nothing")
