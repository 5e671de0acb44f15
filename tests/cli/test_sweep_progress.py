"""A sweep on the screen: plain lines in a log file, a table on a terminal, and a broken stream that ends no sweep."""

import io
import os
import subprocess
import sys
import time

import pytest

from harness.command_line import environment
from harness.sweep_rows import sweep_row
from tenfold.cli.sweep_live import LiveSweepProgress
from tenfold.cli.sweep_plain import SweepProgress, result_text
from tenfold.cli.sweep_progress import sweep_progress_for

FINISHED = sweep_row({"width": 90}, 0.704, training_seconds=214.2)
LOGGED = {"epoch": 2, "step": 50, "steps": 200, "time_s": 12.3, "train_loss": 1.8321, "train_accuracy": 0.25}


class Gone(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


class Terminal(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def play(progress: SweepProgress) -> None:
    """Tells `progress` of a sweep in which everything happens."""
    progress.message("8 trials")
    progress.started("width=90", 3, 8)
    progress.heard("width=90", LOGGED)
    progress.retried("width=90", "its worker died")
    progress.started("width=[b]", 4, 8)
    progress.heard("width=[b]", {"step": 1})
    progress.ended("width=[b]", sweep_row({}, status="failed", error="the loss is not finite"))
    progress.ended("width=90", FINISHED)
    progress.started("width=110", 5, 8)
    progress.ended("width=110", sweep_row({}, status="pruned"))
    progress.finish()


def test_in_a_file_a_trial_has_a_line_when_it_begins_and_one_when_it_ends() -> None:
    stream = io.StringIO()
    play(SweepProgress(stream))
    assert stream.getvalue().splitlines() == [
        "8 trials",
        "[3 of 8] width=90: begins",
        "[3 of 8] width=90: begins again, its worker died",
        "[4 of 8] width=[b]: begins",
        "[4 of 8] width=[b]: failed: the loss is not finite",
        "[3 of 8] width=90: 70.4 % (95 % interval 69.5–71.3 %) in 214 s",
        "[5 of 8] width=110: begins",
        "[5 of 8] width=110: pruned",
    ]


def test_where_validation_decides_it_comes_first() -> None:
    assert result_text(FINISHED | {"val_accuracy": 0.72}) == (
        "72.0 % in validation, 70.4 % (95 % interval 69.5–71.3 %) in the test in 214 s"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert result_text(FINISHED | {"test_low": None, "training_seconds": None}) == "70.4 %"


def test_warnings_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    SweepProgress(sys.stdout).warn("one picture is odd")
    assert capsys.readouterr() == ("", "tenfold: warning: one picture is odd\n")


@pytest.mark.parametrize("kind", [SweepProgress, LiveSweepProgress])
def test_a_stream_that_breaks_does_not_break_the_sweep(kind: type[SweepProgress]) -> None:
    play(kind(Gone()))


def test_news_of_a_trial_that_is_not_known_is_passed_over() -> None:
    stream = io.StringIO()
    progress = SweepProgress(stream)
    progress.heard("other", LOGGED)
    progress.retried("other", "its worker died")
    progress.ended("other", FINISHED)
    assert stream.getvalue().startswith("other: begins again, its worker died\nother: 70.4 %")


def test_the_rest_is_estimated_from_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = SweepProgress(io.StringIO())
    progress.started("a", 1, 4)
    assert progress.seconds_left() is None
    assert progress.counts() == "1 running · 3 waiting"
    now[0] += 10
    progress.heard("a", LOGGED)  # a quarter of one trial in 10 s
    assert progress.seconds_left() == pytest.approx(150)
    now[0] += 30
    progress.ended("a", FINISHED)
    progress.started("b", 2, 4)
    assert progress.counts() == "1 finished · 1 running · 2 waiting · about 2 min left"


def test_an_accuracy_of_validation_stands_until_the_next_one() -> None:
    terminal = Terminal()
    progress = LiveSweepProgress(terminal)
    progress.started("a", 1, 1)
    progress.heard("a", LOGGED | {"val_accuracy": 0.5})
    progress.heard("a", LOGGED | {"step": 60, "val_accuracy": None})
    progress.started("b", 2, 2)  # draws at once
    progress.finish()
    last = terminal.getvalue().rpartition("validation")[2]
    assert "60 of 200" in last
    assert "50.0 %" in last


def test_the_table_is_drawn_at_most_four_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    terminal = Terminal()
    progress = LiveSweepProgress(terminal)
    progress.started("a", 1, 1)
    before = terminal.getvalue().count("epoch")
    for step in range(100):
        now[0] += 0.01
        progress.heard("a", LOGGED | {"step": step})
    assert 3 <= terminal.getvalue().count("epoch") - before <= 4
    progress.finish()


def test_a_terminal_gets_a_table_and_a_file_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(sweep_progress_for(Terminal()), LiveSweepProgress)
    assert type(sweep_progress_for(io.StringIO())) is SweepProgress
    monkeypatch.setenv("TERM", "dumb")
    assert type(sweep_progress_for(Terminal())) is SweepProgress


DEMO = """
import sys
from tenfold.cli.sweep_progress import sweep_progress_for
progress = sweep_progress_for()
progress.started("width=[90]", 1, 2)
progress.started("width=110", 2, 2)
print("kept apart", file=sys.stderr)
progress.warn("odd")
progress.ended("width=[90]", {"status": "failed", "error": "no memory"})
progress.finish()
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_on_a_real_terminal_the_table_goes_and_the_lines_stay() -> None:
    ours, theirs = os.openpty()
    variables = environment({"TERM": "xterm-256color", "COLUMNS": "100"})
    program = [sys.executable, "-c", DEMO]
    with subprocess.Popen(program, stdout=theirs, stderr=subprocess.PIPE, env=variables) as process:
        os.close(theirs)
        seen = b""
        while piece := read_piece(ours):
            seen += piece
        errors = process.stderr.read().decode() if process.stderr else ""
    os.close(ours)
    screen = seen.decode()
    assert "[1 of 2] width=[90]: failed: no memory" in screen
    assert "starts" in screen
    assert "2 running" in screen
    assert "1 failed · 1 running" in screen
    assert errors == "kept apart\ntenfold: warning: odd\n"


def read_piece(descriptor: int) -> bytes:
    """Returns what a terminal shows next, or nothing at its end, which Linux calls an I/O error."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""
