"""Processes timed from outside: what is told of them, and that none outlives whoever started it."""

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
from tenfold.experiments.bench.whole_runs import (
    WholeRun,
    ends_cleanly,
    figure,
    run_classic,
    run_tenfold,
    run_to_end,
    save_for_classic,
    summary_of,
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_process_that_ends_well_tells_its_time_memory_and_output() -> None:
    began = time.perf_counter()
    ended = run_to_end(python("import sys; print('loss: 1.5'); print('accuracy: 53.2 %', file=sys.stderr)"), "it")
    assert 0 < ended.seconds <= time.perf_counter() - began
    # Until it runs its own program, a child counts the pages of whoever started it.
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    assert ended.memory_mb is None or 1 < ended.memory_mb < max(1000, 1.1 * ours)
    assert sorted(ended.output.splitlines()) == ["accuracy: 53.2 %", "loss: 1.5"]


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
def test_a_failure_is_one_line_with_the_last_line_of_the_process(code: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        run_to_end(python(code), "the run")


def test_a_figure_is_found_in_what_was_printed_or_missed_in_one_line() -> None:
    assert figure(r"accuracy: ([\d.]+) %", "loss: 1\naccuracy: 53.20 %\n") == 53.2
    with pytest.raises(TrainingError, match=r"^the process ended well but printed no 'accuracy'$"):
        figure(r"accuracy: ([\d.]+) %", "nothing")


def test_sigterm_is_an_exception_inside_and_what_it_was_outside() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match="stopped; nothing was kept"), ends_cleanly():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is former


PARENT = """
import sys, tempfile
from pathlib import Path
from tenfold.experiments.bench.whole_runs import ends_cleanly, run_to_end
child = '''
import os, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {worker.pid}\\\\n")
time.sleep(60)
'''
with ends_cleanly(), tempfile.TemporaryDirectory(dir=sys.argv[1], prefix="work-") as folder:
    run_to_end([sys.executable, "-c", child, sys.argv[1] + "/pids"], "it")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_and_its_workers_at_once(number: int, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        env=environment(),
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    pids = _awaited(tmp_path / "pids")
    parent.send_signal(number)
    assert parent.wait(20) != 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("work-")]
    assert [pid for pid in pids if _runs(pid)] == []


def _awaited(path: Path) -> list[int]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if path.exists() and path.read_text().endswith("\n"):
            return [int(word) for word in path.read_text().split()]
        time.sleep(0.02)
    raise AssertionError("the process did not start")


def _runs(pid: int) -> bool:
    """Returns whether a process does more than wait for its parent to take note of its end, within five seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state in "ZX":
            return False
        time.sleep(0.05)
    return True


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
