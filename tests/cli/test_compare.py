"""`tenfold compare`: what it prints, writes and refuses."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.runs import tiny_run
from harness.written_runs import written_run, written_sweep
from tenfold.cli.main import main
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset

FILES = {"runs.csv", "pairs.csv", "classes.csv", "differences.csv", "curves.png", "classes.png", "accuracy.png"}


@pytest.fixture
def two_runs(tmp_path: Path) -> list[str]:
    first = written_run(tmp_path, "a", "1" * 30 + "0" * 10, ["optim.lr=0.1"])
    second = written_run(tmp_path, "b", "1" * 28 + "0" * 12, ["optim.lr=0.2"])
    return [str(first), str(second)]


def test_two_runs_are_printed_side_by_side(two_runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *two_runs, "--no-files"]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["optim.lr", "0.1", "0.2"] in lines
    assert ["a", "75.0", "%", "59.8–85.8", "%", "1.5", "s"] in lines
    assert "within noise: p = 0.500; 40 test images do not show which run is better" in out
    assert "only run a is right: 2 images · only run b: 0" in out
    # b misses one cat more: 1/22 − 2/22 ± 1.96 √((3/22 − 1/22²) / 22)
    assert "cat 20 75.0 % −5.00 −19.86 to +10.77".split() in lines  # noqa: SIM905


def test_equal_recipes_are_reported_as_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(written_run(tmp_path, name, "10")) for name in "ab"]
    assert main(["compare", *runs, "--no-files"]) == 0
    assert "(the recipes are equal)" in capsys.readouterr().out


def test_several_seeds_are_summarized(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = written_sweep(tmp_path, "seeds", ["1110", "1100", None, "1000"])
    assert main(["compare", str(sweep), "--no-files"]) == 0
    captured = capsys.readouterr()
    assert re.search(r"A +seed=0 \(3 seeds\) +1, 2, 3 +3 +50\.00 ± 25\.00 %", captured.out)
    assert "the verdict is at 5 % after Holm's correction for 3 tests" in captured.out
    assert "within noise: 3 of 3 pairs" in captured.out
    assert captured.err == f"warning: 1 of the 4 trials of {sweep} have no result and are left out\n"


def test_runs_on_other_images_are_not_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(written_run(tmp_path, name, "10", fingerprint=name * 9)) for name in "ab"]
    assert main(["compare", *runs, "--no-files"]) == 0
    out = capsys.readouterr().out
    assert "not paired because no test image is known to be the same: a on 2 of shapes (aaaaaaaa); b on" in out
    assert "McNemar" not in out


def test_files_go_to_a_new_folder_here(
    two_runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *two_runs]) == 0
    (folder,) = tmp_path.glob("compare-*")
    assert re.fullmatch(r"compare-\d{8}-\d{6}", folder.name)
    assert {path.name for path in folder.iterdir()} == FILES
    assert f"wrote {folder.name}: tables and charts" in capsys.readouterr().err


def test_an_output_folder_is_overwritten_only_with_force(
    two_runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    assert main(["compare", *two_runs, "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == FILES
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert main(["compare", *two_runs, "--out", str(out)]) == 2
    assert f"{out} exists and is not overwritten; choose another folder for --output" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in out.iterdir()}
    (out / "runs.csv").unlink()
    assert main(["compare", *two_runs, "-o", str(out), "--force"]) == 0
    assert {path.name for path in out.iterdir()} == FILES


def test_json_is_all_that_is_printed(two_runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *two_runs, "--no-files", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"][0]["p"] == 0.5
    assert [run["run"] for run in found["runs"]] == ["a", "b"]


def test_no_files_writes_none(two_runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["compare", *two_runs, "--no-files"]) == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "missing argument"),
        (["{a}"], 1, "1 finished run, {a}; a comparison needs two or more: name another run folder or a sweep"),
        (["{a}", "{a}"], 1, "1 finished run, {a} ({a} was given twice); a comparison needs two or more"),
        (["{a}", "nowhere"], 1, "no run nowhere"),
        (
            ["{a}", "{b}", "--no-files", "--out", "x"],
            2,
            "--output x and --no-files were both given; expected one of them",
        ),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    arguments: list[str],
    code: int,
    message: str,
    two_runs: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    a, b = two_runs
    assert main(["compare", *(word.format(a=a, b=b) for word in arguments)]) == code
    err = capsys.readouterr().err
    assert message.format(a=a, b=b) in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_images_on_which_runs_disagree_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = build_shapes(train=60, test=30)
    monkeypatch.setattr("tenfold.api.compare.dataset_of", lambda section, progress: dataset)
    settings = ["model.hidden=[8]", "train.batch_size=10", "train.duration=2 epochs"]
    runs = [
        str(tiny_run(tmp_path, f"seed-{seed}", data=dataset, overrides=[*settings, f"train.seed={seed}"]))
        for seed in (0, 1)
    ]
    out = tmp_path / "out"
    assert main(["compare", *runs, "--out", str(out)]) == 0
    found = re.search(r"only run seed-0 is right: (\d+) images · only run seed-1: (\d+)", capsys.readouterr().out)
    assert found is not None
    assert int(found[1]) + int(found[2]) > 0
    assert {path.name for path in out.iterdir()} == {*FILES, "disagreements.png"}
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert min(pixels.shape[:2]) > 200
        assert pixels.std() > 5


def test_changed_images_are_left_out_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(section: object, progress: object) -> Dataset:
        return build_shapes(train=20, test=4)

    monkeypatch.setattr("tenfold.api.compare.dataset_of", other)
    runs = [str(written_run(tmp_path, name, right)) for name, right in (("a", "1010"), ("b", "0101"))]
    assert main(["compare", *runs, "--out", str(tmp_path / "out")]) == 0
    assert (
        "disagreements.png was left out because the test images are missing or have changed" in capsys.readouterr().err
    )
    assert not (tmp_path / "out" / "disagreements.png").exists()
