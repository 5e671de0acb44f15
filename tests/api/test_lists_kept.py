"""Runs keep a copy of their `exclude` and `relabel` lists, so that they can be repeated and resumed."""

from pathlib import Path

import pytest

import tenfold
from harness.tiny import photo_folder
from tenfold.core.errors import DataError

TINY = ["train.device=cpu", "train.threads=1", "model.hidden=[4]", "train.duration=1 epochs"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Paths of the training images in `photos`, which lies in the working folder."""
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    photo_folder(tmp_path / "photos")
    return tenfold.dataset("photos").train.paths or ()


def train(recipe: object = "mlp", **arguments: object) -> tenfold.Run:
    return tenfold.train(recipe, report=False, **arguments)


def images_of(run: tenfold.Run) -> tuple[str, int]:
    return run.summary["dataset"]["fingerprint"], run.summary["dataset"]["pictures"]["train"]


def test_a_run_is_repeated_and_extended_with_its_lists(photos: tuple[str, ...], tmp_path: Path) -> None:
    Path("out.csv").write_text("path\n" + "\n".join(photos[:3]))
    Path("new.csv").write_text(f"path,suggested\n{photos[5]},green\n")
    first = train(data="photos", overrides=[*TINY, "data.exclude=out.csv", "data.relabel=new.csv"])
    Path("out.csv").write_text("path\n")
    Path("new.csv").unlink()
    again = train(first.path / "recipe.toml")
    assert images_of(again) == images_of(first)
    assert images_of(first)[1] == len(photos) - 3
    longer = train(resume=first.path.rename(tmp_path / "moved"), overrides=["train.duration=2 epochs"])
    assert images_of(longer) == images_of(first)


def test_a_model_is_evaluated_on_other_images_without_its_lists(photos: tuple[str, ...], tmp_path: Path) -> None:
    Path("none.csv").write_text("path\n")
    run = train(data="photos", overrides=[*TINY, "data.exclude=none.csv"])
    other = photo_folder(tmp_path / "other")
    (run.path / "exclude.csv").write_text("path\nnowhere.png\n")
    with pytest.warns(UserWarning, match="8 of the 8 test images of this run are in .* by name"):
        assert tenfold.eval(run.path, data=other).total == 40
    with pytest.raises(DataError, match="nowhere"):
        tenfold.eval(run.path)


@pytest.mark.usefixtures("trials_in_this_process")
def test_the_trials_of_a_sweep_share_its_lists(photos: tuple[str, ...]) -> None:
    Path("list.csv").write_text("path\n")
    sweep = tenfold.sweep("mlp", seeds=2, jobs=1, data="photos", overrides=[*TINY, "data.exclude=list.csv"])
    Path("list.csv").write_text("path\nnowhere.png\n")
    assert (sweep.path / "exclude.csv").read_text() == "path\n"
    assert f'exclude = "{sweep.path.absolute() / "exclude.csv"}"' in (sweep.path / "base.toml").read_text()
    assert len(tenfold.resume_sweep(sweep.path).rows) == 2
