"""Cross-validation: every image is tested once, and a final model is trained on all of them."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenfold
from harness.images import png, write_tree
from harness.inline_jobs import run_jobs_here
from harness.tiny import photo_folder
from tenfold.api.sweep import resume_sweep
from tenfold.core.errors import RunError, TenfoldError, TrainingError, UsageError
from tenfold.core.progress import SilentProgress
from tenfold.evaluate.cross_validation import out_of_fold_interval
from tenfold.evaluate.intervals import wilson
from tenfold.recipes.load import load_recipe
from tenfold.runs.model_file import load_model
from tenfold.runs.run_folder import RunFolder

SHORT = ["train.execution=eager", "train.duration=2 epochs", "train.min_steps=0", "train.batch_size=8"]
SHORT += ["train.device=cpu", "train.threads=1", "data.image_size=16", "model.hidden=[4]"]


class Messages(SilentProgress):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module", autouse=True)
def inline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.api.sweep_running.run_jobs", run_jobs_here)
        yield


def cross_validate(data: Path, runs: Path, *overrides: str, folds: int = 3, **settings: Any) -> tenfold.Sweep:
    return tenfold.train(
        "mlp", folds=folds, data=data, overrides=[*SHORT, *overrides], runs=runs, **{"report": False, **settings}
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos") / "photos", each=15)


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tenfold.Sweep:
    """A cross-validation of 30 photos in 3 folds, with its page."""
    return cross_validate(photos, tmp_path_factory.mktemp("runs"), name="whole", report=True)


def rows_of(sweep: tenfold.Sweep) -> list[dict[str, str]]:
    with (sweep.path / "oof_predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_image_is_predicted_once_by_a_network_that_was_not_trained_on_it(whole, photos):
    rows = rows_of(whole)
    assert sorted(row["path"] for row in rows) == sorted(f"{p.parent.name}/{p.name}" for p in photos.rglob("*.png"))
    assert {row["fold"] for row in rows} == {"1", "2", "3"}
    for number, trial in enumerate(sorted((whole.path / "trials").iterdir()), start=1):
        tested = {row.path for row in RunFolder(trial).read_predictions()}
        assert tested == {row["path"] for row in rows if row["fold"] == str(number)}
        assert RunFolder(trial).read_summary()["dataset"]["pictures"] == {"train": 20, "test": 10}


def test_the_accuracy_is_that_of_all_images_with_an_interval_wider_than_wilsons(whole):
    correct = np.array([row["true"] == row["predicted"] for row in rows_of(whole)])
    summary = json.loads((whole.path / "summary.json").read_text())
    assert (summary["kind"], summary["folds"], summary["images"]) == ("folds", 3, 30)
    assert summary["out_of_fold_accuracy"] == whole.accuracy.mean == pytest.approx(correct.mean())
    assert summary["out_of_fold_interval"] == pytest.approx(out_of_fold_interval(correct, 3))
    assert summary["out_of_fold_interval"][0] < wilson(int(correct.sum()), 30)[0]
    assert [one["images"] for one in summary["per_class"].values()] == [15, 15]
    assert "3 folds, out-of-fold accuracy" in repr(whole)


def test_the_final_model_is_trained_on_all_images_and_its_file_says_what_was_cross_validated(whole):
    final = whole.path / "final"
    found = load_model(final / "last.safetensors")[1].metrics
    assert "test_accuracy" not in found
    assert found["cross_validation"]["accuracy"] == whole.accuracy.mean
    assert (found["cross_validation"]["folds"], found["cross_validation"]["images"]) == (3, 30)
    assert "none tested it" in found["cross_validation"]["note"]
    assert found["steps"] == 2 * 5  # two epochs of 30 images, in batches of 7: an epoch has at least four
    assert not (final / "summary.json").exists()
    assert (load_recipe(final).data.folds, load_recipe(final).data.fold) == (3, 0)
    assert tenfold.load(whole.path).predict(np.zeros((16, 16, 3), np.uint8)).label in ("blue", "green")


def test_the_final_model_is_no_run_to_resume(whole):
    with pytest.raises(RunError, match=r"final is the final model of a cross-validation, .* tenfold sweep --resume"):
        tenfold.train(resume=whole.path / "final", epochs=3)


@pytest.mark.parametrize("own_data", [False, True])
def test_evaluating_without_test_images_gives_the_results_of_the_folds(whole, photos, own_data):
    notes = Messages()
    found = tenfold.eval(whole.path, data=photos if own_data else None, progress=notes)
    summary = json.loads((whole.path / "summary.json").read_text())
    assert (found.accuracy, list(found.interval)) == (whole.accuracy.mean, summary["out_of_fold_interval"])
    assert (found.total, found.folds, found.balanced_accuracy) == (30, 3, summary["balanced_accuracy"])
    assert json.loads(json.dumps(found.to_json()))["folds"] == 3
    assert "these are the results of the 3 folds" in notes.texts[-1]


def test_other_images_are_evaluated_with_the_final_model(whole, tmp_path):
    other = photo_folder(tmp_path / "other", each=2)
    assert tenfold.eval(whole.path, data=other).total == 4
    assert tenfold.eval(whole.path, split="train").total == 30
    with pytest.raises(UsageError, match="views is mirror, but the final model was trained on all images"):
        tenfold.eval(whole.path, views="mirror")


def test_one_page_shows_the_accuracy_out_of_fold(whole):
    page = (whole.path / "report.html").read_text()
    assert "accuracy out of fold: 30 images, each predicted by the one of 3 networks" in page
    assert "for new images and new training images" in page
    assert "fold 2" in page
    assert "seed 0" not in page


def test_a_killed_cross_validation_goes_on_with_what_is_missing(photos, tmp_path, whole, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise TrainingError("stopped here")

    with monkeypatch.context() as patch:
        patch.setattr("tenfold.api.fold_results.run", fail)
        with pytest.raises(TrainingError, match="stopped here"):
            cross_validate(photos, tmp_path, name="killed")
    resumed = resume_sweep(tmp_path / "killed")
    assert rows_of(resumed) == rows_of(whole)
    files = [run / "final" / "last.safetensors" for run in (resumed.path, whole.path)]
    weights = [load_model(file)[0] for file in files]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[1])


def test_a_fold_without_a_result_leaves_no_accuracy(photos, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise TrainingError("no memory")

    monkeypatch.setattr("tenfold.api.sweep_running.run_trial", fail)
    with pytest.raises(TrainingError, match=r"3 folds of 3 ended without a result, .* first error: no memory; retry:"):
        cross_validate(photos, tmp_path)
    assert not list(tmp_path.glob("*/summary.json"))


def test_groups_stay_in_one_fold_and_widen_the_interval(tmp_path):
    names = [f"{'sick' if p % 2 else 'well'}/patient{p}_{f}.png" for p in range(6) for f in range(5)]
    data = write_tree(tmp_path / "patients", {name: png(seed) for seed, name in enumerate(names)})
    sweep = cross_validate(data, tmp_path, r"data.group=(patient\d)", "data.image_size=8")
    rows = rows_of(sweep)
    folds_of = {row["group"]: {other["fold"] for other in rows if other["group"] == row["group"]} for row in rows}
    assert sorted(folds_of) == [f"patient{p}" for p in range(6)]
    assert all(len(folds) == 1 for folds in folds_of.values())
    correct = np.array([row["true"] == row["predicted"] for row in rows])
    numbers = np.unique([row["group"] for row in rows], return_inverse=True)[1]
    summary = json.loads((sweep.path / "summary.json").read_text())
    assert summary["out_of_fold_interval"] == pytest.approx(out_of_fold_interval(correct, 3, numbers))


def test_test_images_of_ones_own_stay_unseen(tmp_path):
    names = [f"{split}/{name}/{i}.png" for split in ("train", "test") for name in "ab" for i in range(6)]
    data = write_tree(tmp_path / "own", {name: png(seed) for seed, name in enumerate(names)})
    notes = Messages()
    sweep = cross_validate(data, tmp_path, "data.image_size=8", progress=notes)
    assert all(row["path"].startswith("train/") for row in rows_of(sweep))
    assert "the 12 test images of own are in no fold and stay unseen" in " ".join(notes.texts)
    assert tenfold.eval(sweep.path).total == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": 2}, "folds and seeds were both given"),
        ({"budget": "60s"}, "folds and budget were both given"),
        ({"resume": "runs/x"}, "folds and resume were both given"),
        ({"target": 0.5}, "train.target were both given"),
        ({"folds": 1}, "--folds is 1; expected 2 folds or more"),
    ],
)
def test_what_a_cross_validation_has_no_use_for_is_refused(photos, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        cross_validate(photos, tmp_path, **settings)
    with pytest.raises(UsageError, match=r"--folds and data\.fold were both given"):
        cross_validate(photos, tmp_path, "data.fold=1")
    with pytest.raises(UsageError, match="need a source to read: expected a name or a path"):
        cross_validate((np.zeros((4, 8, 8, 3), np.uint8), [0, 0, 1, 1]), tmp_path)  # type: ignore[arg-type]


def test_more_folds_than_images_of_a_class_are_refused_before_any_run(photos, tmp_path):
    with pytest.raises(TenfoldError, match="photos has 15 images of class 'blue'; expected 16 or more for 16 folds"):
        cross_validate(photos, tmp_path, folds=16)
    assert not list(tmp_path.iterdir())


def test_a_class_of_one_image_is_not_told_to_take_fewer_folds_than_two(tmp_path):
    data = write_tree(tmp_path / "few", {f"{name}.png": png(n) for n, name in enumerate(("a/0", "a/1", "a/2", "b/0"))})
    with pytest.raises(
        TenfoldError, match="1 image of class 'b'; expected 2 or more for 2 folds: take the class out, "
    ):
        cross_validate(data, tmp_path / "runs", folds=2)


def test_two_cross_validations_are_paired_image_by_image(whole, photos, tmp_path):
    other = cross_validate(photos, tmp_path, "optim.lr=0.1", folds=2, name="other")
    found = tenfold.compare([whole, other])
    assert [run.folds for run in found.runs] == [3, 2]
    (pair,) = found.pairs
    assert pair.total == 30
    assert found.runs[0].accuracy == whole.accuracy.mean
    assert set(found.differences) == {"data.folds", "optim.lr"}
    assert any(note.startswith("cross-validated: whole, other; each image is predicted by") for note in found.notes)


def test_compare_says_which_groups_the_splits_keep_and_which_they_share(tmp_path):
    names = [f"{'sick' if p % 2 else 'well'}/patient{p}_{f}.png" for p in range(6) for f in range(5)]
    data = write_tree(tmp_path / "patients", {name: png(seed) for seed, name in enumerate(names)})
    own = [f"{'test' if f == 4 else 'train'}/{name}" for name in names for f in [int(name[-5])]]
    shared = write_tree(tmp_path / "shared", {name: png(seed) for seed, name in enumerate(own)})
    overrides = [*SHORT, "data.image_size=8", r"data.group=(patient\d)"]
    kept = tenfold.train("mlp", data=data, overrides=overrides, runs=tmp_path, name="kept", report=False)
    with pytest.warns(UserWarning, match="6 of 6 test images are of a group that is also in train"):
        torn = tenfold.train("mlp", data=shared, overrides=overrides, runs=tmp_path, name="torn", report=False)
    (note,) = [note for note in tenfold.compare([kept, torn]).notes if note.startswith("groups")]
    assert note == r"groups of images: kept by (patient\d); torn by (patient\d) (6 test images with a group in train)"
    assert torn.summary["dataset"]["groups"]["shared"] == {"test": 6}
