"""A run's accuracy with and without the test images that have a duplicate in train."""

from pathlib import Path

import numpy as np
import pytest

import tenfold
from harness.images import png, write_tree
from harness.scenes import scene, scenes
from tenfold.api.check import csv_text
from tenfold.core.errors import RunError, UsageError
from tenfold.data.types import Dataset
from tenfold.evaluate.intervals import wilson
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import PredictionRow


def leaky_dataset() -> Dataset:
    """Returns 20 training and 10 test images; the first 4 test images are training images."""
    return scenes(
        [(scene(n), n % 2) for n in range(20)],
        [(scene(n if n < 4 else 100 + n), n % 2) for n in range(10)],
        paths=True,
    )


def run_with_predictions(runs: Path, dataset: Dataset, right: list[bool]) -> Path:
    """Returns a run with correct predictions where `right` is True."""
    folder = RunFolder.create(runs, "scenes", "tutorial", "evaluated")
    folder.recipe.write_text(to_toml(load_recipe("tutorial")), encoding="utf-8")
    names = dataset.test.paths or tuple(map(str, range(len(dataset.test))))
    true = [dataset.classes[label] for label in dataset.test.labels]
    other = {"cat": "dog", "dog": "cat"}
    folder.write_predictions(
        [PredictionRow(n, t, t if hit else other[t], 0.9) for n, t, hit in zip(names, true, right, strict=True)]
    )
    return folder.path


def test_accuracy_is_reported_with_and_without_leaked_images(tmp_path: Path) -> None:
    data = leaky_dataset()
    run = run_with_predictions(tmp_path, data, [True] * 4 + [True, True, True, False, False, False])
    effect = tenfold.check(data, run=run).effect
    assert effect is not None
    assert (effect.total, effect.accuracy, effect.interval) == (10, 0.7, wilson(7, 10))
    assert (effect.kept, effect.accuracy_without, effect.interval_without) == (6, 0.5, wilson(3, 6))


def test_no_accuracy_is_made_up_if_every_test_image_leaked(tmp_path: Path) -> None:
    data = scenes([(scene(n), n % 2) for n in range(6)], [(scene(n), n % 2) for n in range(4)])
    effect = tenfold.check(data, run=run_with_predictions(tmp_path, data, [True] * 4)).effect
    assert effect is not None
    assert effect.accuracy_without is None
    assert effect.kept == 0


def test_a_run_on_other_test_images_is_refused(tmp_path: Path) -> None:
    run = run_with_predictions(tmp_path, leaky_dataset(), [True] * 10)
    other = scenes([(scene(n), 0) for n in range(4)], [(scene(7), 1)])
    with pytest.raises(RunError, match=r"evaluated on 10 images that are not the 1 test image of scenes"):
        tenfold.check(other, run=run)


def test_test_images_are_drawn_as_for_the_run(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": png(n + 100 * len(name)) for name in ("cat", "bird") for n in range(10)}
    source = write_tree(tmp_path / "data", files)
    drawn = tenfold.dataset(source, test_fraction=0.4, split_seed=3)
    folder = RunFolder.create(tmp_path / "runs", "data", "tutorial", "drawn")
    recipe = load_recipe("tutorial", ["data.test_fraction=0.4", "data.split_seed=3", "data.val_fraction=0.2"])
    folder.recipe.write_text(to_toml(recipe), encoding="utf-8")
    assert drawn.test.paths is not None
    labels = [drawn.classes[label] for label in drawn.test.labels]
    folder.write_predictions([PredictionRow(p, t, t, 0.9) for p, t in zip(drawn.test.paths, labels, strict=True)])
    effect = tenfold.check(source, run=folder.path).effect
    assert effect is not None
    assert (effect.total, effect.accuracy) == (8, 1.0)


def test_validation_images_are_drawn_as_for_the_run(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": png(n % 5 + 100 * len(name)) for name in ("cat", "bird") for n in range(20)}
    source = write_tree(tmp_path / "data", files)
    settings = ["data.test_fraction=0.1", "data.val_fraction=0.5"]
    drawn = tenfold.dataset(source, test_fraction=0.1, val_fraction=0.5)
    folder = RunFolder.create(tmp_path / "runs", "data", "tutorial", "drawn")
    folder.recipe.write_text(to_toml(load_recipe("tutorial", settings)), encoding="utf-8")
    assert drawn.test.paths is not None
    labels = [drawn.classes[label] for label in drawn.test.labels]
    folder.write_predictions([PredictionRow(p, t, t, 0.9) for p, t in zip(drawn.test.paths, labels, strict=True)])
    found = tenfold.check(source, run=folder.path)
    assert found.leak == tenfold.check(drawn).leak
    assert found.counts is not None
    assert sum(found.counts["train"].values()) == len(drawn.train)


def test_settings_for_a_prepared_dataset_are_refused() -> None:
    with pytest.raises(UsageError, match="image_size given for a dataset that is prepared"):
        tenfold.check(leaky_dataset(), image_size=8)


def test_the_csv_has_a_row_for_each_pair_and_no_nan() -> None:
    found = tenfold.check(scenes([(scene(1), 0), (scene(1), 1)], [(scene(1), 0), (np.zeros_like(scene(1)), 1)]))
    rows = csv_text(found).splitlines()
    assert rows[0].startswith("rule,severity,split,path,label,other_split,other_path,other_label,likeness")
    assert "exact-duplicate,warning,train,0,cat,test,0,cat,1.0," in rows
    assert "exact-duplicate,warning,train,0,cat,train,1,dog,1.0,two labels" in rows
    assert "one-colour,warning,test,1,dog,,,,," in rows
    assert "nan" not in csv_text(found)
