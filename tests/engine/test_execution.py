import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.needs import needs_bfloat16, needs_compiler, needs_gpu
from harness.runs import CLASSES, noise_dataset
from tenfold.core.errors import RecipeError
from tenfold.core.progress import SilentProgress
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch
from tenfold.engine import graphs
from tenfold.engine.eager import EagerStep
from tenfold.engine.execution import choose_execution, prepare_step
from tenfold.engine.kernels import tutorial_step
from tenfold.engine.kernels.programs import compiler
from tenfold.engine.precision import Hardware
from tenfold.engine.step_context import StepContext
from tenfold.models.build import build_model
from tenfold.optim.build import OptimizerSettings, build_optimizer

CPU = Hardware(torch.device("cpu"), None, threads=1)
SGD = OptimizerSettings("sgd", 0.001, 0.9, False, 0.0)


class RecordedMessages(SilentProgress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def step_context(model: str = "tutorial", hardware: Hardware = CPU) -> StepContext:
    torch.manual_seed(0)
    network = build_model(model, {}, num_classes=len(CLASSES), image_size=(32, 32))
    half = Preprocessing((32, 32), "crop", (0.5,) * 3, (0.5,) * 3)
    return StepContext(network, build_optimizer(network, SGD), half, hardware)


def batch(count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Batch(images, torch.arange(count) % len(CLASSES), torch.arange(count))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the program of `step_context()` for batches of four images: compiling takes seconds."""
    folder = tmp_path_factory.mktemp("compiled")
    if compiler() is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TENFOLD_CACHE", str(folder))
            tutorial_step.compiled_program(step_context().model, (32, 32), 4)
    return folder


@pytest.fixture
def cache(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder without measurements, and short measurements."""
    shutil.copytree(compiled, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    monkeypatch.setattr("tenfold.engine.execution._ROUNDS", 1)
    monkeypatch.setattr("tenfold.engine.execution._STEPS", 1)
    return tmp_path


def test_eager_execution_is_eager() -> None:
    prepared = prepare_step("eager", step_context(), batch())
    assert isinstance(prepared.step, EagerStep)
    assert not prepared.hardware.compiled
    assert prepared.compile_seconds == 0.0


@needs_compiler
def test_compiled_execution_is_compiled_and_timed(cache: Path) -> None:
    prepared = prepare_step("compiled", step_context(), batch())
    assert isinstance(prepared.step, tutorial_step.CompiledTutorialStep)
    assert str(prepared.hardware) == "cpu, 1 thread, float32, compiled steps"
    assert prepared.compile_seconds > 0


def test_an_uncompilable_step_is_refused_or_stays_eager() -> None:
    quick = step_context("quick")
    with pytest.raises(
        RecipeError,
        match=r"is 'compiled', but this training .*more than conv.*train\.execution=eager, or auto",
    ):
        choose_execution("compiled", quick, batch())
    assert not choose_execution("auto", quick, batch()).compiled


@needs_bfloat16
@needs_compiler
def test_in_bfloat16_layers_are_compiled_where_that_is_faster(cache: Path) -> None:
    quick = step_context("quick", replace(CPU, autocast=torch.bfloat16))
    prepared = prepare_step("compiled", quick, batch())
    assert isinstance(prepared.step, EagerStep)
    assert str(prepared.hardware) == "cpu, 1 thread, bfloat16, compiled steps"
    choose_execution("auto", quick, batch())
    (kept,) = (cache / "programs").glob("*.json")
    eager, compiled = "cpu, 1 thread, bfloat16", "cpu, 1 thread, bfloat16, compiled steps"
    assert sorted(json.loads(kept.read_text())) == [eager, compiled]
    for seconds, expected in ((0.1, True), (0.3, False)):
        kept.write_text(json.dumps({compiled: seconds, eager: 0.2}))
        assert choose_execution("auto", quick, batch()).compiled == expected


@needs_bfloat16
@needs_compiler
def test_layers_are_compiled_for_mixed_images_too() -> None:
    assert step_context("quick", replace(CPU, autocast=torch.bfloat16)).uncompiled_reason(4, mixed=True) is None
    assert "no 3×3 convolution" in (
        step_context(hardware=replace(CPU, autocast=torch.bfloat16)).uncompiled_reason(4, mixed=True) or ""
    )


def test_a_step_on_mixed_images_is_not_compiled() -> None:
    assert step_context().uncompiled_reason(4, mixed=True) == "its images are mixed (mixup, cutmix)"


@needs_compiler
@pytest.mark.parametrize("compiled_is_faster", [True, False])
def test_auto_measures_once_and_keeps_the_result(cache: Path, compiled_is_faster: bool) -> None:
    first = choose_execution("auto", step_context(), batch())
    (kept,) = (cache / "programs").glob("*.json")
    found = json.loads(kept.read_text())
    assert found[str(first)] == min(found.values())
    eager, compiled = "cpu, 1 thread, float32", "cpu, 1 thread, float32, compiled steps"
    kept.write_text(json.dumps({compiled: 1.0, eager: 2.0 if compiled_is_faster else 0.5}))
    assert choose_execution("auto", step_context(), batch()).compiled == compiled_is_faster


def test_fewer_threads_are_used_where_that_is_faster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.engine.execution._LONG_STEP", 60.0)
    many = step_context(hardware=replace(CPU, threads=4))
    choose_execution("eager", many, batch(), choose_threads=True)
    (kept,) = (cache / "programs").glob("*.json")
    found = json.loads(kept.read_text())
    names = ["cpu, 4 threads, float32", "cpu, 2 threads, float32", "cpu, 1 thread, float32"]
    assert sorted(found) == sorted(names)
    kept.write_text(json.dumps(dict(zip(names, (0.3, 0.1, 0.2), strict=True))))
    assert choose_execution("eager", many, batch(), choose_threads=True).threads == 2
    assert choose_execution("eager", many, batch()).threads == 4
    assert torch.get_num_threads() == 1


def test_a_long_step_is_not_measured_with_fewer_threads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.engine.execution._LONG_STEP", 0.0)
    many = step_context(hardware=replace(CPU, threads=4))
    assert choose_execution("eager", many, batch(), choose_threads=True).threads == 4
    (kept,) = (cache / "programs").glob("*.json")
    assert list(json.loads(kept.read_text())) == ["cpu, 4 threads, float32"]


def test_a_damaged_measurement_does_not_stop_the_run(cache: Path) -> None:
    many = step_context(hardware=replace(CPU, threads=4))
    choose_execution("eager", many, batch(), choose_threads=True)
    (kept,) = (cache / "programs").glob("*.json")
    kept.write_text("[")
    assert choose_execution("eager", many, batch(), choose_threads=True).threads == 4


@needs_compiler
def test_measuring_leaves_weights_and_random_state_unchanged(cache: Path) -> None:
    measured = step_context()
    tensors = [*measured.model.parameters(), *measured.optimizer.state_tensors().values()]
    before, state = [tensor.detach().clone() for tensor in tensors], torch.get_rng_state()
    choose_execution("auto", measured, batch())
    assert all(map(torch.equal, tensors, before))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(rule.lr == 0.001 for rule in measured.optimizer.rules)


def test_measuring_on_the_cpu_leaves_gpus_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    many = step_context(hardware=replace(CPU, threads=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of CUDA devices whose generators are kept without need
        choose_execution("eager", many, batch(), choose_threads=True)


def test_auto_works_with_a_broken_compiler(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken++"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    assert not choose_execution("auto", step_context(), batch()).compiled


def test_cuda_graphs_need_cuda_and_a_capturable_optimizer() -> None:
    gpu = Hardware(torch.device("cuda"), None, threads=1)
    model = step_context().model
    assert graphs.unsupported_reason(build_optimizer(model, SGD), gpu) is None
    assert (
        graphs.unsupported_reason(build_optimizer(model, SGD), CPU) == "it runs on cpu, and CUDA graphs need a CUDA GPU"
    )
    adam = build_optimizer(model, OptimizerSettings("adam", 0.001, 0.9, False, 0.0))
    assert graphs.unsupported_reason(adam, gpu) == "its optimizer is neither SGD nor Muon"


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_a_learning_rate_on_the_device_gives_the_same_steps(name: str) -> None:
    ends = []
    for on_device in (False, True):
        torch.manual_seed(0)
        model = build_model("tutorial", {}, num_classes=10, image_size=(32, 32))
        optimizer = build_optimizer(model, OptimizerSettings(name, 0.01, 0.9, True, 0.01))
        if on_device:
            for rule in optimizer.rules:
                rule.move_lr_to_device()
        eager = EagerStep(model, optimizer, Preprocessing((32, 32), "crop", (0.5,) * 3, (0.5,) * 3), CPU)
        for factor in (1.0, 0.3):
            optimizer.scale_lr(factor)
            eager(batch())
        ends.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    assert torch.allclose(*ends, atol=1e-7)


@needs_gpu
@pytest.mark.parametrize("count", [4, 3])
def test_a_captured_step_trains_like_an_eager_one(count: int) -> None:
    gpu = Hardware(torch.device("cuda"), None, threads=1)
    ends = []
    for execution in ("eager", "compiled"):
        parts = step_context(hardware=gpu)
        parts.model.cuda()
        parts = StepContext(parts.model, build_optimizer(parts.model, SGD), parts.preprocessing, gpu)
        first = Batch(*(tensor.cuda() for tensor in batch()[:3]))
        step = prepare_step(execution, parts, first).step
        for _ in range(20):
            step(Batch(*(tensor.cuda() for tensor in batch(count)[:3])))
        ends.append(torch.cat([weight.detach().flatten() for weight in parts.model.parameters()]))
    assert torch.allclose(*ends, atol=1e-5)


@needs_compiler
def test_a_whole_run_reports_compiled_steps(tmp_path: Path, cache: Path) -> None:
    import tenfold

    progress = RecordedMessages()
    run = tenfold.train(
        "tutorial",
        data=noise_dataset(side=32, val=0),
        runs=tmp_path / "runs",
        overrides=["train.execution=compiled", "train.duration=8 steps", "train.threads=1", "train.device=cpu"],
        report=False,
        progress=progress,
    )
    assert any(message.startswith("step: compiled, ready after ") for message in progress.messages)
    assert run.summary["hardware"] == "cpu, 1 thread, float32, compiled steps"
    assert run.summary["compile_seconds"] > 0
