"""Data in memory: every function of the Python interface takes the same forms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenfold
from harness.tiny import CLASSES, make_split
from tenfold.core.errors import DataError, UsageError

SHORT = ["train.duration=1 epochs", "train.min_steps=0", "train.batch_size=8", "train.threads=1", "train.device=cpu"]
SHORT += ["model.hidden=[4]"]


def pair(count: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    split = make_split(count, seed)
    return split.images, [CLASSES[label] for label in split.labels]


def test_train_takes_a_pair_announces_the_drawn_test_split_and_resumes(tmp_path: Path) -> None:
    messages: list[str] = []

    class Notes(tenfold.core.progress.SilentProgress):  # type: ignore[name-defined]
        def message(self, text: str) -> None:
            messages.append(text)

    run = tenfold.train("mlp", data=pair(30), overrides=SHORT, runs=tmp_path, report=False, progress=Notes())
    assert run.summary["dataset"]["pictures"] == {"train": 24, "test": 6}
    assert any("no test images: 0.2 of each class was drawn for testing (6 images, seed 0)" in m for m in messages)
    assert run.load().classes == CLASSES
    longer = tenfold.train(data=pair(30), resume=run.path, overrides=["train.duration=2 epochs"], report=False)
    assert longer.summary["epochs"] == 2
    assert tenfold.train("mlp", data=pair(30), overrides=SHORT, runs=tmp_path, report=False).accuracy == run.accuracy


def test_train_takes_splits_and_draws_validation_where_the_recipe_asks_for_it(tmp_path: Path) -> None:
    data = {"train": pair(30), "test": pair(9, 1)}
    settings = [*SHORT, "data.val_fraction=0.2"]
    run = tenfold.train("mlp", data=data, overrides=settings, runs=tmp_path, report=False)
    assert run.summary["dataset"]["pictures"] == {"train": 24, "test": 9, "val": 6}
    assert run.load().calibrated


@pytest.mark.parametrize("data", [5, [1, 2], {"a": 1}, np.zeros((2, 8, 8, 3))])
@pytest.mark.parametrize("function", [tenfold.train, tenfold.suspects, tenfold.check, tenfold.dataset])
def test_other_data_is_one_line_and_trains_nothing(function: Any, data: object, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"runs": tmp_path / "runs"} if function is tenfold.train else {}
    arguments |= {"source" if function is tenfold.dataset else "data": data}
    with pytest.raises(DataError, match=r"^data (is|has) .*; expected") as raised:
        function(**arguments)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_a_sweep_needs_a_source_that_its_processes_can_read(tmp_path: Path) -> None:
    for data in (pair(30), tenfold.dataset(pair(30))):
        with pytest.raises(UsageError, match=r"^data is a (tuple|Dataset).*; the processes of a sweep need a source"):
            tenfold.sweep("mlp", seeds=2, data=data, runs=tmp_path / "runs")  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


def test_check_and_dataset_take_pairs() -> None:
    assert tenfold.check(pair(30)).dataset is not None
    assert {name: len(split) for name, split in tenfold.dataset(pair(30), test_fraction=0.5).splits().items()} == {
        "train": 15,
        "test": 15,
    }


@pytest.mark.parametrize("data", [pair(30), tenfold.dataset(pair(30))])
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fit=crop:0.875", "data.fit is crop:0.875, but the dataset was prepared with crop; leave data.fit"),
        ("image_size=24", "data.image_size is 24×24, but the images in memory are 16×16; resize them, or leave"),
        ("exclude=a.csv", "data.exclude is a.csv, but the data is in memory"),
        ("relabel=a.csv", "data.relabel is a.csv, but the data is in memory"),
        ("data_dir=data", "data.data_dir is data, but the data is in memory"),
    ],
)
def test_settings_of_a_source_are_refused_for_data_in_memory(
    data: Any, setting: str, message: str, tmp_path: Path
) -> None:
    key, _, value = setting.partition("=")
    with pytest.raises(DataError, match=message):
        tenfold.train("mlp", data=data, overrides=[*SHORT, f"data.{setting}"], runs=tmp_path / "runs")
    with pytest.raises(DataError, match=message):
        tenfold.dataset(data, **{key: int(value) if value.isdigit() else value})
    assert not (tmp_path / "runs").exists()


def test_how_other_images_are_resized_is_as_asked_for() -> None:
    padded = tenfold.dataset(pair(30), fit="pad", image_size=16)
    assert padded.fit == "pad"
    assert tenfold.dataset(padded).fit == "pad"
    with pytest.raises(DataError, match=r"data\.fit is stretch, but the dataset was prepared with pad"):
        tenfold.dataset(padded, fit="stretch")


def test_eval_refuses_a_folder_of_cifar_for_data_in_memory(tmp_path: Path) -> None:
    run = tenfold.train("mlp", data=pair(30), overrides=SHORT, runs=tmp_path, report=False)
    with pytest.raises(UsageError, match="data_dir is here, but the data is in memory; leave it out"):
        tenfold.eval(run.path, data=pair(9, 1), data_dir="here")
