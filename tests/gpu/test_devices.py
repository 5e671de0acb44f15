"""The device is chosen by name, and commands run on it as users type them."""

import json
from pathlib import Path

import pytest
import torch

from harness.gpu import DEVICE, GRAPH, cuda_only, easy_images, gpu_tests
from harness.runs import Notes
from harness.tiny import photo_folder
from tenfold import train
from tenfold.cli.main import main
from tenfold.runs.run_folder import RunFolder

pytestmark = gpu_tests


def train_by_command(folder: Path, device: str, *more: str) -> int:
    photos = folder / "photos"
    if not photos.exists():
        photo_folder(photos)
    where = ["--data", str(photos), "--runs", str(folder / "runs"), "--name", "run"]
    short = ["--set", "train.min_steps=0", "--set", f"train.execution={GRAPH}", "--batch-size", "8", "--epochs", "1"]
    return main(["train", "--recipe", "quick", *where, "--device", device, *short, *more])


def test_commands_run_on_the_first_gpu_by_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "cuda:0" if DEVICE.type == "cuda" else "cpu"
    assert train_by_command(tmp_path, name) == 0
    printed = capsys.readouterr()
    assert f"device: {name}" in printed.out + printed.err
    run = tmp_path / "runs" / "run"
    assert RunFolder(run).read_summary()["hardware"].startswith(name)
    assert (run / "report.html").is_file(), "the page explains predictions with the network on the device"
    photo = str(next((tmp_path / "photos").rglob("*.png")))
    for command in (
        ["predict", str(run), photo, "--device", name],
        ["eval", str(run), "--device", name],
        ["train", "--resume", str(run), "--epochs", "2"],
    ):
        assert main(command) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", ["cuda:7", "cuda:99"])
def test_a_gpu_that_is_not_there_is_one_clear_line(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_by_command(tmp_path, name) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "is not available" in line]
    assert len(lines) == 1
    assert (
        f"device '{name}' is not available: this machine has {torch.cuda.device_count() or 'no'} cuda dev" in lines[0]
    )
    assert "use --device cpu or --device auto" in lines[0]
    assert not (tmp_path / "runs").exists()


def test_auto_picks_the_gpu_and_says_so(tmp_path: Path) -> None:
    notes = Notes()
    short = ["train.duration=1 epoch", "train.min_steps=0", "train.threads=1"]
    run = train(
        "mlp", data=easy_images(), overrides=["train.device=auto", *short], runs=tmp_path, report=False, progress=notes
    )
    (said,) = [text for text in notes.messages if text.startswith("device: ")]
    expected = f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "cpu"
    assert said.startswith(f"device: {expected}")
    assert run.summary["hardware"].startswith(expected)


def test_bench_width_measures_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--widths", "2,3", "--seconds", "0.01", "--precision", "float32", "--json", "-"]
    assert main(["bench", "width", "--device", DEVICE.type, *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["devices"]) == [DEVICE.type]
    assert all(row[f"{DEVICE.type}_per_second"] > 0 for row in found["rows"])


@cuda_only
def test_bench_width_compares_cpu_and_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--widths", "2", "--seconds", "0.01", "--json", "-"]
    assert main(["bench", "width", "--device", "cpu,cuda", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["devices"]) == ["cpu", "cuda"]
    assert found["rows"][0]["cuda_speedup"] > 0
