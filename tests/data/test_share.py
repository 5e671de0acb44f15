"""Which rows of each batch a process trains."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.curves import shapes
from tenfold.data.augment import Augmentation
from tenfold.data.loader import Loader
from tenfold.data.sampling import Order
from tenfold.data.share import Share, part

sizes = st.integers(1, 9)


@given(st.integers(0, 200), sizes)
def test_parts_are_consecutive_and_differ_by_one_at_most(count: int, parts: int) -> None:
    found = [part(count, index, parts) for index in range(parts)]
    assert [number for one in found for number in one] == list(range(count))
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(st.integers(0, 60), sizes, st.integers(0, 20))
def test_the_processes_share_every_micro_batch_evenly(batch: int, size: int, micro_batch: int) -> None:
    shares = [Share(rank, size, micro_batch) for rank in range(size)]
    counts = shares[0].counts(batch)
    assert sum(map(sum, counts)) == batch
    assert all(max(of_rank) - min(of_rank) <= 1 for of_rank in counts)
    assert all(sum(of_rank) <= (micro_batch or batch) for of_rank in counts)
    rows = [share.rows(batch).tolist() for share in shares]
    assert sorted(row for own in rows for row in own) == list(range(batch))
    assert [len(own) for own in rows] == [share.count(batch) for share in shares]


@given(st.integers(0, 30), sizes, sizes, st.integers(0, 5), st.integers(0, 8))
def test_positions_of_a_block_are_those_of_its_batches(
    first: int, size: int, batch: int, micro_batch: int, batches: int
) -> None:
    share = Share(size - 1, size, micro_batch)
    block = slice(first, first + batches * batch + batch // 2)
    positions = share.positions(block, batch)
    expected = [
        start + row
        for start in range(block.start, block.stop, batch)
        for row in share.rows(min(batch, block.stop - start)).tolist()
    ]
    found = list(range(block.start, block.stop)) if isinstance(positions, slice) else positions.tolist()
    assert found == expected


def test_shares_of_a_loader_are_the_rows_of_its_batches() -> None:
    data, augmentation = shapes().train, Augmentation(flip="random", shift=2, mixup=0.5, image_size=(32, 32))
    order = Order(len(data), batch_size=13, seed=0)

    def batches(share: Share) -> list[tuple[torch.Tensor, ...]]:
        loader = Loader(data, order, augmentation, torch.device("cpu"), share=share)
        return [(*batch[:3], *batch.mixture) for batch in loader.epoch(1, start=1)]

    whole, own = batches(Share()), [batches(Share(rank, 3)) for rank in range(3)]
    assert [len(batch[0]) for batch in whole] == [13, 13, 13, 12]
    for number, batch in enumerate(whole):
        for index, tensor in enumerate(batch):
            assert torch.equal(torch.cat([of_rank[number][index] for of_rank in own]), tensor)


def test_a_batch_says_how_many_images_all_processes_train() -> None:
    data = shapes().train
    loader = Loader(data, Order(len(data), 13, seed=0), Augmentation(), torch.device("cpu"), share=Share(0, 20))
    assert [(len(batch.images), batch.total) for batch in loader.epoch(0)] == [(0, 13)] * 4 + [(0, 12)]
