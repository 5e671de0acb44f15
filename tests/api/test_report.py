"""`tenfold.api.report`: where it gets the pictures from, and what it says where they are gone."""

import shutil
from pathlib import Path

import pytest

import tenfold
from harness.family import family
from harness.judged import answers, dataset_for, judged_run
from harness.pages import read_page
from harness.tiny import dataset, photo_folder, recipe
from tenfold.api.report import report
from tenfold.core.errors import DataError, RunError, UsageError

CLASSES = ("cat", "dog")


@pytest.fixture
def photo_run(tmp_path: Path) -> Path:
    """A run on a folder of pictures, which lies at `tmp_path / "photos"`."""
    photos = photo_folder(tmp_path / "photos", each=10)
    short = recipe("mlp", "data.image_size=[12,12]", "model.hidden=[4]", "train.duration=2 steps")
    return tenfold.train(short, data=photos, runs=tmp_path / "runs", name="photos", report=False).path


def text_of(page: Path) -> str:
    return read_page(page.read_text("utf-8")).text


def test_the_pictures_are_those_that_the_recipe_names(photo_run: Path) -> None:
    page = report(photo_run)
    assert page == photo_run / "report.html"
    assert "The page has no pictures" not in text_of(page)
    assert "Where the network looked is not shown: it has no convolution to ask." in text_of(page)


def test_pictures_that_are_gone_leave_a_sentence_and_moved_ones_can_be_named(photo_run: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "photos", tmp_path / "moved")
    assert f"The page has no pictures: {tmp_path / 'photos'} does not exist" in text_of(report(photo_run))
    assert "The page has no pictures" not in text_of(report(photo_run, data=tmp_path / "moved"))


def test_pictures_that_have_changed_are_not_shown(photo_run: Path, tmp_path: Path) -> None:
    next((tmp_path / "photos" / "blue").iterdir()).unlink()
    assert "holds other pictures now than those of the run" in text_of(report(photo_run))


def test_pictures_that_were_named_and_are_not_there_are_refused(photo_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        report(photo_run, data=tmp_path / "nowhere")


def test_no_page_is_worth_a_download(tmp_path: Path) -> None:
    folder = judged_run(tmp_path, "made", CLASSES, answers(CLASSES, 20))
    folder.recipe.write_text(folder.recipe.read_text("utf-8").replace('"shapes"', '"cifar100"'), "utf-8")
    expected = "cifar100 is not on this machine; get it with: tenfold data get cifar100"
    assert expected in text_of(report(folder.path))


def test_a_dataset_can_be_given(tmp_path: Path) -> None:
    rows = answers(CLASSES, 20)
    folder = judged_run(tmp_path, "made", CLASSES, rows)
    assert "The page has no pictures" not in text_of(report(folder.path, data=dataset_for(CLASSES, rows)))


def test_a_network_of_ones_own_can_be_given(tmp_path: Path) -> None:
    from torch import nn

    def network() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    short = recipe("mlp", "train.duration=2 steps")
    run = tenfold.train(short, data=dataset(), model=network(), runs=tmp_path, report=False)
    assert "holds the weights of a network of your own" in text_of(report(run.path, data=dataset()))
    assert "in orange, what spoke for the answer" in text_of(report(run.path, data=dataset(), model=network()))


def test_a_sweep_has_a_page_of_its_own(tmp_path: Path) -> None:
    sweep = family(tmp_path).path
    assert report(sweep) == sweep / "report.html"
    with pytest.raises(UsageError, match="is a sweep, whose page has no pictures"):
        report(sweep, data="shapes")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        report(tmp_path / "nothing")
