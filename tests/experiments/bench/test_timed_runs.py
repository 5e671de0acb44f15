"""Commands timed as processes: what is reported, and that no process outlives its parent."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness import tiny
from harness.command_line import environment
from tenfold.core.errors import DataError, Terminated, TrainingError
from tenfold.data.sources.shapes import build_shapes
from tenfold.experiments.bench.classic import ClassicBench
from tenfold.experiments.bench.timed_runs import (
    TimedRun,
    parse_number,
    run_classic,
    run_process,
    run_tenfold,
    save_classic_arrays,
    sigterm_as_exception,
    summarize_runs,
)


def python_command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_successful_process_has_time_memory_and_output() -> None:
    started = time.perf_counter()
    result = run_process(
        python_command("import sys; print('loss: 1.5'); print('accuracy: 53.2 %', file=sys.stderr)"), "it"
    )
    assert 0 < result.seconds <= time.perf_counter() - started
    # Until it runs its own program, a child counts the memory of its parent.
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    assert result.memory_mb is None or 1 < result.memory_mb < max(1000, 1.1 * ours)
    assert sorted(result.output.splitlines()) == ["accuracy: 53.2 %", "loss: 1.5"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; print('a'); print('tenfold: error: no such thing'); sys.exit(2)",
         r"^the run ended with exit code 2: no such thing$"),
        ("import sys; sys.exit(1)", r"^the run ended with exit code 1: it printed nothing$"),
        ("1 / 0", r"^the run ended with exit code 1: ZeroDivisionError: division by zero$"),
        ("import os; print('busy', flush=True); os.kill(os.getpid(), 9)", r"^the run was ended by signal 9: busy$"),
    ],
)  # fmt: skip
def test_a_failure_is_one_line_with_the_processes_last_line(code: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        run_process(python_command(code), "the run")


def test_a_number_is_found_in_the_output() -> None:
    assert parse_number(r"accuracy: ([\d.]+) %", "loss: 1\naccuracy: 53.20 %\n") == 53.2
    with pytest.raises(TrainingError, match=r"^the process succeeded but printed no 'accuracy'$"):
        parse_number(r"accuracy: ([\d.]+) %", "nothing")


def test_sigterm_is_an_exception_in_the_block_only() -> None:
    previous = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match="stopped; nothing was kept"), sigterm_as_exception():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is previous


PARENT = """
import sys, tempfile
from pathlib import Path
from tenfold.experiments.bench.timed_runs import run_process, sigterm_as_exception
child = '''
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {worker.pid}\\\\n")
time.sleep(60)
'''
with sigterm_as_exception(), tempfile.TemporaryDirectory(dir=sys.argv[1], prefix="work-") as folder:
    run_process([sys.executable, "-c", child, sys.argv[1] + "/pids"], "it")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_and_its_children(number: int, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        env=environment(),
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    pids = wait_for_pids(tmp_path / "pids")
    parent.send_signal(number)
    assert parent.wait(20) != 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("work-")]
    assert [pid for pid in pids if is_running(pid)] == []


def wait_for_pids(path: Path) -> list[int]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.exists() and path.read_text().endswith("\n"):
            return [int(word) for word in path.read_text().split()]
        time.sleep(0.02)
    raise AssertionError("the process did not start")


def is_running(pid: int) -> bool:
    """Returns whether a process still runs after five seconds; a zombie does not."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state in "ZX":
            return False
        time.sleep(0.05)
    return True


def make_run(seconds: float, training: float, accuracy: float, **more: object) -> TimedRun:
    fields = {"compile_seconds": None, "interval": (accuracy - 0.01, accuracy + 0.01), "memory_mb": None, **more}
    return TimedRun(seconds=seconds, training_seconds=training, accuracy=accuracy, **fields)  # type: ignore[arg-type]


def test_several_runs_have_median_range_mean_and_std() -> None:
    runs = [
        make_run(10.0, 4.0, 0.70, memory_mb=500.0),
        make_run(30.0, 5.0, 0.72, memory_mb=700.0),
        make_run(11.0, 9.0, 0.74),
    ]
    found = summarize_runs(runs)
    assert found["seconds"] == {"median": 11.0, "lowest": 10.0, "highest": 30.0, "each": [10.0, 30.0, 11.0]}
    assert found["training_seconds"]["median"] == 5.0
    assert found["accuracy"]["mean"] == pytest.approx(0.72)
    assert found["accuracy"]["deviation"] == pytest.approx(0.02)
    assert found["accuracy"]["interval_of_first"] == [0.69, 0.71]
    assert found["peak_memory_mb"] == 700.0
    assert [each["seconds"] for each in found["runs"]] == [10.0, 30.0, 11.0]


def test_unknown_values_are_none() -> None:
    found = summarize_runs([make_run(10.0, 4.0, 0.7)])
    assert found["compile_seconds"] is None
    assert found["peak_memory_mb"] is None
    assert found["accuracy"]["deviation"] is None


def test_compile_times_are_those_of_the_runs_that_compiled() -> None:
    found = summarize_runs([make_run(10.0, 4.0, 0.7, compile_seconds=16.0), make_run(10.0, 4.0, 0.7)])
    assert found["compile_seconds"]["each"] == [16.0]


def test_speedups_are_ratios_within_each_pair() -> None:
    bench = ClassicBench(
        "tutorial",
        "shapes",
        (make_run(100.0, 60.0, 0.5), make_run(120.0, 90.0, 0.5)),
        (make_run(50.0, 20.0, 0.5), make_run(30.0, 15.0, 0.5)),
    )
    assert bench.speedup.values == (2.0, 4.0)
    assert bench.training_speedup is not None
    assert bench.training_speedup.values == (3.0, 6.0)
    found = bench.to_json()
    assert found["times_faster"]["median"] == 3.0
    assert len(found["classic"]["runs"]) == len(found["tenfold"]["runs"]) == 2


def test_a_training_too_short_to_be_timed_has_no_speedup() -> None:
    bench = ClassicBench("tutorial", "shapes", (make_run(2.0, 1.0, 0.5),), (make_run(1.0, 0.0, 0.5),))
    assert bench.training_speedup is None
    assert bench.to_json()["times_faster_training"] is None


def test_a_failing_command_is_one_line_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError,
        match=r"^tenfold train --recipe tutorail --seed 3 ended with exit code 1: unknown recipe 'tutorail'",
    ):
        run_tenfold("tutorail", [], 3, tmp_path)


def test_the_classic_script_runs_and_reports_its_results(tmp_path: Path) -> None:
    dataset = build_shapes(train=20, test=30)
    save_classic_arrays(dataset, tmp_path / "images.npz")
    found = run_classic(tmp_path / "images.npz", 30)
    assert 0 < found.training_seconds < found.seconds
    assert found.interval[0] <= found.accuracy <= found.interval[1]
    assert (found.seed, found.compile_seconds) == (None, None)


def test_the_classic_script_gets_the_images_unchanged(tmp_path: Path) -> None:
    dataset = build_shapes(train=20, test=30)
    save_classic_arrays(dataset, tmp_path / "images.npz")
    with np.load(tmp_path / "images.npz") as saved:
        assert np.array_equal(saved["train_images"], dataset.train.images)
        assert np.array_equal(saved["test_labels"], dataset.test.labels)


def test_images_that_the_classic_script_cannot_use_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"cannot train on tiny: found 16×16 images in 3 classes, 3 of them in the test split; exp",
    ):
        save_classic_arrays(tiny.dataset(), tmp_path / "images.npz")
    assert list(tmp_path.iterdir()) == []
