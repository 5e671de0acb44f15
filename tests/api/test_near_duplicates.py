"""Near duplicates of drawn test images, from the folder to `summary.json`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenfold
from harness.runs import tiny_run, without_plots
from harness.tiny import photo_folder
from tenfold.core.progress import SilentProgress
from tenfold.data.duplicates.search import find_duplicates
from tenfold.evaluate.intervals import wilson
from tenfold.runs.run_folder import RunFolder

SETTINGS = ["model.hidden=[4]", "train.duration=1 epochs", "train.min_steps=0", "train.threads=1", "train.device=cpu"]


class Messages(SilentProgress):
    """Keeps the messages of a run."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Returns class folders in which every second photo has exact copies."""
    root = photo_folder(tmp_path / "photos", each=16)
    for folder in root.iterdir():
        for number in range(0, 16, 2):
            content = (folder / f"{number}.png").read_bytes()
            for copy in range(4):
                (folder / f"{number}-copy{copy}.png").write_bytes(content)
    return root


def test_a_run_on_a_drawn_split_tells_the_accuracy_without_duplicates(photos: Path, tmp_path: Path) -> None:
    data, notes = tenfold.dataset(photos, image_size=16), Messages()
    run = RunFolder(tiny_run(tmp_path, data=data, overrides=SETTINGS, progress=notes))
    found: dict[str, Any] = run.read_summary()["near_duplicates"]
    rows = run.read_predictions()
    trained = {path.partition("-")[0].removesuffix(".png") for path in data.train.paths or ()}
    alone = [row for row in rows if row.path.partition("-")[0].removesuffix(".png") not in trained]
    hits = sum(row.true == row.predicted for row in alone)
    assert (found["split"], found["drawn"], found["near"]) == ("test", True, 0)
    assert (found["pictures"], found["left"]) == (len(rows), len(alone))
    assert found["exact"] == len(rows) - len(alone) > 0
    assert found["test_accuracy"] == pytest.approx(hits / len(alone))
    assert found["test_interval"] == pytest.approx(wilson(hits, len(alone)))
    assert f"{found['exact']} of {len(rows)} test images have a near duplicate in train" in " ".join(notes.texts)


def test_a_run_whose_test_images_all_have_duplicates_has_no_accuracy_without(tmp_path: Path) -> None:
    root = photo_folder(tmp_path / "photos", each=1)
    for folder in root.iterdir():
        content = (folder / "0.png").read_bytes()
        for copy in range(9):
            (folder / f"copy{copy}.png").write_bytes(content)
    found = RunFolder(tiny_run(tmp_path, data=tenfold.dataset(root, image_size=16), overrides=SETTINGS)).read_summary()[
        "near_duplicates"
    ]
    assert (found["left"], found["test_accuracy"], found["test_interval"]) == (0, None, None)


def test_a_run_on_arrays_or_a_test_folder_tells_nothing(tmp_path: Path) -> None:
    for split in ("train", "test"):
        photo_folder(tmp_path / "photos" / split, each=8)
    with without_plots():
        run = tenfold.train("mlp", data=tmp_path / "photos", overrides=SETTINGS, runs=tmp_path)
    assert run.summary["near_duplicates"] is None
    assert RunFolder(tiny_run(tmp_path)).read_summary()["near_duplicates"] is None


def test_each_trial_of_a_sweep_has_the_duplicates_of_its_test_images(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenfold.api.trial import run_trial
    from tenfold.recipes.load import load_recipe

    recipe = load_recipe(
        "mlp", [*SETTINGS, f"data.source={photos}", "data.image_size=16", "train.threads=1", "train.device=cpu"]
    )
    assert run_trial((str(tmp_path / "trial"), recipe.model_dump(mode="json")), lambda row: False) is None
    found = RunFolder(tmp_path / "trial").read_summary()["near_duplicates"]
    assert found["exact"] > 0
    assert np.isfinite(found["test_accuracy"])


def test_one_search_suffices_where_the_cache_cannot_be_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []

    def search(*arguments: Any, **named: Any) -> Any:
        searches.append(arguments)
        return find_duplicates(*arguments, **named)

    monkeypatch.setattr("tenfold.inspect.drawn_splits.write_leaks", lambda *_: None)
    monkeypatch.setattr("tenfold.inspect.drawn_splits.find_duplicates", search)
    with without_plots():
        tenfold.train("mlp", data=photos, overrides=[*SETTINGS, "data.image_size=12"], runs=tmp_path, name="run")
    assert len(searches) == 1
