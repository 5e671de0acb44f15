"""Whether pictures, classes and batches go together."""

from tenfold.report.symptoms.case import Case, Finding, counted, quoted
from tenfold.report.tables import percent

_CLIPPED = 0.35
"""Share of channel values at 0 or 255 from which it is worth a look."""

_LEARNT = 0.95
"""Accuracy, all doubts deducted, that leaves nothing to be gained by another batch size."""

_BATCHES_AT_LEAST = 10
"""Batches that an epoch should have."""


def large_batch(case: Case) -> Finding | None:
    """A batch holds more pictures than the smallest class has, or a large share of all.

    Many classes of equal size in batches of a small share are usual, and nothing is said of them.
    """
    counts = {name: count for name, count in case.train_counts.items() if count}
    batch, pictures = int(case.number("batch_size") or 0), sum(counts.values())
    if not counts or not batch or not case.total or case.interval[0] >= _LEARNT:
        return None
    name, count = min(counts.items(), key=lambda item: item[1])
    rare = count < pictures / len(counts) / 2
    large = batch * _BATCHES_AT_LEAST > pictures
    if batch <= count or not (rare or large):
        return _few_steps(case, batch, pictures) if large else None
    lacking = (
        f"most batches hold {'few' if batch * count >= 2 * pictures else 'one or none'} of it"
        if rare
        else f"an epoch is only {counted(-(-pictures // batch), 'step')}"
    )
    bring = f", or bring more pictures of {quoted(name)}" if rare else ""
    return Finding(
        "large-batch",
        f"A batch of {batch:,} is larger than the smallest class, {quoted(name)} with "
        f"{counted(count, 'training picture')}: {lacking}.",
        f"Take smaller batches: --batch-size {_smaller(batch, min(count, pictures // _BATCHES_AT_LEAST))}{bring}.",
    )


def _few_steps(case: Case, batch: int, pictures: int) -> Finding | None:
    """Returns what to say of a run of few steps because its batches are large."""
    if case.steps >= 100:
        return None
    return Finding(
        "large-batch",
        f"A batch of {batch:,} is {percent(batch / pictures)} of the {pictures:,} training pictures, and the whole run "
        f"took only {counted(case.steps, 'step')}.",
        f"Take smaller batches (--batch-size {_smaller(batch, pictures // _BATCHES_AT_LEAST)}), or train longer "
        "(--epochs).",
    )


def _smaller(batch: int, most: int) -> int:
    """Returns a power of two of at most `most` and half of `batch`, at least 2."""
    return max(2, 1 << max(1, min(most, batch // 2)).bit_length() - 1)


def clipped_colours(case: Case) -> Finding | None:
    """Many channel values of the training pictures are the smallest or the largest there are."""
    share = case.number("dataset", "clipped")
    if share is None or share < _CLIPPED:
        return None
    padded = case.recipe is not None and case.recipe.data.fit == "pad"
    borders = " the borders that data.fit = pad adds," if padded else ""
    return Finding(
        "clipped-colours",
        f"{percent(share)} of the training pictures' colour values are exactly 0 or 255:{borders} a plain black or "
        "white background, or colours that were cut off when the pictures were made.",
        "Look at some: tenfold show DATA; a plain background needs no remedy, but pictures to be classified later must "
        "have it too" + (", and --set data.fit=crop adds no borders." if padded else "."),
    )
