"""Progress displays: plain lines in a file, a bar or table on a terminal; a broken stream does not stop a run."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.command_line import environment
from harness.needs import needs_pseudo_terminal
from harness.sweep_rows import sweep_row
from tenfold.cli.live import LiveProgress, LiveSweepProgress
from tenfold.cli.plain import PlainProgress
from tenfold.cli.sweep_plain import PlainSweepProgress, result_text
from tenfold.cli.terminal import progress_for, sweep_progress_for
from tenfold.core.log_text import LogRow, row_text


def row(step: int, *, per_epoch: int, steps: int | None, seconds_a_step: float = 1.0, **values: float) -> LogRow:
    """Returns a row of the log after `step` steps."""
    return {
        "epoch": (step - 1) // per_epoch + 1,
        "step": step,
        "steps": steps,
        "batch": (step - 1) % per_epoch + 1,
        "time_s": step * seconds_a_step,
        "train_loss": 2.0,
        "train_accuracy": 0.25,
        "val_loss": None,
        "val_accuracy": None,
        **values,
    }


class BrokenStream(io.StringIO):
    """A stream whose reader has closed it."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def plain_lines(steps: int, per_epoch: int, *, every: int | None, seconds_a_step: float = 1.0) -> list[str]:
    """Returns the plain lines of a run whose log has a row for each step."""
    stream = io.StringIO()
    progress = PlainProgress(stream, tutorial_every=every)
    progress.start(Path("runs/x"), steps, per_epoch)
    for step in range(1, steps + 1):
        progress.log(row(step, per_epoch=per_epoch, steps=steps, seconds_a_step=seconds_a_step))
    progress.finish()
    return stream.getvalue().splitlines()[1:]


@pytest.mark.parametrize(
    ("steps", "per_epoch", "seconds_a_step"),
    [
        (200, 100, 1.0),
        (250, 8, 0.3),
        (250, 250, 0.2),
        (13, 1, 60.0),
        (12, 1, 9.0),
        (1200, 100, 0.2),
        (40_000, 4, 0.007),
    ],
)
def test_a_run_has_about_ten_lines_and_one_for_each_of_few_epochs(
    steps: int, per_epoch: int, seconds_a_step: float
) -> None:
    lines = plain_lines(steps, per_epoch, every=None, seconds_a_step=seconds_a_step)
    assert 9 <= len(lines) <= 25


def test_the_lines_of_many_epochs_stand_at_ends_of_epochs() -> None:
    lines = plain_lines(400, 4, every=None, seconds_a_step=0.5)
    assert [line.split(" · ")[1] for line in lines] == [f"step {step} of 400" for step in (1, *range(40, 401, 40))]


def test_a_long_run_has_a_line_every_30_seconds() -> None:
    assert len(plain_lines(1000, 1000, every=None, seconds_a_step=3.0)) == 101


def test_a_run_that_a_clock_ends_has_few_lines() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(Path("runs/x"), None, 10)
    for step in range(1, 6001):
        progress.log(row(step, per_epoch=10, steps=None, seconds_a_step=0.01))
    assert 8 <= len(stream.getvalue().splitlines()) <= 25


def test_the_last_line_tells_all_that_is_known() -> None:
    lines = plain_lines(200, 100, every=None)
    assert lines[-1].startswith("epoch 2 of 2 · step 200 of 200 · loss 2.000 · accuracy 25.0 %")


def test_very_short_epochs_have_few_lines() -> None:
    assert len(plain_lines(500, 1, every=None, seconds_a_step=0.01)) <= 6


def test_the_last_step_always_has_a_line() -> None:
    assert "step 7 of 7" in plain_lines(7, 7, every=None, seconds_a_step=0.001)[-1]


def test_tutorial_recipes_print_the_tutorials_own_lines() -> None:
    lines = plain_lines(24, 12, every=5)
    assert lines[:4] == [
        "[1,     5] loss: 2.000",
        "[1,    10] loss: 2.000",
        "[2,     5] loss: 2.000",
        "[2,    10] loss: 2.000",
    ]
    assert len(lines) == 5
    assert lines[4].startswith("epoch 2 of 2 · step 24 of 24")


def test_a_tutorial_line_looks_as_in_the_tutorial() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, tutorial_every=2000)
    progress.log(row(2000, per_epoch=12_500, steps=25_000, train_loss=2.1568))
    assert stream.getvalue() == "[1,  2000] loss: 2.157\n"


def test_many_lines_per_second_are_written_together_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("tenfold.cli.plain.time.monotonic", lambda: now)
    stream = io.StringIO()
    progress = PlainProgress(stream, tutorial_every=1)
    written = []
    for step in range(1, 8):
        now = 0.1 * step
        progress.log(row(step, per_epoch=100, steps=100))
        written.append(len(stream.getvalue().splitlines()))
    assert written == [1, 1, 1, 4, 4, 4, 7]
    now += 0.1
    progress.log(row(8, per_epoch=100, steps=100))
    progress.message("a sentence")
    progress.log(row(9, per_epoch=100, steps=100))
    progress.finish()
    lines = [f"[1, {step:5}] loss: 2.000" for step in range(1, 10)]
    assert stream.getvalue().splitlines() == [*lines[:8], "a sentence", lines[8]]


