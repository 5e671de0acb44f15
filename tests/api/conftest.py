"""Fixtures of tests that run sweeps."""

import pytest

from harness.inline_jobs import run_jobs_here


@pytest.fixture
def trials_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the trials of sweeps and folds in this process; `test_sweep.py` and `test_pool.py` test the processes."""
    monkeypatch.setattr("tenfold.api.sweep_running.run_jobs", run_jobs_here)
