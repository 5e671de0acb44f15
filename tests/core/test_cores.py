"""Batches on one core each."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tenfold.core import cores
from tenfold.core.cores import one_core_each

CPU = torch.device("cpu")


def num_threads(_: object = None) -> int:
    return torch.get_num_threads()


def test_each_batch_has_one_core_and_the_number_of_threads_is_restored() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_core_each(CPU) as run_all, one_core_each(CPU) as other:  # as two requests to a server
            assert run_all(num_threads, range(5)) == other(num_threads, range(5)) == [1] * 5
        assert torch.get_num_threads() == 2
        with one_core_each(CPU) as run_all:
            assert run_all(str, range(3)) == ["0", "1", "2"]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_that_cannot_be_started_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with monkeypatch.context() as patched:
            patched.setattr(cores, "ThreadPoolExecutor", refused)
            with pytest.raises(RuntimeError, match="new thread"), one_core_each(CPU):
                pass
        torch.set_num_threads(3)
        with one_core_each(CPU) as run_all:
            assert run_all(num_threads, range(2)) == [1, 1]
        with ThreadPoolExecutor(1) as later:
            assert later.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_batches_of_a_gpu_follow_one_another() -> None:
    with one_core_each(torch.device("cuda")) as run_all:
        assert run_all(num_threads, range(2)) == [torch.get_num_threads()] * 2
