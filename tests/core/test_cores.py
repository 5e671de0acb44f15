"""Batches on one core each."""

import torch

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


def test_batches_of_a_gpu_follow_one_another() -> None:
    with one_core_each(torch.device("cuda")) as run_all:
        assert run_all(num_threads, range(2)) == [torch.get_num_threads()] * 2
