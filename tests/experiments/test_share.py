"""Cores shared by trials: never more in use than there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.experiments import share
from tenfold.experiments.share import share_cores


@given(
    trials=st.integers(1, 100),
    cores=st.integers(1, 64),
    jobs=st.integers(0, 100),
    on_gpu=st.booleans(),
)
def test_jobs_and_threads_fit_the_machine(trials, cores, jobs, on_gpu):
    chosen, threads = share_cores(trials, cores, jobs=jobs, on_gpu=on_gpu)
    assert 1 <= chosen <= trials
    assert threads >= 1
    assert chosen * threads <= max(cores, chosen)


def test_as_many_trials_at_once_as_there_are_cores():
    assert share_cores(8, 2) == (2, 1)
    assert share_cores(1, 4) == (1, 4)


def test_a_gpu_takes_one_trial_unless_asked_for_more():
    assert share_cores(8, 16, on_gpu=True) == (1, 16)
    assert share_cores(8, 16, jobs=4, on_gpu=True) == (4, 4)


def test_threads_of_the_recipe_are_kept():
    assert share_cores(8, 8, threads=4) == (2, 4)


@pytest.mark.parametrize(("free", "jobs"), [(3.2e9, 2), (1e9, 1)])
def test_memory_limits_the_jobs(monkeypatch, free, jobs):
    monkeypatch.setattr(share, "_free_memory", lambda: free)
    assert share_cores(100, 64)[0] == jobs
