"""Whole trainings as commands: what a run's figures come to, and what the classic script can learn."""

from pathlib import Path

import numpy as np
import pytest

from harness import tiny
from tenfold.core.errors import DataError, TrainingError
from tenfold.data.shapes import build_shapes
from tenfold.experiments.bench_classic import ClassicBench
from tenfold.experiments.bench_runs import WholeRun, run_classic, run_tenfold, save_for_classic, summary_of


def run(seconds: float, training: float, accuracy: float, **more: object) -> WholeRun:
    told = {"compile_seconds": None, "interval": (accuracy - 0.01, accuracy + 0.01), "memory_mb": None, **more}
    return WholeRun(seconds=seconds, training_seconds=training, accuracy=accuracy, **told)  # type: ignore[arg-type]


def test_several_runs_come_to_median_ends_mean_and_deviation() -> None:
    runs = [run(10.0, 4.0, 0.70, memory_mb=500.0), run(30.0, 5.0, 0.72, memory_mb=700.0), run(11.0, 9.0, 0.74)]
    found = summary_of(runs)
    assert found["seconds"] == {"median": 11.0, "lowest": 10.0, "highest": 30.0, "each": [10.0, 30.0, 11.0]}
    assert found["training_seconds"]["median"] == 5.0
    assert found["accuracy"]["mean"] == pytest.approx(0.72)
    assert found["accuracy"]["deviation"] == pytest.approx(0.02)
    assert found["accuracy"]["interval_of_first"] == [0.69, 0.71]
    assert found["peak_memory_mb"] == 700.0
    assert [each["seconds"] for each in found["runs"]] == [10.0, 30.0, 11.0]


def test_what_is_not_known_is_null() -> None:
    found = summary_of([run(10.0, 4.0, 0.7)])
    assert found["compile_seconds"] is None
    assert found["peak_memory_mb"] is None
    assert found["accuracy"]["deviation"] is None


def test_compiling_is_told_of_the_runs_that_compiled() -> None:
    found = summary_of([run(10.0, 4.0, 0.7, compile_seconds=16.0), run(10.0, 4.0, 0.7)])
    assert found["compile_seconds"]["each"] == [16.0]


def test_ratios_are_those_of_each_pair() -> None:
    bench = ClassicBench(
        "tutorial",
        "shapes",
        (run(100.0, 60.0, 0.5), run(120.0, 90.0, 0.5)),
        (run(50.0, 20.0, 0.5), run(30.0, 15.0, 0.5)),
    )
    assert bench.times_faster.each == (2.0, 4.0)
    assert bench.times_faster_training is not None
    assert bench.times_faster_training.each == (3.0, 6.0)
    found = bench.to_json()
    assert found["times_faster"]["median"] == 3.0
    assert len(found["classic"]["runs"]) == len(found["tenfold"]["runs"]) == 2


def test_a_training_too_short_for_the_clock_has_no_ratio() -> None:
    bench = ClassicBench("tutorial", "shapes", (run(2.0, 1.0, 0.5),), (run(1.0, 0.0, 0.5),))
    assert bench.times_faster_training is None
    assert bench.to_json()["times_faster_training"] is None


def test_a_command_that_fails_is_one_line_with_its_last_one(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError,
        match=r"^tenfold train --recipe tutorail --seed 3 ended with exit code 1: unknown recipe 'tutorail'",
    ):
        run_tenfold("tutorail", [], 3, tmp_path)


def test_the_classic_script_runs_by_itself_and_tells_its_figures(tmp_path: Path) -> None:
    pictures = build_shapes(train=20, test=30)
    save_for_classic(pictures, tmp_path / "pictures.npz")
    found = run_classic(tmp_path / "pictures.npz", 30)
    assert 0 < found.training_seconds < found.seconds
    assert found.interval[0] <= found.accuracy <= found.interval[1]
    assert (found.seed, found.compile_seconds) == (None, None)


def test_the_classic_script_gets_the_pictures_as_they_are(tmp_path: Path) -> None:
    pictures = build_shapes(train=20, test=30)
    save_for_classic(pictures, tmp_path / "pictures.npz")
    with np.load(tmp_path / "pictures.npz") as saved:
        assert np.array_equal(saved["train_images"], pictures.train.images)
        assert np.array_equal(saved["test_labels"], pictures.test.labels)


def test_pictures_that_the_classic_script_cannot_learn_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"cannot learn tiny: found 16×16 pictures in 3 classes, 3 of them tested; expected 32×32 in 10"
    ):
        save_for_classic(tiny.dataset(), tmp_path / "pictures.npz")
    assert list(tmp_path.iterdir()) == []
