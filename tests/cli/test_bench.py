"""`tenfold bench`: what its commands print, write and refuse; some start whole processes."""

import json
from pathlib import Path

import pytest

from harness import tiny
from tenfold.cli.main import main
from tenfold.experiments.bench import roofline as bench_roof
from tenfold.experiments.bench.roofline import Convolution

TRAIN = ["bench", "train", "mlp", "--runs", "1", "--seconds", "0.001", "--set", "train.duration=4 steps"]


@pytest.fixture(autouse=True)
def small_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_roof, "candidate_convolutions", lambda device: (Convolution(4, 8, 2),))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tiny.photo_folder(tmp_path / "photos", each=8)


def test_bench_train_runs_whole_processes_and_prints_only_json(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert main([*TRAIN, "--data", str(photos), "--device", "cpu", "--json", "-"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    (run,) = found["runs"]
    assert run["seed"] == 0
    assert 0 < run["training_seconds"] < run["seconds"]
    assert found["seconds"]["each"] == [run["seconds"]]
    assert found["utilisation"]["share"] > 0
    assert found["settings"] == ["train.duration=4 steps", "train.device=cpu"]
    assert found["environment"]["torch"]
    assert any("from the start of the process to its end" in sentence for sentence in found["protocol"])
    assert "run 1 of 1: " in printed.err
    own = [path for path in temporary.iterdir() if not path.name.startswith("torchinductor")]  # PyTorch makes that
    assert own == []


def test_a_run_that_fails_is_one_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--data", str(photos), "--set", "optim.lr=1e30", "--set", "train.execution=eager"]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "tenfold: error: tenfold train --recipe mlp --seed 0 ended with exit code 1: the loss is not finite at step"
    )


def test_bench_data_prints_a_table_and_writes_json(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "data.json"
    flags = ["--data", str(photos), "--recipe", "mlp", "--runs", "2", "--seconds", "0.001", "--json", str(target)]
    assert main(["bench", "data", *flags]) == 0
    printed = capsys.readouterr()
    assert "first batch, warm store" in printed.out
    assert "of a plain copy" in printed.out
    assert f"wrote {target}" in printed.err
    found = json.loads(target.read_text("utf-8"))
    assert len(found["build_seconds"]["each"]) == 2
    assert found["pictures"] == {"train": 12, "test": 4}


def test_bench_predict_measures_a_recipe_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--recipe", "mlp", "--device", "cpu", "--images", "2", "--calls", "2", "--seconds", "0.001"]
    assert main(["bench", "predict", *flags]) == 0
    printed = capsys.readouterr().out
    assert "mlp, untrained" in printed
    assert [line.split()[0] for line in printed.splitlines() if line.strip().startswith(("memory", "files"))] == [
        "memory",
        "files",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "train", "mlpp"], "unknown recipe 'mlpp'; did you mean 'mlp'?"),
        (["bench", "train", "--runs", "0"], "invalid value for '--repeats'"),
        (["bench", "train", "--json", "none/train.json"], "--json: there is no folder none; create it, or choose"),
        (["bench", "data", "--seconds", "nan"], "seconds is nan; expected a number above 0"),
        (["bench", "predict", "run", "--recipe", "mlp"], "run and --recipe mlp were both given; expected one of them"),
        (["bench", "classic", "--data", "nowhere"], "nowhere"),
    ],
)
def test_a_bad_value_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train", "data", "predict", "classic"])
def test_an_existing_file_is_not_overwritten(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text("precious")
    assert main(["bench", command, "--json", str(mine)]) == 2
    assert "exists and is not overwritten; choose another file for --json" in capsys.readouterr().err
    assert mine.read_text() == "precious"


def test_bench_classic_refuses_other_images_before_any_run(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "classic", "--data", str(photos)]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert "in 2 classes, 2 of them in the test split; expected 32×32 in 10 classes, as in CIFAR-10" in line


@pytest.mark.parametrize("command", ["bench", "bench train", "bench data", "bench predict", "bench classic"])
def test_the_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert f"tenfold {command}" in capsys.readouterr().out.partition("Examples:")[2]
