"""Processes timed from outside: what is told of them, and that none outlives whoever started it."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.command_line import environment
from tenfold.core.errors import Terminated, TrainingError
from tenfold.experiments.bench_process import ends_cleanly, figure, run_to_end


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
from tenfold.experiments.bench_process import ends_cleanly, run_to_end
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
