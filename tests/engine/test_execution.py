import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness import tiny
from tenfold.core.devices import computes_bfloat16
from tenfold.core.errors import RecipeError
from tenfold.core.progress import Silent
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.types import Batch, Mixture
from tenfold.engine import graphs
from tenfold.engine.eager import Eager
from tenfold.engine.execution import Training, choose_execution, prepare
from tenfold.engine.kernels import programs
from tenfold.engine.kernels import tutorial_step as native
from tenfold.engine.precision import Hardware
from tenfold.models.build import build_model
from tenfold.optim.build import OptimizerSettings, build_optimizer

CPU = Hardware(torch.device("cpu"), None, threads=1)
SGD = OptimizerSettings("sgd", 0.001, 0.9, False, 0.0)
needs_compiler = pytest.mark.skipif(programs.compiler() is None, reason="needs a C++ compiler")

needs_bfloat16 = pytest.mark.skipif(
    programs.compiler() is None or not computes_bfloat16(torch.device("cpu")),
    reason="needs a C++ compiler and AVX-512 BF16",
)


class Notes(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def training(model: str = "tutorial", hardware: Hardware = CPU) -> Training:
    torch.manual_seed(0)
    network = build_model(model, {}, classes=10, image_size=(32, 32))
    half = Preprocessing((32, 32), "crop", (0.5,) * 3, (0.5,) * 3)
    return Training(network, build_optimizer(network, SGD), half, hardware)


def batch(count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Batch(images, torch.arange(count), torch.arange(count))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    return tmp_path


def test_eager_is_eager() -> None:
    prepared = prepare("eager", training(), batch())
    assert isinstance(prepared.learn, Eager)
    assert not prepared.hardware.compiled
    assert prepared.seconds == 0.0


@needs_compiler
def test_compiled_is_compiled_and_tells_how_long_that_took(cache: Path) -> None:
    prepared = prepare("compiled", training(), batch())
    assert isinstance(prepared.learn, native.NativeStep)
    assert str(prepared.hardware) == "cpu, 1 thread, float32, compiled steps"
    assert prepared.seconds > 0


def test_what_cannot_be_compiled_is_refused_in_one_line_or_left_as_it_is() -> None:
    quick = training("quick")
    with pytest.raises(
        RecipeError, match=r"is 'compiled', but this training cannot be: .*more than conv.*use 'auto' or"
    ):
        choose_execution("compiled", quick, batch())
    assert not choose_execution("auto", quick, batch()).compiled


@needs_bfloat16
def test_in_bfloat16_layers_are_compiled_where_that_was_found_faster(cache: Path) -> None:
    quick = training("quick", replace(CPU, autocast=torch.bfloat16))
    prepared = prepare("compiled", quick, batch())
    assert isinstance(prepared.learn, Eager)
    assert str(prepared.hardware) == "cpu, 1 thread, bfloat16, compiled steps"
    choose_execution("auto", quick, batch())
    (kept,) = (cache / "programs").glob("*.json")
    eager, compiled = "cpu, 1 thread, bfloat16", "cpu, 1 thread, bfloat16, compiled steps"
    assert sorted(json.loads(kept.read_text())) == [eager, compiled]
    for seconds, expected in ((0.1, True), (0.3, False)):
        kept.write_text(json.dumps({compiled: seconds, eager: 0.2}))
        assert choose_execution("auto", quick, batch()).compiled == expected


@needs_bfloat16
def test_layers_of_mixed_pictures_are_compiled_too() -> None:
    mixed = batch()._replace(mixture=Mixture(torch.arange(4), torch.ones(4)))
    assert training("quick", replace(CPU, autocast=torch.bfloat16)).why_not_compiled(mixed) is None
    assert "no 3×3 convolution" in (
        training(hardware=replace(CPU, autocast=torch.bfloat16)).why_not_compiled(mixed) or ""
    )


def test_mixed_pictures_are_not_compiled() -> None:
    mixed = batch()._replace(mixture=Mixture(torch.arange(4), torch.ones(4)))
    assert training().why_not_compiled(mixed) == "its pictures are mixed (mixup, cutmix)"


@needs_compiler
@pytest.mark.parametrize("compiled_is_faster", [True, False])
def test_auto_measures_once_and_keeps_to_what_it_found(cache: Path, compiled_is_faster: bool) -> None:
    first = choose_execution("auto", training(), batch())
    (kept,) = (cache / "programs").glob("*.json")
    found = json.loads(kept.read_text())
    assert found[str(first)] == min(found.values())
    eager, compiled = "cpu, 1 thread, float32", "cpu, 1 thread, float32, compiled steps"
    kept.write_text(json.dumps({compiled: 1.0, eager: 2.0 if compiled_is_faster else 0.5}))
    assert choose_execution("auto", training(), batch()).compiled == compiled_is_faster


def test_fewer_threads_are_used_where_they_were_found_faster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.engine.execution._LONG", 60.0)
    many = training(hardware=replace(CPU, threads=4))
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
    monkeypatch.setattr("tenfold.engine.execution._LONG", 0.0)
    many = training(hardware=replace(CPU, threads=4))
    assert choose_execution("eager", many, batch(), choose_threads=True).threads == 4
    (kept,) = (cache / "programs").glob("*.json")
    assert list(json.loads(kept.read_text())) == ["cpu, 4 threads, float32"]


def test_a_cache_that_is_damaged_is_no_reason_to_stop(cache: Path) -> None:
    many = training(hardware=replace(CPU, threads=4))
    choose_execution("eager", many, batch(), choose_threads=True)
    (kept,) = (cache / "programs").glob("*.json")
    kept.write_text("[")
    assert choose_execution("eager", many, batch(), choose_threads=True).threads == 4


@needs_compiler
def test_measuring_leaves_weights_memory_and_randomness_alone(cache: Path) -> None:
    measured = training()
    tensors = [*measured.model.parameters(), *measured.optimizer.state_tensors().values()]
    before, state = [tensor.detach().clone() for tensor in tensors], torch.get_rng_state()
    choose_execution("auto", measured, batch())
    assert all(map(torch.equal, tensors, before))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(rule.lr == 0.001 for rule in measured.optimizer.rules)


def test_auto_goes_on_without_a_compiler_that_works(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken++"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    assert not choose_execution("auto", training(), batch()).compiled


def test_graphs_are_for_cuda_and_for_rules_that_read_their_rate_there() -> None:
    gpu = Hardware(torch.device("cuda"), None, threads=1)
    model = training().model
    assert graphs.why_not(build_optimizer(model, SGD), gpu) is None
    assert graphs.why_not(build_optimizer(model, SGD), CPU) == "it computes on cpu, and CUDA graphs need a CUDA GPU"
    adam = build_optimizer(model, OptimizerSettings("adam", 0.001, 0.9, False, 0.0))
    assert graphs.why_not(adam, gpu) == "its optimiser is none of SGD and Muon"


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_a_learning_rate_on_the_device_gives_the_same_steps(name: str) -> None:
    ends = []
    for on_device in (False, True):
        torch.manual_seed(0)
        model = build_model("tutorial", {}, classes=10, image_size=(32, 32))
        optimizer = build_optimizer(model, OptimizerSettings(name, 0.01, 0.9, True, 0.01))
        if on_device:
            for rule in optimizer.rules:
                rule.keep_lr_on_device()
        eager = Eager(model, optimizer, Preprocessing((32, 32), "crop", (0.5,) * 3, (0.5,) * 3), CPU)
        for factor in (1.0, 0.3):
            optimizer.scale_lr(factor)
            eager(batch())
        ends.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    assert torch.allclose(*ends, atol=1e-7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("count", [4, 3])
def test_a_recorded_step_learns_as_operation_by_operation(count: int) -> None:
    gpu = Hardware(torch.device("cuda"), None, threads=1)
    ends = []
    for wanted in ("eager", "compiled"):
        parts = training(hardware=gpu)
        parts.model.cuda()
        parts = Training(parts.model, build_optimizer(parts.model, SGD), parts.preprocessing, gpu)
        first = Batch(*(tensor.cuda() for tensor in batch()[:3]))
        learn = prepare(wanted, parts, first).learn
        for _ in range(20):
            learn(Batch(*(tensor.cuda() for tensor in batch(count)[:3])))
        ends.append(torch.cat([weight.detach().flatten() for weight in parts.model.parameters()]))
    assert torch.allclose(*ends, atol=1e-5)


@needs_compiler
def test_a_whole_run_says_that_its_steps_are_compiled(tmp_path: Path, cache: Path) -> None:
    import tenfold

    notes = Notes()
    recipe = tiny.recipe("tutorial", "train.execution=compiled", "train.duration=8 steps")
    run = tenfold.train(recipe, data=tiny.dataset(), runs=tmp_path / "runs", progress=notes)
    assert any(message.startswith("step: compiled, ready after ") for message in notes.messages)
    assert run.summary["hardware"] == "cpu, 1 thread, float32, compiled steps"
    assert run.summary["compile_seconds"] > 0
