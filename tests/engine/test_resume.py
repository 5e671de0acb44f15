import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.curves import shapes
from harness.needs import needs_bfloat16, needs_compiler
from harness.runs import TINY, DropoutNet, Notes, StopAfter, digests, noise_dataset, tiny_run
from tenfold.core.errors import Interrupted, RecipeError, RunError, Stopped, StorageError, Terminated, UsageError
from tenfold.runs.checkpoint import load_checkpoint, save_checkpoint
from tenfold.runs.model_file import load_model
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import read_metrics

torch.set_num_threads(1)

QUICK = ("train.batch_size=16", "train.duration=2 epochs", "train.min_steps=1", "model.widths=[8, 8]")


def stop_after(k: int, run: Callable[[], Path], number: int = signal.SIGINT) -> None:
    """Runs until a signal ends it after `k` steps."""
    with StopAfter(k).installed(number), pytest.raises(Stopped, match=r"stopped at step .* and saved; resume with"):
        run()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("val", [0, 6])
def test_a_stopped_run_resumes_to_the_same_end(tmp_path: Path, k: int, val: int) -> None:
    data = noise_dataset(val=val)
    whole = digests(tiny_run(tmp_path, "whole", data=data))
    stop_after(k, lambda: tiny_run(tmp_path, data=data))
    assert digests(tiny_run(tmp_path, data=data, resume=True)) == whole
    assert ("best.safetensors" in whole) == bool(val)


def test_a_run_may_be_stopped_after_every_step(tmp_path: Path) -> None:
    whole = digests(tiny_run(tmp_path, "whole"))
    stop_after(1, lambda: tiny_run(tmp_path))
    for _ in range(6):
        stop_after(1, lambda: tiny_run(tmp_path, resume=True))
    assert digests(tiny_run(tmp_path, resume=True)) == whole


@pytest.mark.parametrize("k", [2, 4, 5])
def test_muon_and_batch_norm_resume_to_the_same_bits(tmp_path: Path, k: int) -> None:
    def run(name: str, *, resume: bool = False) -> Path:
        return tiny_run(tmp_path, name, "quick", data=shapes(), overrides=TINY if resume else QUICK, resume=resume)

    whole = digests(run("whole"))
    stop_after(k, lambda: run("run"))
    assert digests(run("run", resume=True)) == whole


