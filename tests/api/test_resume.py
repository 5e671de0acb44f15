"""Resuming as a user does: a longer or shorter run, moved data, and the way out of a loss that is not finite."""

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import tenfold
from harness.runs import TINY, Notes, StopAfter, noise_dataset, tiny_run, without_plots
from harness.tiny import photo_folder
from tenfold.api.resume import _for_device
from tenfold.core import durable
from tenfold.core.errors import Interrupted, RecipeError, RunError, TenfoldError, TrainingError
from tenfold.engine.precision import choose_hardware
from tenfold.recipes.load import load_recipe, resolve
from tenfold.runs.checkpoint import load_checkpoint
from tenfold.runs.run_folder import RunFolder

EAGER = ("train.execution=eager", "train.device=cpu", "train.threads=1")


def photo_run(root: Path) -> Path:
    """A short run on a folder of photos that is named relative to the current folder."""
    photo_folder(root / "photos", each=10)
    overrides = [*TINY, *EAGER, "data.image_size=8", "train.duration=1 epoch"]
    with without_plots():
        return tenfold.train("mlp", data="photos", overrides=overrides, runs=root / "runs", name="run").path


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return photo_run(tmp_path)


def stop_after(k: int, run: Callable[[], Path]) -> None:
    with StopAfter(k).installed(signal.SIGINT), pytest.raises(Interrupted):
        run()


def resume(run: Path, **arguments: object) -> Path:
    with without_plots():
        return tenfold.train(resume=run, **arguments).path  # type: ignore[arg-type]


