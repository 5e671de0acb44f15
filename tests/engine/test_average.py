"""With `optim.ema`, evaluation and saved models use the averaged weights; training itself uses the raw ones."""

from pathlib import Path

import torch
from torch import Tensor

from harness.runs import TINY, digests, noise_dataset, tiny_run
from tenfold.runs.artifact import Classifier
from tenfold.runs.checkpoint import load_checkpoint
from tenfold.runs.run_folder import RunFolder

torch.set_num_threads(1)

AVERAGED = (*TINY, "optim.lr=0.05", "optim.ema=0.9")


def saved(run: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the raw and the averaged weights of the newest checkpoint."""
    tensors = load_checkpoint(run / "checkpoints").tensors
    average = [tensors["average"][str(index)] for index in range(len(tensors["average"]))]
    names = Classifier.load(run / "last.safetensors").model.state_dict()
    return [tensors["model"][name] for name in names], average


def test_the_saved_and_evaluated_model_is_the_average(tmp_path: Path) -> None:
    data = noise_dataset(val=0)
    run = tiny_run(tmp_path, data=data, overrides=AVERAGED)
    raw, average = saved(run)
    model = Classifier.load(run / "last.safetensors").model
    assert all(torch.equal(found, expected) for found, expected in zip(model.parameters(), average, strict=True))
    assert all(a.shape == b.shape and not torch.equal(a, b) for a, b in zip(raw, average, strict=True))
    accuracy = Classifier.load(run / "last.safetensors").evaluate(data.test).accuracy
    assert RunFolder.open(run).read_summary()["test_accuracy"] == accuracy


def test_validation_and_the_best_model_use_the_average(tmp_path: Path) -> None:
    data = noise_dataset(val=12)
    assert data.val is not None
    run = tiny_run(tmp_path, data=data, overrides=AVERAGED)
    rows = [row for row in RunFolder.open(run).read_metrics() if row["val_accuracy"] is not None]
    best = Classifier.load(run / "best.safetensors").evaluate(data.val)
    first_best = max(rows, key=lambda row: row["val_accuracy"] or 0.0)
    assert (first_best["val_accuracy"], first_best["val_loss"]) == (best.accuracy, best.loss)
    last = Classifier.load(run / "last.safetensors").evaluate(data.val)
    assert rows[-1]["val_loss"] == last.loss


def test_training_continues_with_the_raw_weights(tmp_path: Path) -> None:
    """The raw weights end bit-identical to those of a run without an average."""
    plain = digests(tiny_run(tmp_path, "plain", overrides=AVERAGED[:-1]))
    averaged = digests(tiny_run(tmp_path, "averaged", overrides=AVERAGED))
    for name in ("model", "optimizer", "random"):
        assert averaged[name] == plain[name]
    assert averaged["last.safetensors"] != plain["last.safetensors"]
    assert "average" in averaged
    assert "average" not in plain