def test_the_bar_shows_the_last_row() -> None:
    progress = LiveProgress(Terminal())
    progress.start(Path("runs/x"), 100, 50)
    for step in range(1, 90):
        progress.log(row(step, per_epoch=50, steps=100))
    bar = progress._bar
    assert bar is not None
    bar.refresh()
    assert (bar.tasks[0].completed, bar.tasks[0].description) == (89, "epoch 2 of 2")
    progress.finish()


def test_a_row_without_a_known_length_has_no_total() -> None:
    text = row_text(row(3, per_epoch=10, steps=None, val_accuracy=0.5, val_loss=1.25))
    assert text == (
        "epoch 1 · step 3 · loss 2.000 · accuracy 25.0 % · validation loss 1.250 · validation accuracy 50.0 % · 3.0 s"
    )


def test_preparation_is_printed_at_start_and_end() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    for done in range(0, 60_001, 100):
        progress.prepare("Preparing images", done, 60_000)
    assert stream.getvalue().splitlines() == [
        "Preparing images: 0 of 60,000 (0 %)",
        "Preparing images: 60,000 of 60,000 (100 %)",
    ]


@pytest.mark.parametrize(
    ("description", "done", "total", "line"),
    [
        ("Downloading x.tar.gz", 17_000_000, 170_000_000, "Downloading x.tar.gz: 17.0 of 170.0 MB (10 %)"),
        ("Downloading x.tar.gz", 17_000_000, 0, "Downloading x.tar.gz: 17.0 MB"),
        ("Waiting for another process", 0, 0, "Waiting for another process"),
    ],
)
def test_preparation_is_printed_in_its_unit(description: str, done: int, total: int, line: str) -> None:
    stream = io.StringIO()
    PlainProgress(stream).prepare(description, done, total)
    assert stream.getvalue() == f"{line}\n"


def test_warnings_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    PlainProgress(sys.stdout).warn("one image is odd")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "tenfold: warning: one image is odd\n"


@pytest.mark.parametrize("kind", [PlainProgress, LiveProgress])
def test_a_broken_stream_does_not_stop_the_run(kind: type[PlainProgress]) -> None:
    progress = kind(BrokenStream())
    progress.message("hello")
    progress.prepare("Preparing images", 1, 2)
    progress.start(Path("runs/x"), 10, 10)
    progress.log(row(10, per_epoch=10, steps=10))
    progress.finish()


def test_a_terminal_gets_a_bar_and_a_file_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_for(Terminal()), LiveProgress)
    assert type(progress_for(io.StringIO())) is PlainProgress
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress_for(Terminal())) is PlainProgress


DEMO = """
import sys
from pathlib import Path
from tenfold.cli.terminal import progress_for
progress = progress_for()
progress.prepare("Preparing images [1]", 1, 2)
progress.start(Path("runs/[x]"), 4, 2)
for step in (1, 2, 3):
    progress.log({"epoch": (step + 1) // 2, "step": step, "steps": 4, "batch": (step - 1) % 2 + 1,
                  "time_s": step * 60.0, "train_loss": 2.0, "train_accuracy": 0.25})
sys.stdin.readline()  # until the test has seen the bar
progress.finish()
"""


@needs_pseudo_terminal
@pytest.mark.parametrize("no_color", [True, False])
def test_a_real_terminal_shows_a_bar_and_keeps_a_line_per_epoch(no_color: bool) -> None:
    changes = {"TERM": "xterm-256color", "COLUMNS": "130", **({"NO_COLOR": "1"} if no_color else {})}
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", DEMO], stdin=subprocess.PIPE, stdout=theirs, env=environment(changes)
    ) as demo:
        os.close(theirs)
        seen = b""
        while piece := read_piece(ours):
            seen += piece
            if b"left" in seen and demo.stdin and not demo.stdin.closed:
                demo.stdin.close()
    os.close(ours)
    screen = seen.decode()
    assert "run folder: runs/[x]" in screen
    assert "Preparing images [1]" in screen
    assert "step 2 of 4 · loss 2.000 · accuracy 25.0 % · 120.0 s" in screen
    assert "1:00 left" in screen
    assert ("\x1b[38;" not in screen and "\x1b[3" not in screen) or not no_color