def test_a_run_resumes_from_another_folder_and_with_moved_images(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_recipe(photos).data.source == str(Path("photos").absolute())
    assert json.loads((photos / "env.json").read_text())["folder"] == str(Path.cwd())
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    resume(photos, overrides=["train.duration=2 epochs"])
    shutil.move("../photos", "moved")
    with pytest.raises(TenfoldError, match=r"photos, the data of .* is not there; name its new place with --data"):
        resume(photos, overrides=["train.duration=3 epochs"])
    resume(photos, data="moved", overrides=["train.duration=3 epochs"])
    assert load_recipe(photos).data.source == str(Path("moved").absolute())
    assert RunFolder(photos).read_summary()["steps"] == 12


def test_a_resume_names_the_new_place_of_the_images(photos: Path) -> None:
    shutil.copytree("photos", "copy")
    for data, count in (("photos", 0), ("copy", 1)):
        notes = Notes()
        resume(photos, data=data, progress=notes)
        line = f"the run's recipe names the new place of its images: {Path(data).absolute()}"
        assert notes.messages.count(line) == count


def test_other_images_do_not_continue_a_run(photos: Path) -> None:
    recipe = (photos / "recipe.toml").read_text()
    shutil.copytree("photos", "other")
    Path("other/blue/1.png").unlink()
    with pytest.raises(RunError, match="the data has changed since the checkpoint"):
        resume(photos, data="other", overrides=["train.duration=3 epochs"])
    assert (photos / "recipe.toml").read_text() == recipe
    assert RunFolder(photos).is_finished


def test_a_shorter_length_leaves_an_unfinished_run_as_it_is(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    (run / "summary.json").unlink()
    recipe = (run / "recipe.toml").read_text()
    with pytest.raises(RunError, match=r"trained for 2 epochs, 8 steps already, more than 1 epoch; give a greater"):
        tiny_run(tmp_path, resume=True, overrides=("train.duration=1 epoch",))
    assert (run / "recipe.toml").read_text() == recipe


def test_a_shorter_length_leaves_a_finished_run_as_it_is(tmp_path: Path) -> None:
    run, notes = tiny_run(tmp_path), Notes()
    recipe = (run / "recipe.toml").read_text()
    tiny_run(tmp_path, resume=True, overrides=("train.duration=1 epoch",), progress=notes)
    assert (
        "is already finished (2 epochs, 8 steps); to extend it, give its new total length, such as --epochs 4"
        in (notes.messages[-1])
    )
    assert (run / "recipe.toml").read_text() == recipe


def test_a_run_that_min_steps_lengthened_is_extended_by_epochs(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, overrides=(*TINY, "train.duration=1 epoch", "train.min_steps=9"))
    assert RunFolder(run).read_summary()["steps"] == 9
    tiny_run(tmp_path, resume=True, overrides=("train.duration=4 epochs",))
    assert RunFolder(run).read_summary()["steps"] == 16
    assert load_recipe(run).train.min_steps == 0


def diverged(tmp_path: Path, *overrides: str) -> Path:
    with pytest.raises(TrainingError, match=r"loss is not finite .*: tenfold train --resume .*run --lr 0\.01"):
        tiny_run(tmp_path, overrides=(*TINY, *EAGER, "optim.lr=1e30", *overrides))
    return tmp_path / "run"


def test_a_diverged_run_starts_again_with_a_lower_rate(tmp_path: Path) -> None:
    run, notes = diverged(tmp_path), Notes()
    assert RunFolder(run).read_metrics() == []
    for use in (tenfold.load, lambda run: RunFolder(run).read_summary()):
        with pytest.raises(RunError, match=r"loss was not finite at step 2; .* --resume .*run --lr 0\.01"):
            use(run)
    tiny_run(tmp_path, resume=True, overrides=("optim.lr=0.01",), progress=notes)
    line = "lr: 0.01 instead of 1e+30, because the loss was not finite at step 2"
    assert line in notes.messages
    assert load_recipe(run).optim.lr == 0.01
    assert RunFolder(run).read_summary()["changes"] == [
        {"key": "optim.lr", "asked": 1e30, "used": 0.01, "reason": "the loss was not finite at step 2"}
    ]
    planned = tiny_run(tmp_path, "planned", overrides=(*TINY, *EAGER, "optim.lr=0.01"))
    assert (run / "predictions.csv").read_text() == (planned / "predictions.csv").read_text()


def test_a_diverged_run_goes_on_from_a_good_checkpoint(tmp_path: Path) -> None:
    stop_after(5, lambda: tiny_run(tmp_path, overrides=(*TINY, *EAGER)))
    run = tmp_path / "run"
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe.replace("\nlr = 0.001\n", "\nlr = 1e30\n"))
    with pytest.raises(TrainingError, match="at step 7"):
        tiny_run(tmp_path, resume=True)
    notes = Notes()
    tiny_run(tmp_path, resume=True, overrides=("optim.lr=0.01", "optim.warmup=0.1"), progress=notes)
    assert "resuming from step 5" in notes.messages
    assert [change["key"] for change in RunFolder(run).read_summary()["changes"]] == ["optim.lr", "optim.warmup"]


def test_checkpoints_that_have_diverged_are_removed(tmp_path: Path) -> None:
    run, notes = diverged(tmp_path, "train.checkpoint_every=2 steps", "optim.warmup=0.5"), Notes()
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000002"]
    tiny_run(tmp_path, resume=True, overrides=("optim.lr=0.01",), progress=notes)
    assert "the checkpoint at step 2 is removed: its weights have diverged already" in notes.messages
    assert any("training restarts from step 0" in line for line in notes.messages)
    assert RunFolder(run).is_finished


@pytest.mark.parametrize("change", ["optim.momentum=0.5", "train.seed=3", "optim.lr=0"])
def test_a_diverged_run_keeps_everything_but_its_rates(tmp_path: Path, change: str) -> None:
    run = diverged(tmp_path)
    recipe = (run / "recipe.toml").read_text()
    with pytest.raises(RecipeError):
        tiny_run(tmp_path, resume=True, overrides=(change,))
    assert (run / "recipe.toml").read_text() == recipe


def test_a_run_that_did_not_diverge_keeps_its_rate(tmp_path: Path) -> None:
    tiny_run(tmp_path, data=noise_dataset())
    with pytest.raises(RecipeError, match=r"after a loss that was not finite optim\.lr"):
        tiny_run(tmp_path, resume=True, overrides=("optim.lr=0.01",))


def test_a_run_that_cannot_resume_keeps_its_checkpoints(photos: Path) -> None:
    durable.write_text(photos / "log.jsonl", '{"event": "loss not finite", "step": 2}\n')
    (photos / "summary.json").unlink()
    kept = sorted((photos / "checkpoints").iterdir())
    shutil.move("photos", "moved")
    with pytest.raises(TenfoldError, match="name its new place with --data"):
        resume(photos, overrides=["optim.lr=1e-4"])
    with pytest.raises(RecipeError, match="early_stop needs a validation split"):
        resume(photos, data="moved", overrides=["optim.lr=1e-4", "train.early_stop=1"])
    Path("moved/blue/1.png").unlink()
    with pytest.raises(RunError, match="the data has changed"):
        resume(photos, data="moved", overrides=["optim.lr=1e-4"])
    assert sorted((photos / "checkpoints").iterdir()) == kept


def test_a_run_of_another_kind_of_device_takes_this_ones_precision(tmp_path: Path) -> None:
    stop_after(5, lambda: tiny_run(tmp_path, overrides=(*TINY, *EAGER)))
    run = tmp_path / "run"
    recipe = (run / "recipe.toml").read_text().replace('precision = "float32"', 'precision = "bfloat16"', 1)  # [train]
    (run / "recipe.toml").write_text(recipe.replace('execution = "eager"', 'execution = "compiled"'))
    on_gpu = replace(load_checkpoint(run / "checkpoints"), state={"device": "cuda"})
    used = choose_hardware(resolve(load_recipe(run), {"train.precision": "auto"}).train).autocast
    after = _for_device(load_recipe(run), on_gpu, [])
    assert after.train.precision == ("float32" if used is None else "bfloat16")
    assert after.train.execution == "eager"
    kept = _for_device(load_recipe(run), on_gpu, ["train.precision=bfloat16", "train.execution=compiled"])
    assert kept == load_recipe(run)
    tiny_run(tmp_path, resume=True, overrides=("train.precision=float32", "train.execution=eager"))
    assert RunFolder(run).read_summary()["changes"][0]["key"] == "train.precision"


def test_min_steps_cannot_shorten_an_unfinished_run(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, overrides=(*TINY, *EAGER, "train.duration=1 epoch", "train.min_steps=9"))
    (run / "summary.json").unlink()
    with pytest.raises(RunError, match=r"more than 1 epoch; .* to train it to 2.25 epochs \(9 steps\)"):
        tiny_run(tmp_path, resume=True, overrides=("train.min_steps=0",))


def test_a_message_with_the_command_to_resume_quotes_its_path(tmp_path: Path) -> None:
    (tmp_path / "my runs").mkdir()
    with pytest.raises(TrainingError) as caught:
        tiny_run(tmp_path / "my runs", overrides=(*TINY, *EAGER, "optim.lr=1e30", "train.checkpoint_every=1 steps"))
    assert f"tenfold train --resume '{tmp_path / 'my runs/run'}' --lr" in str(caught.value)
    assert "intact" not in str(caught.value)
    assert f"--resume '{tmp_path / 'my runs/run'}' --lr" in RunFolder(tmp_path / "my runs/run").way_on()
