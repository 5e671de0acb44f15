"""One training by two processes on gloo, against the same training by one. Both processes are started once."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.runs import digests
from harness.two_processes import start_two, train
from tenfold.runs.checkpoint import load_checkpoint
from tenfold.runs.model_file import load_model
from tenfold.runs.tables import read_metrics

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Returns the folder of the runs of two processes, and what each of them found."""
    folder = tmp_path_factory.mktemp("two")
    return folder, start_two(folder)


@pytest.fixture(scope="module")
def folder(shared: tuple[Path, list[dict[str, Any]]]) -> Path:
    return shared[0]


@pytest.fixture(scope="module")
def found(shared: tuple[Path, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return shared[1]


def rows(run: Path) -> Rows:
    return read_metrics(run / "metrics.csv")


def differences(name: str, folder: Path, alone: Path, column: str = "train_loss") -> list[float]:
    """Trains a scenario with one process too, and returns the differences of a column of `metrics.csv`."""
    if not (alone / name).exists():
        train(name, alone)
    both = [[row[column] for row in rows(run / name)] for run in (folder, alone)]
    assert [value is None for value in both[0]] == [value is None for value in both[1]]
    return [abs(two - one) for two, one in zip(*both, strict=True) if two is not None]


def weights(run: Path) -> dict[str, Tensor]:
    return load_model(run / "last.safetensors")[0]


def test_losses_are_those_of_one_process_for_a_network_with_batch_norm(folder: Path, tmp_path: Path) -> None:
    trained = differences("plain", folder, tmp_path)
    assert len(trained) == 30
    assert max(trained) < 1e-5
    assert max(differences("plain", folder, tmp_path, "val_loss")) < 1e-5
    assert max(differences("plain", folder, tmp_path, "train_accuracy")) == 0


@pytest.mark.parametrize("name", ["mixed", "pruned", "one by one", "head"])
def test_so_are_those_of_other_settings(folder: Path, tmp_path: Path, name: str) -> None:
    """Micro-batches, clipped gradients, mixup, EMA, class weights; pruning; a process without a row; a fitted head."""
    assert max(differences(name, folder, tmp_path)) < 1e-4
    assert max(differences(name, folder, tmp_path, "val_loss")) < 1e-4


def test_float64_weights_are_the_same_after_100_steps(folder: Path, tmp_path: Path) -> None:
    train("float64", tmp_path)
    two, one = weights(folder / "float64"), weights(tmp_path / "float64")
    assert two["layers.0.weight"].dtype == torch.float64
    assert {name: float((two[name] - one[name]).abs().max()) for name in one} == {
        name: pytest.approx(0.0, abs=1e-10) for name in one
    }


def test_local_batch_norm_gives_one_model_all_the_same(folder: Path, found: list[dict[str, Any]]) -> None:
    assert all(each["errors"]["local"] == "none" for each in found)
    found_weights = weights(folder / "local")
    assert all(tensor.isfinite().all() for tensor in found_weights.values())
    counts = {int(tensor) for name, tensor in found_weights.items() if name.endswith("num_batches_tracked")}
    assert counts == {16}, "a process without an image of the last batch counts it too"


def test_a_weight_used_by_one_process_gets_its_gradient_in_both(found: list[dict[str, Any]]) -> None:
    expected = [[[2.0, 2.0], [2.0, 2.0], None], [[2.0, 2.0], [1.0, 1.0], None]]
    assert [each["gradients"] for each in found] == [expected] * 2


def test_ddp_with_a_weight_that_is_not_used_names_the_other_way(found: list[dict[str, Any]]) -> None:
    message = "train.reduce is 'ddp', but a trainable weight of UnusedNet had no gradient"
    assert all(each["errors"]["unused"].startswith(f"RecipeError: {message}") for each in found)
    assert all(each["errors"]["unused"].endswith("set train.reduce=flat") for each in found)


def test_evaluation_has_the_bits_of_one_process_for_any_number_of_images(found: list[dict[str, Any]]) -> None:
    assert [each["evaluated"] for each in found] == [dict.fromkeys(("1", "5", "6", "32"), True)] * 2


def test_a_signal_to_one_process_stops_both_after_the_same_step(found: list[dict[str, Any]]) -> None:
    for whole, stopped, resumed in (each["stopped"] for each in found):
        assert (whole, resumed) == ("none", "none")
        assert stopped.startswith("Terminated: stopped at step 6 and saved")


def test_a_stopped_run_resumes_to_the_same_bits(folder: Path) -> None:
    assert digests(folder / "dropout") == digests(folder / "whole" / "dropout")
    random = load_checkpoint(folder / "dropout" / "checkpoints").tensors["random"]
    assert not torch.equal(random["cpu"], random["cpu.1"]), "each process draws the dropout of its own rows"


def test_a_loss_that_is_not_finite_in_one_process_ends_both(found: list[dict[str, Any]]) -> None:
    for each in found:
        assert each["errors"]["not finite"].startswith("TrainingError: the loss is not finite at step 3 (epoch 1)")


def test_processes_with_different_data_are_refused(found: list[dict[str, Any]]) -> None:
    message = "the data of process 1 is data-1, that of process 0 data-0; expected the same in all 2 processes"
    assert [each["different"] for each in found] == [f"TrainingError: {message}"] * 2


def test_rank_0_alone_writes(folder: Path) -> None:
    assert not list(folder.glob("*of process*"))