def read_piece(descriptor: int) -> bytes:
    """Returns the next output of a terminal; nothing at its end, which Linux reports as an I/O error."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


FINISHED = sweep_row({"width": 90}, 0.704, training_seconds=214.2)
LOGGED = {"epoch": 2, "step": 50, "steps": 200, "time_s": 12.3, "train_loss": 1.8321, "train_accuracy": 0.25}


def play_sweep(progress: PlainSweepProgress) -> None:
    """Reports a sweep to `progress` in which all kinds of events happen."""
    progress.message("8 trials")
    progress.trial_started("width=90", 3, 8)
    progress.trial_progress("width=90", LOGGED)
    progress.trial_retried("width=90", "its worker died")
    progress.trial_started("width=[b]", 4, 8)
    progress.trial_progress("width=[b]", {"step": 1})
    progress.trial_finished("width=[b]", sweep_row({}, status="failed", error="the loss is not finite"))
    progress.trial_finished("width=90", FINISHED)
    progress.trial_started("width=110", 5, 8)
    progress.trial_finished("width=110", sweep_row({}, status="pruned"))
    progress.finish()


def test_a_trial_has_a_line_at_its_start_and_one_at_its_end() -> None:
    stream = io.StringIO()
    play_sweep(PlainSweepProgress(stream))
    assert stream.getvalue().splitlines() == [
        "8 trials",
        "[3 of 8] width=90: starts",
        "[3 of 8] width=90: starts again, its worker died",
        "[4 of 8] width=[b]: starts",
        "[4 of 8] width=[b]: failed: the loss is not finite",
        "[3 of 8] width=90: 70.4 % (95 % interval 69.5–71.3 %) in 214 s",
        "[5 of 8] width=110: starts",
        "[5 of 8] width=110: pruned",
    ]


def test_validation_accuracy_comes_first() -> None:
    assert result_text(FINISHED | {"val_accuracy": 0.72}) == (
        "validation 72.0 %, test 70.4 % (95 % interval 69.5–71.3 %) in 214 s"
    )


def test_unknown_values_are_left_out() -> None:
    assert result_text(FINISHED | {"test_low": None, "training_seconds": None}) == "70.4 %"


def test_sweep_warnings_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    PlainSweepProgress(sys.stdout).warn("one image is odd")
    assert capsys.readouterr() == ("", "tenfold: warning: one image is odd\n")


@pytest.mark.parametrize("kind", [PlainSweepProgress, LiveSweepProgress])
def test_a_broken_stream_does_not_stop_the_sweep(kind: type[PlainSweepProgress]) -> None:
    play_sweep(kind(BrokenStream()))


def test_events_of_unknown_trials_are_ignored() -> None:
    stream = io.StringIO()
    progress = PlainSweepProgress(stream)
    progress.trial_progress("other", LOGGED)
    progress.trial_retried("other", "its worker died")
    progress.trial_finished("other", FINISHED)
    assert stream.getvalue().startswith("other: starts again, its worker died\nother: 70.4 %")


def test_the_remaining_time_is_estimated_from_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = PlainSweepProgress(io.StringIO())
    progress.trial_started("a", 1, 4)
    assert progress.seconds_left() is None
    assert progress.status_line() == "1 running · 3 waiting"
    now[0] += 10
    progress.trial_progress("a", LOGGED)  # a quarter of one trial in 10 s
    assert progress.seconds_left() == pytest.approx(150)
    now[0] += 30
    progress.trial_finished("a", FINISHED)
    progress.trial_started("b", 2, 4)
    assert progress.status_line() == "1 finished · 1 running · 2 waiting · about 2 min 0 s left"


def test_a_validation_accuracy_stays_until_the_next_one() -> None:
    terminal = Terminal()
    progress = LiveSweepProgress(terminal)
    progress.trial_started("a", 1, 1)
    progress.trial_progress("a", LOGGED | {"val_accuracy": 0.5})
    progress.trial_progress("a", LOGGED | {"step": 60, "val_accuracy": None})
    progress.trial_started("b", 2, 2)  # draws at once
    progress.finish()
    last = terminal.getvalue().rpartition("validation")[2]
    assert "60 of 200" in last
    assert "50.0 %" in last


def test_the_table_is_drawn_at_most_four_times_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    terminal = Terminal()
    progress = LiveSweepProgress(terminal)
    progress.trial_started("a", 1, 1)
    before = terminal.getvalue().count("epoch")
    for step in range(100):
        now[0] += 0.01
        progress.trial_progress("a", LOGGED | {"step": step})
    assert 3 <= terminal.getvalue().count("epoch") - before <= 4
    progress.finish()


def test_a_terminal_gets_a_table_and_a_file_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(sweep_progress_for(Terminal()), LiveSweepProgress)
    assert type(sweep_progress_for(io.StringIO())) is PlainSweepProgress
    monkeypatch.setenv("TERM", "dumb")
    assert type(sweep_progress_for(Terminal())) is PlainSweepProgress


SWEEP_DEMO = """
import sys
from tenfold.cli.terminal import sweep_progress_for
progress = sweep_progress_for(sys.stdout)
progress.trial_started("width=[90]", 1, 2)
progress.trial_started("width=110", 2, 2)
print("kept apart", file=sys.stderr)
progress.warn("odd")
progress.trial_finished("width=[90]", {"status": "failed", "error": "no memory"})
progress.finish()
"""


@needs_pseudo_terminal
def test_a_real_terminal_keeps_the_lines_and_not_the_table() -> None:
    ours, theirs = os.openpty()
    variables = environment({"TERM": "xterm-256color", "COLUMNS": "100"})
    program = [sys.executable, "-c", SWEEP_DEMO]
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
