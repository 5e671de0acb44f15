"""With `optim.ema` everything that judges or is kept sees the averaged weights; training itself does not."""

from pathlib import Path

import torch
from torch import Tensor

from harness.runs import TINY, digests, noise_set, tiny_run
from tenfold.runs.artifact import Classifier
from tenfold.runs.checkpoint import load_checkpoint
from tenfold.runs.run_folder import RunFolder

torch.set_num_threads(1)

AVERAGED = (*TINY, "optim.lr=0.05", "optim.ema=0.9")


def saved(run: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the raw and the averaged weights of the newest checkpoint."""
    tensors = load_checkpoint(run / "checkpoints").tensors
    average = [tensors["average"][str(place)] for place in range(len(tensors["average"]))]
    in_order = Classifier.load(run / "last.safetensors").model.state_dict()
    return [tensors["model"][name] for name in in_order], average


def test_the_model_that_is_saved_and_judged_is_the_average(tmp_path: Path) -> None:
    data = noise_set(val=0)
    run = tiny_run(tmp_path, data=data, overrides=AVERAGED)
    raw, average = saved(run)
    model = Classifier.load(run / "last.safetensors").model
    assert all(torch.equal(found, expected) for found, expected in zip(model.parameters(), average, strict=True))
    assert all(a.shape == b.shape and not torch.equal(a, b) for a, b in zip(raw, average, strict=True))
    judged = Classifier.load(run / "last.safetensors").evaluate(data.test).accuracy
    assert RunFolder.open(run).read_summary()["test_accuracy"] == judged


def test_validation_and_the_best_model_are_those_of_the_average(tmp_path: Path) -> None:
    data = noise_set(val=12)
    assert data.val is not None
    run = tiny_run(tmp_path, data=data, overrides=AVERAGED)
    rows = [row for row in RunFolder.open(run).read_metrics() if row["val_accuracy"] is not None]
    best = Classifier.load(run / "best.safetensors").evaluate(data.val)
    first_best = max(rows, key=lambda row: row["val_accuracy"] or 0.0)
    assert (first_best["val_accuracy"], first_best["val_loss"]) == (best.accuracy, best.loss)
    last = Classifier.load(run / "last.safetensors").evaluate(data.val)
    assert rows[-1]["val_loss"] == last.loss


def test_training_goes_on_with_the_raw_weights(tmp_path: Path) -> None:
    """The run learns what it would have learnt without an average, to the bit, validated after each epoch or not."""
    plain = digests(tiny_run(tmp_path, "plain", overrides=AVERAGED[:-1]))
    averaged = digests(tiny_run(tmp_path, "averaged", overrides=AVERAGED))
    for name in ("model", "optimizer", "random"):
        assert averaged[name] == plain[name]
    assert averaged["last.safetensors"] != plain["last.safetensors"]
    assert "average" in averaged
    assert "average" not in plain
