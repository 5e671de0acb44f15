"""Batch norm whose statistics stay as they are while the rest of the network is trained."""

import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from harness import tiny
from harness.curves import shapes
from harness.runs import CLASSES, TINY, Notes, StopAfter, digests, noise_dataset, tiny_run
from tenfold.core.errors import Stopped
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_preprocessing
from tenfold.engine.setup import in_training_mode, training_loader
from tenfold.engine.step_timing import timed_step
from tenfold.evaluate.logits import evaluation_mode
from tenfold.recipes.load import load_recipe
from tenfold.runs.model_file import load_model

FROZEN = ("train.frozen_batch_norm=true", "train.batch_size=4", "train.duration=2 epochs", "train.execution=eager")
CPU = torch.device("cpu")


class NormNet(nn.Sequential):
    """A network whose batch norm has statistics, as a pretrained one, and gets one value per channel of an image."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            norm = nn.BatchNorm2d(4)
            norm.running_mean = torch.tensor([0.1, -0.1, 0.2, 0.0])
            super().__init__(nn.Conv2d(3, 4, 8), norm, nn.Dropout(0.1), nn.Flatten(), nn.Linear(4, len(CLASSES)))


def test_statistics_stay_and_scale_and_offset_are_trained(tmp_path: Path) -> None:
    before = NormNet().state_dict()
    run = tiny_run(tmp_path, overrides=FROZEN, model=NormNet())  # evaluated after the first epoch, too
    after, _ = load_model(run / "last.safetensors")
    kept = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert kept == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_batches_of_one_image_work(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, data=noise_dataset(5), overrides=(*FROZEN, "train.batch_size=1"), model=NormNet())
    assert (run / "summary.json").is_file()


def test_only_batch_norms_are_in_evaluation_mode_also_after_an_evaluation() -> None:
    model = in_training_mode(NormNet(), tiny.recipe("mlp", *FROZEN), CPU)
    with evaluation_mode(model):
        assert not any(layer.training for layer in model.modules())
    assert [layer.training for layer in model.modules()] == [True, True, False, True, True, True]
    assert all(layer.training for layer in in_training_mode(model, tiny.recipe("mlp"), CPU).modules())


def test_steps_that_are_timed_are_those_that_train() -> None:
    recipe, data = tiny.recipe("mlp", *FROZEN), tiny.dataset()
    hardware = choose_hardware(recipe.train)
    batch = next(training_loader(recipe, data, hardware).epoch(0))
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(768, 3))
    timed_step(recipe, model, make_preprocessing(recipe, data), hardware, batch).step(batch)
    assert torch.equal(model[1].running_mean, torch.zeros(3))


@pytest.mark.parametrize("k", [1, 4, 5])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path: Path, k: int) -> None:
    def run(name: str, *, resume: bool = False) -> Path:
        return tiny_run(tmp_path, name, overrides=TINY if resume else FROZEN, model=NormNet(), resume=resume)

    whole = digests(run("whole"))
    with StopAfter(k).installed(signal.SIGINT), pytest.raises(Stopped):
        run("run")
    assert digests(run("run", resume=True)) == whole


def messages(runs: Path, **arguments: object) -> list[str]:
    notes = Notes()
    tiny_run(runs, overrides=(*FROZEN, "train.duration=1 step"), progress=notes, **arguments)  # type: ignore[arg-type]
    return [line for line in notes.messages if "frozen_batch_norm" in line]


def test_networks_without_batch_norm_and_without_training_are_mentioned(tmp_path: Path) -> None:
    assert messages(tmp_path / "a") == ["train.frozen_batch_norm has no effect: TutorialNet has no batch norm"]
    (line,) = messages(tmp_path / "b", recipe="quick", data=shapes())
    assert line.startswith("train.frozen_batch_norm keeps the statistics that SpeedNet has before any training")
    assert messages(tmp_path / "c", model=NormNet()) == []
    assert not load_recipe("quick").train.frozen_batch_norm
