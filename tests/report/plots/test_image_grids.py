"""The pictures of a finished run."""

from pathlib import Path

import pytest
from PIL import Image

import tenfold
from harness.tiny import CLASSES, dataset, pictures, recipe
from tenfold.core.errors import RunError
from tenfold.report.plots.image_grids import draw_preview, draw_run
from tenfold.runs.run_folder import RunFolder


def test_a_finished_run_can_be_drawn_again_from_its_folder_alone(tmp_path: Path) -> None:
    short = recipe("mlp", "train.duration=4 steps")
    folder = RunFolder.open(tenfold.train(short, data=dataset(), runs=tmp_path).path)
    before = {path.name: path.read_bytes() for path in folder.plots.iterdir()}
    for path in folder.plots.iterdir():
        path.unlink()
    draw_run(folder, dataset())
    assert {path.name: path.read_bytes() for path in folder.plots.iterdir()} == before
    assert len(before) == 5
    for name in before:
        with Image.open(folder.plots / name) as image:
            assert min(image.size) > 200


def test_a_run_that_is_not_finished_cannot_be_drawn(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "tiny", "mlp", "begun")
    with pytest.raises(RunError, match=r"summary\.json is missing; finish the run with --resume"):
        draw_run(folder, dataset())


def test_a_preview_returns_the_labels_of_what_it_shows_and_is_the_same_for_a_seed(tmp_path: Path) -> None:
    first = draw_preview(pictures(9, 0), CLASSES, tmp_path / "a.png", count=6, seed=1)
    again = draw_preview(pictures(9, 0), CLASSES, tmp_path / "b.png", count=6, seed=1)
    assert first == again
    assert len(first) == 6
    assert set(first) <= set(CLASSES)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_preview_shows_no_more_than_there_is(tmp_path: Path) -> None:
    assert sorted(draw_preview(pictures(3, 0), CLASSES, tmp_path / "a.png")) == sorted(CLASSES)
