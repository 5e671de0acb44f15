"""Runs on data that is read by labels or named splits: they repeat, resume, move, and evaluate other data."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import tenfold
from harness.images import class_tree, png, write_tree
from harness.runs import Notes, without_plots
from harness.tiny import photo_folder
from tenfold.core.errors import DataError, UsageError
from tenfold.recipes.load import load_recipe

SETTINGS = [
    "model.hidden=[4]", "train.duration=1 epochs", "train.min_steps=0", "train.threads=1", "train.device=cpu",
    "data.image_size=16",
]  # fmt: skip


def flat_photos(root: Path) -> Path:
    """Writes `blue` and `green` photos into one folder with a table beside them; returns `root`."""
    source = photo_folder(root.with_name("by-class"))
    (root / "all").mkdir(parents=True)
    rows = ["id,label"]
    for number, path in enumerate(sorted(source.rglob("*.png"))):
        shutil.copy(path, root / "all" / f"{path.parent.name}_{number:03}.png")
        rows.append(f"{path.parent.name}_{number:03},{path.parent.name}")
    (root / "t.csv").write_text("\n".join(rows))
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with `photos` and `runs/first`, trained on them by their table."""
    home = tmp_path_factory.mktemp("home")
    flat_photos(home / "photos")
    with without_plots():
        tenfold.train(
            "mlp", data=home / "photos", overrides=[*SETTINGS, "data.labels=t.csv"], runs=home / "runs", name="first"
        )
    return home


def evaluated(home: Path, data: Path | None = None, **rules: object) -> tuple[int, list[str]]:
    """Returns the number of evaluated images and the messages."""
    notes = Notes()
    result = tenfold.eval(home / "runs/first", data=data, device="cpu", progress=notes, **rules)  # type: ignore[arg-type]
    return result.total, notes.messages


def test_the_recipe_of_a_run_names_the_table_by_its_absolute_path(home: Path) -> None:
    assert load_recipe(home / "runs/first").data.labels == str(home / "photos/t.csv")


def test_a_run_evaluates_its_own_data_by_its_table(home: Path) -> None:
    assert evaluated(home)[0] == evaluated(home, home / "photos", labels="t.csv")[0] == 8


def test_data_that_has_moved_is_read_by_the_table_that_moved_with_it(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    moved = (tmp_path / "home/photos").rename(tmp_path / "home/elsewhere")
    (home / "photos").rename(home / "gone")
    try:
        total, messages = evaluated(tmp_path / "home", moved)
    finally:
        (home / "gone").rename(home / "photos")
    assert (total, messages[0]) == (8, f"{moved} is the data of the run in a new place")


def test_other_data_is_read_as_it_is_said(home: Path, tmp_path: Path) -> None:
    flat = write_tree(tmp_path / "new", {f"{name}_{n}.png": png(n) for n in range(3) for name in ("blue", "green")})
    assert evaluated(home, flat, labels="name:(?P<label>[a-z]+)")[0] == 6
    named = class_tree(tmp_path / "named", {f"{part}/{name}": 2 for part in ("a", "b") for name in ("blue", "green")})
    assert evaluated(home, named, splits="a=train,b=test")[0] == 4


def test_other_class_folders_need_no_labels(home: Path, tmp_path: Path) -> None:
    assert evaluated(home, class_tree(tmp_path / "new", {"blue": 2, "green": 1}))[0] == 3


def test_other_data_need_not_have_the_groups_of_the_run(home: Path, tmp_path: Path) -> None:
    overrides = [*SETTINGS, "data.labels=t.csv", r"data.group='_(\d+)'"]
    with without_plots():
        tenfold.train("mlp", data=home / "photos", overrides=overrides, runs=tmp_path / "runs", name="first")
    assert evaluated(tmp_path, class_tree(tmp_path / "new", {"blue": 2, "green": 1}))[0] == 3


def test_labels_without_data_are_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="labels says how other data is read, but no data was named"):
        evaluated(home, labels="t.csv")


def test_labels_of_images_in_memory_are_refused() -> None:
    images = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(DataError, match=r"data\.labels is t\.csv, but the data is in memory"):
        tenfold.dataset((images, [0, 1, 0, 1]), labels="t.csv")


def test_a_run_by_a_table_is_extended(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "runs", tmp_path / "runs")
    with without_plots():
        run = tenfold.train(resume=tmp_path / "runs/first", epochs=2)
    assert run.summary["epochs"] == 2