@pytest.mark.parametrize(
    "settings",
    [
        ("optim.name=adam", "optim.schedule=one-cycle", "optim.warmup=0.1"),
        ("optim.name=adamw", "optim.weight_decay=0.1", "optim.schedule=cosine"),
        ("optim.name=rmsprop", "optim.weight_decay=0.1", "optim.schedule=step"),
        ("optim.name=muon", "optim.muon_matrices=true"),
        ("optim.ema=0.9",),
        ("optim.name=adamw", "optim.ema=0.99", "optim.lr=0.1"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("k", [1, 3, 4, 7])
def test_every_optimizer_and_the_ema_resume_to_the_same_bits(tmp_path: Path, settings: tuple[str, ...], k: int) -> None:
    whole = digests(tiny_run(tmp_path, "whole", overrides=(*TINY, *settings)))
    stop_after(k, lambda: tiny_run(tmp_path, overrides=(*TINY, *settings)))
    assert digests(tiny_run(tmp_path, resume=True)) == whole


def test_the_ema_of_batch_norm_statistics_resumes_to_the_same_bits(tmp_path: Path) -> None:
    def run(name: str, *, resume: bool = False) -> Path:
        settings = TINY if resume else (*QUICK, "optim.ema=0.9")
        return tiny_run(tmp_path, name, "quick", data=shapes(), overrides=settings, resume=resume)

    whole = digests(run("whole"))
    stop_after(5, lambda: run("run"))
    assert digests(run("run", resume=True)) == whole


@pytest.mark.parametrize("k", [2, 5, 6, 8])
@pytest.mark.parametrize("setting", ["train.progressive=[[0.4, 0.5], [0.7, 0.75]]", "data.pruning=0.6"])
def test_resizing_and_pruning_resume_to_the_same_bits(tmp_path: Path, setting: str, k: int) -> None:
    settings = (*QUICK, setting)

    def run(name: str, resume: bool = False) -> Path:
        return tiny_run(tmp_path, name, "quick", data=shapes(), overrides=TINY if resume else settings, resume=resume)

    whole = digests(run("whole"))
    stop_after(k, lambda: run("cut"))
    assert digests(run("cut", resume=True)) == whole


@needs_bfloat16
@needs_compiler
def test_a_resumed_run_keeps_its_compiled_layers(tmp_path: Path) -> None:
    settings = (*QUICK, "model.widths=[32, 32]", "train.precision=bfloat16", "train.execution=compiled")

    def run(name: str, *more: str, resume: bool = False) -> Path:
        overrides = TINY if resume else (*settings, *more)
        return tiny_run(tmp_path, name, "quick", data=shapes(), overrides=overrides, resume=resume)

    whole = run("whole")
    stop_after(5, lambda: run("cut"))
    assert digests(run("cut", resume=True)) == digests(whole)
    assert digests(run("eager", "train.execution=eager"))["model"] != digests(whole)["model"]


@pytest.mark.parametrize("k", [1, 4, 6])
def test_dropout_in_a_users_network_resumes_to_the_same_bits(tmp_path: Path, k: int) -> None:
    settings = tuple(line for line in TINY if not line.startswith("model"))
    whole = digests(tiny_run(tmp_path, "whole", overrides=settings, model=DropoutNet()))
    stop_after(k, lambda: tiny_run(tmp_path, overrides=settings, model=DropoutNet()))
    assert digests(tiny_run(tmp_path, resume=True, model=DropoutNet())) == whole


def test_a_smoothed_run_resumes_from_a_checkpoint_without_plain_losses(tmp_path: Path) -> None:
    settings = (*TINY, "optim.label_smoothing=0.2")
    whole = digests(tiny_run(tmp_path, "whole", overrides=settings))
    stop_after(5, lambda: tiny_run(tmp_path, overrides=settings))
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoints")
    del checkpoint.tensors["pending"]["plain"]
    for row in checkpoint.state["rows"]:
        row["train_loss"] = row.pop("train_objective")
    save_checkpoint(tmp_path / "run" / "checkpoints", checkpoint.step, checkpoint.tensors, checkpoint.state)
    resumed = tiny_run(tmp_path, resume=True)
    found = digests(resumed)
    assert all(found[name] == whole[name] for name in ("model", "optimizer", "random", "predictions.csv"))
    rows, expected = (read_metrics(run / "metrics.csv") for run in (resumed, tmp_path / "whole"))
    assert [row["train_objective"] for row in rows] == [row["train_objective"] for row in expected]
    assert [row["train_loss"] is None for row in rows] == [True, True, False, False]
    assert rows[-1]["train_loss"] == expected[-1]["train_loss"]


def test_dropout_is_not_frozen() -> None:
    torch.manual_seed(0)
    model, images = DropoutNet().train(), torch.rand(4, 3, 8, 8)
    assert not torch.equal(model(images), model(images))


@pytest.mark.parametrize(
    ("duration", "k"), [("1.5 epochs", 3), ("1.5 epochs", 5), ("1.5 epochs", 6), ("5 steps", 4), ("5 steps", 5)]
)
def test_a_run_that_ends_within_an_epoch_is_evaluated_at_its_end(tmp_path: Path, duration: str, k: int) -> None:
    settings = (*TINY, f"train.duration={duration}")
    whole = digests(tiny_run(tmp_path, "whole", overrides=settings))
    stop_after(k, lambda: tiny_run(tmp_path, overrides=settings))
    assert digests(tiny_run(tmp_path, resume=True)) == whole


@pytest.mark.parametrize(("every", "k"), [("1 step", 1), ("1 step", 4), ("1 step", 6), ("3 steps", 3), ("3 steps", 5)])
def test_evaluation_within_an_epoch_resumes_to_the_same_bits(tmp_path: Path, every: str, k: int) -> None:
    settings = (*TINY, f"train.evaluate_every={every}", "optim.ema=0.5")
    whole = digests(tiny_run(tmp_path, "whole", overrides=settings))
    stop_after(k, lambda: tiny_run(tmp_path, overrides=settings))
    assert digests(tiny_run(tmp_path, resume=True)) == whole


def test_more_frequent_evaluation_does_not_change_training(tmp_path: Path) -> None:
    data = replace(shapes(), val=shapes().test)

    def run(name: str, *settings: str) -> dict[str, str]:
        return digests(tiny_run(tmp_path, name, "quick", data=data, overrides=(*QUICK, *settings)))

    often, seldom = run("often", "train.evaluate_every=1 step"), run("seldom")
    assert {name: often[name] for name in ("model", "optimizer", "random")} == {
        name: seldom[name] for name in ("model", "optimizer", "random")
    }
    assert often["metrics"] != seldom["metrics"]


@pytest.mark.parametrize("k", [1, 4, 6])
def test_a_run_with_a_target_resumes_to_the_same_evaluation(tmp_path: Path, k: int) -> None:
    settings = (*TINY, "train.duration=20 epochs", "train.evaluate_every=1 step", "train.target=0.5", "optim.lr=0.01")
    whole = tiny_run(tmp_path, "whole", overrides=settings)
    steps = json.loads((whole / "summary.json").read_text())["steps"]
    assert 1 < steps < 80, "the target is to be reached, and not at once"
    stop_after(min(k, steps), lambda: tiny_run(tmp_path, overrides=settings))
    assert digests(tiny_run(tmp_path, resume=True)) == digests(whole)


def test_a_run_may_be_shortened_to_its_present_step(tmp_path: Path) -> None:
    stop_after(1, lambda: tiny_run(tmp_path))
    run = tiny_run(tmp_path, resume=True, overrides=("train.duration=1 step",))
    assert json.loads((run / "summary.json").read_text())["steps"] == 1
    assert digests(run) == digests(tiny_run(tmp_path, "short", overrides=(*TINY, "train.duration=1 step")))


@pytest.mark.parametrize("val", [0, 6])
def test_an_extended_run_equals_one_planned_that_long(tmp_path: Path, val: int) -> None:
    data = noise_dataset(val=val)
    planned = tiny_run(tmp_path, "planned", data=data, overrides=(*TINY, "train.duration=4 epochs"))
    tiny_run(tmp_path, data=data)
    run = tiny_run(tmp_path, data=data, resume=True, overrides=("train.duration=4 epochs",))
    extended, whole = digests(run), digests(planned)
    for file in ("last.safetensors", "best.safetensors") if val else ("last.safetensors",):
        # The model card holds the recipe, which the two runs complete in different ways.
        assert load_model(run / file)[1] == load_model(planned / file)[1]
    assert extended == whole
    assert (run / "recipe.toml").read_text() == (planned / "recipe.toml").read_text()


def test_an_extended_run_counts_its_evaluations_and_sessions(tmp_path: Path) -> None:
    first = RunFolder(tiny_run(tmp_path)).read_summary()
    second = RunFolder(tiny_run(tmp_path, resume=True, overrides=("train.duration=4 epochs",))).read_summary()
    assert first["evaluations"] == [{"step": 8, "epochs": 2}]
    assert second["evaluations"] == [{"step": 8, "epochs": 2}, {"step": 16, "epochs": 4}]
    assert (first["sessions"], second["sessions"]) == (1, 2)
    assert first["changes"] == []
    assert second["changes"] == [
        {
            "key": "train.duration",
            "asked": "2 epochs",
            "used": "4 epochs",
            "reason": "the run was resumed with it after step 8",
        }
    ]
    assert second["total_seconds"] >= first["total_seconds"] + second["training_seconds"] - first["training_seconds"]


def test_the_total_time_of_a_killed_run_includes_what_only_its_checkpoint_knows(tmp_path: Path) -> None:
    stop_after(5, lambda: tiny_run(tmp_path))
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoints")
    state = {**checkpoint.state, "seconds": 500.0}
    save_checkpoint(tmp_path / "run" / "checkpoints", checkpoint.step, checkpoint.tensors, state)
    summary = RunFolder(tiny_run(tmp_path, resume=True)).read_summary()
    assert 500 <= summary["training_seconds"] <= summary["total_seconds"] < 1000
    assert summary["sessions"] == 2


@pytest.mark.parametrize("k", [5, 6, 7])
def test_early_stopping_resumes_to_the_same_epoch(tmp_path: Path, k: int) -> None:
    settings = (*TINY, "train.duration=20 epochs", "train.early_stop=1", "optim.lr=1e-6")
    whole = tiny_run(tmp_path, "whole", overrides=settings)
    steps = json.loads((whole / "summary.json").read_text())["steps"]
    assert k < steps < 80, "the run is to stop early, and not at once"
    stop_after(k, lambda: tiny_run(tmp_path, overrides=settings))
    assert digests(tiny_run(tmp_path, resume=True)) == digests(whole)


def test_changed_data_is_refused(tmp_path: Path) -> None:
    stop_after(5, lambda: tiny_run(tmp_path))
    with pytest.raises(RunError, match=r"data has changed since the checkpoint at step 5.*restore the previous data"):
        tiny_run(tmp_path, data=noise_dataset(seed=1), resume=True)
    assert digests(tiny_run(tmp_path, resume=True)) == digests(tiny_run(tmp_path, "whole"))


@pytest.mark.parametrize("change", ["optim.lr=0.5", "train.seed=3", "model.hidden=[5]", "train.batch_size=8"])
def test_another_recipe_is_refused(tmp_path: Path, change: str) -> None:
    stop_after(5, lambda: tiny_run(tmp_path))
    before = (tmp_path / "run" / "recipe.toml").read_bytes()
    with pytest.raises(RecipeError, match="a resumed run keeps its recipe"):
        tiny_run(tmp_path, resume=True, overrides=(change,))
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == before


def test_another_network_is_refused(tmp_path: Path) -> None:
    stop_after(5, lambda: tiny_run(tmp_path))
    with pytest.raises(RunError, match="the checkpoint holds another network"):
        tiny_run(tmp_path, resume=True, model=DropoutNet())


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    run, notes = tiny_run(tmp_path), Notes()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert tiny_run(tmp_path, resume=True, progress=notes) == run
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert any("is already finished (2 epochs, 8 steps)" in text and "--epochs" in text for text in notes.messages)


def test_a_run_without_a_checkpoint_starts_again(tmp_path: Path) -> None:
    stop_after(1, lambda: tiny_run(tmp_path))
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    notes = Notes()
    assert digests(tiny_run(tmp_path, resume=True, progress=notes)) == digests(tiny_run(tmp_path, "whole"))
    assert any("there is no checkpoint yet: training restarts from step 0" in text for text in notes.messages)


@pytest.mark.parametrize(
    "file", ["model.safetensors", "optimizer.safetensors", "random.safetensors", "state.json", "manifest.json"]
)
def test_a_damaged_checkpoint_is_skipped_with_a_warning(tmp_path: Path, file: str) -> None:
    stop_after(7, lambda: tiny_run(tmp_path))
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    data = bytearray((newest / file).read_bytes())
    data[len(data) // 2] ^= 0x10
    (newest / file).write_bytes(data)
    notes = Notes()
    assert digests(tiny_run(tmp_path, resume=True, progress=notes)) == digests(tiny_run(tmp_path, "whole"))
    assert len(notes.warnings) == 1
    assert f"checkpoint {newest.name} is skipped" in notes.warnings[0]
    assert "resuming from step 6" in notes.messages


def test_a_kill_between_checkpoint_and_best_model_is_repaired(tmp_path: Path) -> None:
    whole = digests(tiny_run(tmp_path, "whole"))
    stop_after(4, lambda: tiny_run(tmp_path))  # the first epoch's end, and so far the best
    (tmp_path / "run" / "best.safetensors").unlink()
    assert digests(tiny_run(tmp_path, resume=True)) == whole


def test_the_best_model_is_never_newer_than_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("the disk is full")

    settings = (*TINY, "train.checkpoint_every=60 s")
    monkeypatch.setattr("tenfold.engine.state.save_checkpoint", refuse)
    with pytest.raises(StorageError):
        tiny_run(tmp_path, overrides=settings)
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_the_error_of_a_stop_matches_its_signal(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)  # a background job starts with the signal ignored
    with StopAfter(3).installed(signal.SIGTERM), pytest.raises(Terminated):
        tiny_run(tmp_path)
    with StopAfter(1).installed(signal.SIGINT), pytest.raises(Interrupted, match=r"--resume .*run"):
        tiny_run(tmp_path, resume=True)
    assert signal.getsignal(signal.SIGINT) == before


def test_a_users_network_is_loaded_through_its_class(tmp_path: Path) -> None:
    import tenfold

    settings = tuple(line for line in TINY if not line.startswith("model"))
    run = tiny_run(tmp_path, overrides=settings, model=DropoutNet())
    model: nn.Module = DropoutNet()
    assert tenfold.load(run, device="cpu", model=model) is not None
    with pytest.raises(UsageError, match="for plain"):
        tenfold.load(run, device="cpu", model="mlp")
