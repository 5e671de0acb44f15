"""The ways in from Python, end to end, on data so small that a run takes a second."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tenfold
from harness.tiny import CLASSES, dataset, make_split, photo_folder, recipe
from tenfold.api.evaluate import evaluate
from tenfold.cli.main import main
from tenfold.core.errors import DataError, ModelError, RecipeError, RunError, TrainingError, UsageError
from tenfold.evaluate.intervals import wilson
from tenfold.recipes.load import load_recipe
from tenfold.runs.run_folder import RunFolder

SHORT = ["train.duration=3 epochs", "train.min_steps=0", "train.threads=1", "train.device=cpu"]


def as_stored(evaluation: tenfold.Evaluation) -> dict[str, Any]:
    """Returns what a JSON file gives back of it."""
    return dict(json.loads(json.dumps(evaluation.to_json())))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of images of different sizes."""
    return photo_folder(tmp_path_factory.mktemp("photos") / "my photos")


@pytest.fixture(scope="module")
def photo_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tenfold.Run:
    """A run of the default recipe on the photos."""
    return tenfold.train("quick", data=photos, overrides=SHORT, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def array_run(tmp_path_factory: pytest.TempPathFactory) -> tenfold.Run:
    """A run on arrays, with a validation split."""
    return tenfold.train(recipe("mlp"), data=dataset(val=12), runs=tmp_path_factory.mktemp("runs"), name="arrays")


def test_a_run_on_a_folder_writes_every_file_of_the_contract(photo_run: tenfold.Run) -> None:
    names = {path.name for path in photo_run.path.iterdir() if not path.name.startswith(".")}
    assert names >= {
        "recipe.toml", "env.json", "log.jsonl", "metrics.csv", "checkpoints", "last.safetensors",
        "summary.json", "predictions.csv", "plots",
    }  # fmt: skip
    assert "best.safetensors" not in names
    assert len(list((photo_run.path / "checkpoints").iterdir())) == 2
    drawn = {path.name for path in (photo_run.path / "plots").iterdir()}
    assert drawn == {"curves.png", "confusion.png", "per-class.png", "preview.png", "predictions.png"}
    assert photo_run.path.name.startswith("my-photos-quick-")
    assert photo_run.accuracy >= 0.75


def test_nothing_is_written_beside_the_users_images(photos: Path, photo_run: tenfold.Run) -> None:
    assert photo_run.path.is_dir()
    files = [path for path in photos.rglob("*") if path.is_file()]
    assert len(files) == 40
    assert {path.suffix for path in files} == {".png"}


def test_the_stored_recipe_repeats_the_run(photo_run: tenfold.Run, tmp_path: Path) -> None:
    again = tenfold.train(photo_run.path / "recipe.toml", runs=tmp_path)
    timed = ("training_seconds", "total_seconds", "loading_seconds", "compile_seconds")
    assert {k: v for k, v in again.summary.items() if k not in timed} == {
        k: v for k, v in photo_run.summary.items() if k not in timed
    }
    weights = [(run.path / "predictions.csv").read_bytes() for run in (again, photo_run)]
    assert weights[0] == weights[1]
    assert load_recipe(again.path) == load_recipe(photo_run.path)


def test_the_summary_follows_from_the_predictions(photo_run: tenfold.Run) -> None:
    with (photo_run.path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    summary = json.loads((photo_run.path / "summary.json").read_text(encoding="utf-8"))
    correct = sum(row["true"] == row["predicted"] for row in rows)
    assert len(rows) == summary["dataset"]["pictures"]["test"] == 8
    assert summary["test_accuracy"] == correct / len(rows)
    assert summary["test_interval"] == pytest.approx(wilson(correct, len(rows)))
    for part in summary["evaluation"]["per_class"]:
        assert part["support"] == sum(row["true"] == part["name"] for row in rows)
        assert part["correct"] == sum(row["true"] == row["predicted"] == part["name"] for row in rows)


def test_predict_agrees_with_the_predictions_of_the_run(photos: Path, photo_run: tenfold.Run) -> None:
    rows = RunFolder.open(photo_run.path).read_predictions()
    files = [photos / row.path for row in rows]
    found = list(photo_run.load().predict_all(files))
    assert [prediction.label for prediction in found] == [row.predicted for row in rows]
    assert [p.probability for p in found] == pytest.approx([row.probability for row in rows], abs=1e-6)


@pytest.mark.parametrize("views", ["plain", "mirror", "shifts"])
def test_python_and_the_command_line_agree_for_all_views(
    views: str, photos: Path, photo_run: tenfold.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = evaluate(photo_run.path, views=views, device="cpu")
    assert main(["eval", str(photo_run.path), "--views", views, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == as_stored(evaluation)
    one = next(photos.rglob("*.png"))
    prediction = tenfold.load(photo_run.path, views=views, device="cpu").predict(one)
    assert main(["predict", str(photo_run.path), str(one), "--views", views, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["probabilities"] == prediction.probabilities


def test_a_run_is_evaluated_with_its_own_views(tmp_path: Path) -> None:
    run = tenfold.train(recipe("mlp", "evaluate.views=shifts"), data=dataset(), runs=tmp_path, name="six")
    assert as_stored(evaluate(run.path, data=dataset(), device="cpu")) == run.summary["evaluation"]
    plain = evaluate(run.path, data=dataset(), views="plain", device="cpu")
    assert plain.loss != run.evaluation.loss
    assert plain.plain_accuracy is None
    assert run.evaluation.plain_accuracy == plain.accuracy
    with pytest.raises(UsageError, match="unknown views 'six'; expected plain, mirror, shifts"):
        tenfold.load(run.path, views="six")


def test_evaluation_of_a_run_equals_its_summary(photo_run: tenfold.Run) -> None:
    again = evaluate(photo_run.path, device="cpu")
    assert as_stored(again) == photo_run.summary["evaluation"]


def test_a_run_on_arrays_keeps_the_best_model_and_evaluates_it(array_run: tenfold.Run) -> None:
    folder, data = RunFolder.open(array_run.path), dataset(val=12)
    rows = folder.read_metrics()
    evaluated = [row["val_accuracy"] for row in rows if row["val_accuracy"] is not None]
    assert array_run.summary["model"] == "best"
    assert array_run.summary["val_accuracy"] == max(evaluated)
    by_best = evaluate(folder.best, data=data, device="cpu")
    assert as_stored(by_best) == array_run.summary["evaluation"]
    assert evaluate(folder.best, data=data, split="val", device="cpu").accuracy == max(evaluated)
    assert as_stored(array_run.load().evaluate(data.test)) == array_run.summary["evaluation"]


def test_early_stopping_ends_the_run_when_validation_no_longer_improves(tmp_path: Path) -> None:
    patient = recipe("mlp", "train.early_stop=2", "train.duration=50 epochs", "optim.lr=0.02")
    run = tenfold.train(patient, data=dataset(val=12), runs=tmp_path)
    assert run.summary["epochs"] == run.summary["best_epoch"] + 2 < 50


def test_early_stopping_without_validation_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="early_stop needs a validation split"):
        tenfold.train(recipe("mlp", "train.early_stop=2"), data=dataset(), runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


class Own(nn.Module):
    """Somebody's own network."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, stride=2)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.features(images).relu().mean((2, 3))))


def test_the_users_own_network_is_trained_saved_and_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = tenfold.train(recipe("mlp", "optim.lr=0.05"), data=dataset(), model=Own(), runs=tmp_path)
    with pytest.raises(ModelError, match="your own network; pass the network"):
        tenfold.load(run.path)
    predictor = tenfold.load(run.path, model=Own(), device="cpu")
    assert as_stored(predictor.evaluate(dataset().test)) == run.summary["evaluation"]


def test_a_network_with_another_number_of_classes_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="class"):
        tenfold.train(recipe("mlp"), data=dataset(), model=Own(classes=2), runs=tmp_path)


def test_the_fingerprint_of_arrays_depends_on_their_content() -> None:
    def made(seed: int) -> tenfold.Dataset:
        train, test = make_split(6, seed), make_split(3, 9)
        return tenfold.dataset_from_arrays((train.images, train.labels), (test.images, test.labels), CLASSES)

    assert made(0).classes == CLASSES
    assert made(0).fingerprint == made(0).fingerprint != made(1).fingerprint
    labels = np.zeros(2, np.int64)
    with pytest.raises(DataError, match=r"images are float64 \[2, 8, 8, 3\]; expected uint8"):
        tenfold.dataset_from_arrays((np.zeros((2, 8, 8, 3)), labels), (np.zeros((2, 8, 8, 3)), labels), CLASSES)


def test_classes_are_matched_by_name(array_run: tenfold.Run) -> None:
    data = dataset(val=12)
    turned = replace(data, classes=CLASSES[::-1], test=replace(data.test, labels=2 - data.test.labels))
    same = evaluate(array_run.path, data=turned, device="cpu")
    assert as_stored(same) == array_run.summary["evaluation"]

    reds = np.flatnonzero(data.test.labels == 2)
    only = replace(data.test.subset(reds), labels=np.zeros(len(reds), np.int64))
    part = evaluate(array_run.path, data=tenfold.Dataset("reds", ("red",), only, only), device="cpu")
    assert (part.total, part.correct) == (len(reds), array_run.evaluation.per_class[2].correct)


def test_an_unknown_class_is_refused_with_the_known_ones(array_run: tenfold.Run) -> None:
    foreign = replace(dataset(), classes=("dark", "light", "zebra"))
    with pytest.raises(ModelError, match=r"does not know \(zebra\); the model knows dark, light, red"):
        evaluate(array_run.path, data=foreign, device="cpu")


def test_an_unknown_split_is_refused_with_the_known_ones(array_run: tenfold.Run) -> None:
    with pytest.raises(UsageError, match="tiny has no split 'vla'; expected train, test"):
        evaluate(array_run.path, data=dataset(), split="vla", device="cpu")


def test_a_named_run_is_never_overwritten(array_run: tenfold.Run) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in array_run.path.iterdir()}
    with pytest.raises(RunError, match="arrays already exists, and a run is never overwritten"):
        tenfold.train(recipe("mlp"), data=dataset(), runs=array_run.path.parent, name="arrays")
    assert {path.name: path.stat().st_mtime_ns for path in array_run.path.iterdir()} == before


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    short = recipe("mlp", "train.duration=1 steps")
    paths = {tenfold.train(short, data=dataset(train=8, test=4), runs=tmp_path).path for _ in range(2)}
    assert len(paths) == 2


def test_training_keeps_the_random_state_and_threads(tmp_path: Path) -> None:
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    tenfold.train(recipe("quick", "train.duration=1 steps"), data=dataset(train=8, test=4), runs=tmp_path)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads


def test_a_loss_that_is_not_finite_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is not finite at step \d+ .*with a lower learning rate"):
        tenfold.train(recipe("mlp", "optim.lr=1e30"), data=dataset(), runs=tmp_path)


def test_an_extended_run_follows_the_longer_schedule(tmp_path: Path) -> None:
    falling = recipe("tutorial", "optim.schedule=linear", "data.image_size=16")
    plain = {"model": {"kernels": 3}}
    short = falling.model_copy(update={"model": falling.model.model_copy(update=plain["model"])})
    run = tenfold.train(short, data=dataset(), runs=tmp_path, name="longer")
    longer = tenfold.train(data=dataset(), resume=run.path, overrides=["train.duration=4 epochs"])
    rates = [row["lr"] for row in RunFolder.open(longer.path).read_metrics()]
    assert longer.summary["epochs"] == 4
    assert rates[-1] < rates[len(rates) // 2]
    assert rates[-1] == pytest.approx(0.001 / 24)
