"""The progress bar in notebooks, in a kernel that is made up."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tenfold.core.notebook import NotebookProgress, default_progress
from tenfold.core.progress import SilentProgress
from tenfold.experiments.sweep.trials import default_sweep_progress


class Area:
    """An output area that keeps its frames."""

    def __init__(self, frame: str) -> None:
        self.frames = [frame]

    def update(self, frame: str) -> None:
        self.frames.append(frame)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[Area]:
    """Makes this process look like a notebook's kernel; returns its output areas."""
    areas: list[Area] = []

    def display(frame: str, *, display_id: bool) -> Area:
        assert display_id
        areas.append(Area(frame))
        return areas[-1]

    ipython, shown = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    shown.display, shown.HTML = display, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return areas


def row(step: int) -> dict[str, float | int | None]:
    known = {"epoch": 1, "step": step, "steps": 4, "batch": step, "time_s": 0.5 * step, "train_loss": 2 - step / 4}
    return {**known, "val_loss": None}


def test_a_notebook_gets_one_bar_for_the_training_and_its_messages(
    notebook: list[Area], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.core.notebook.time.monotonic", iter(range(100)).__next__)
    progress = default_progress()
    progress.message("device: cpu")
    progress.start(Path("runs/mine"), 4, 2)
    for step in (1, 2, 4):
        progress.log(row(step))
    progress.finish()
    assert capsys.readouterr().out == "device: cpu\nrun folder: runs/mine\n"
    (area,) = notebook
    assert area.frames[0] == '<progress value="0.0000" max=1></progress> <code>training</code>'
    assert area.frames[2] == (
        '<progress value="0.5000" max=1></progress> <code>epoch 1 of 2 · loss 1.500 · 2.0 steps/s · 0:01 left</code>'
    )
    assert area.frames[-1].startswith('<progress value="1.0000"')


def test_frames_are_skipped_but_never_the_last(notebook: list[Area], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.core.notebook.time.monotonic", lambda: 5.0)
    progress = NotebookProgress()
    progress.start(Path("runs/mine"), 4, 2)
    for step in (1, 2, 3):
        progress.log(row(step))
    progress.finish()
    assert len(notebook[0].frames) == 2
    assert "0.7500" in notebook[0].frames[-1]


def test_preparations_share_a_bar_until_the_next_message_and_names_are_escaped(notebook: list[Area]) -> None:
    progress = NotebookProgress()
    for description in ("Decoding <b>", "Drawing shapes"):
        progress.prepare(description, 0, 0)
        progress.prepare(description, 10, 10)
    (area,) = notebook
    assert area.frames[0] == "<progress max=1></progress> <code>Decoding &lt;b&gt;</code>"
    assert area.frames[-1] == '<progress value="1.0000" max=1></progress> <code>Drawing shapes</code>'
    progress.message("done")
    progress.prepare("Drawing shapes", 0, 10)
    assert len(notebook) == 2


def test_a_sweep_has_one_bar_for_all_trials(notebook: list[Area]) -> None:
    progress = default_sweep_progress()
    for number in (1, 2):
        progress.trial_started(f"trial {number}", number, 2)
        progress.trial_finished(f"trial {number}", {})
    progress.finish()
    (area,) = notebook
    assert area.frames[-1] == '<progress value="1.0000" max=1></progress> <code>2 of 2 trials</code>'


def test_warnings_stay_python_warnings(notebook: list[Area]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        NotebookProgress().warn("careful")
    assert [str(each.message) for each in caught] == ["careful"]


@pytest.mark.parametrize("shell", [lambda: None, lambda: SimpleNamespace()])
def test_outside_of_a_kernel_python_is_silent(shell: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = ModuleType("IPython")
    ipython.get_ipython = shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)  # IPython in a terminal has no kernel
    assert type(default_progress()) is SilentProgress
    monkeypatch.delitem(sys.modules, "IPython")
    assert type(default_progress()) is SilentProgress
