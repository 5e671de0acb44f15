"""Whether the machine was put to good use."""

from tenfold.report.doctor.evidence import Case, Finding, counted, quoted
from tenfold.report.tables.run_tables import percent

_LOADING = 0.3
"""Share of the training time for gathering and augmenting pictures from which they hold up the training."""

_WORTH_SECONDS = 1.0
"""Seconds of loading from which it is worth a word."""

_WORTH_A_GPU = 10.0
"""Seconds of training from which a GPU is worth a word."""


def slow_loading(case: Case) -> Finding | None:
    """Gathering and augmenting pictures took a large share of the training time."""
    loading, training = case.number("loading_seconds"), case.number("training_seconds")
    if not loading or not training or loading < _WORTH_SECONDS or loading < _LOADING * training:
        return None
    return Finding(
        "slow-loading",
        f"{percent(min(1.0, loading / training))} of the training time, {loading:.1f} of {training:.1f} s, went into "
        "gathering and augmenting pictures.",
        _lighter(case),
    )


def _lighter(case: Case) -> str:
    """Returns which work of the loader can be spared, by what the recipe asks for."""
    if case.recipe is None:
        return "Take smaller pictures (--set data.image_size=…) or spare an augmentation."
    augment, size = case.recipe.data.augment, case.recipe.data.image_size
    spared = [
        f"--set data.augment.{key}={nothing}"
        for key, nothing, used in (
            ("mixup", 0, augment.mixup),
            ("cutmix", 0, augment.cutmix),
            ("shift", 0, augment.shift),
            ("cutout", 0, augment.cutout),
            ("flip", "none", augment.flip != "none"),
        )
        if used
    ]
    ways = [f"spare an augmentation ({spared[0]})"] if spared else []
    if isinstance(size, tuple) and min(size) > 32:
        ways.insert(0, f"take smaller pictures (--set data.image_size={max(32, min(size) // 2)}, now {min(size)})")
    ways.append("close other programs that read the same disk")
    sentence = ", or ".join(ways)
    return f"{sentence[0].upper()}{sentence[1:]}."


def cpu_beside_gpu(case: Case) -> Finding | None:
    """The CPU did the training though a GPU is there."""
    seconds, hardware = case.number("training_seconds"), case.summary.get("hardware")
    if seconds is None or seconds < _WORTH_A_GPU or not str(hardware).startswith("cpu"):
        return None
    seen, unseen = case.environment.get("accelerators"), case.environment.get("nvidia_gpus")
    name = case.environment.get("gpu")
    if seen or name:
        device = str(seen[0]) if isinstance(seen, list) and seen else "cuda"
        asked = case.recipe.train.device if case.recipe is not None else "auto"
        because = f", as train.device = {asked} asked for" if asked != "auto" else ""
        return Finding(
            "cpu-beside-gpu",
            f"The CPU trained for {seconds:.0f} s{because}, though there is a GPU: {name or device}.",
            f"Train on it: --device {device.partition(':')[0]}.",
        )
    if isinstance(unseen, int) and unseen > 0:
        return Finding(
            "cpu-beside-gpu",
            f"The CPU trained for {seconds:.0f} s, though there is an NVIDIA GPU, which the installed PyTorch "
            f"({case.environment.get('torch')}) cannot use.",
            "Install a PyTorch built with CUDA (see pytorch.org/get-started/locally), and train with --device cuda.",
        )
    return None


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
