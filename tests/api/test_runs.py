"""Runs as arguments: a path, or what `train` returned."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tenfold
from tenfold.api.report import report
from tenfold.api.runs import path_of
from tenfold.core.errors import RunError, UsageError


def test_a_run_stands_for_its_folder() -> None:
    assert path_of(SimpleNamespace(path=Path("runs/a")), "run") == path_of("runs/a", "run") == Path("runs/a")


CALLS: list[Callable[[Any], object]] = [
    tenfold.load,
    tenfold.eval,
    lambda run: tenfold.export(run, "pth"),
    lambda run: tenfold.train(resume=run),
    lambda run: tenfold.check("shapes", run=run),
    tenfold.resume_sweep,
    report,
]


@pytest.mark.parametrize("call", CALLS)
def test_every_function_of_a_run_takes_what_train_returned(call: Callable[[Any], object], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere"):
        call(SimpleNamespace(path=tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="found an int; expected the path of a run folder, or what train returned"):
        call(5)
