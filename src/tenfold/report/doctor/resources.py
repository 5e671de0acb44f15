"""Doctor rules on data and hardware: loading time, an unused GPU, batch size, clipped colors."""

from tenfold.core.text import percent, plural
from tenfold.report.doctor.evidence import Diagnosis, Evidence, quoted

_MIN_LOADING_FRACTION = 0.3  # of the training time
_MIN_LOADING_SECONDS = 1.0
_CACHED_BYTES = 2 * 1024**3
"""Decoded training images up to this size stay in memory after the first epoch, so the disk is not to blame."""

_MIN_CPU_SECONDS = 10.0
_MIN_CLIPPED_FRACTION = 0.35
_SOLVED_ACCURACY = 0.95  # from which another batch size gains nothing that could be measured

_MIN_STEPS_PER_EPOCH = 10
_MIN_STEPS = 100


def slow_loading(evidence: Evidence) -> Diagnosis | None:
    """Loading and augmentation took a large part of the training time, and something can be done about it."""
    loading, training = evidence.number("loading_seconds"), evidence.number("training_seconds")
    if not loading or not training or loading < _MIN_LOADING_SECONDS or loading < _MIN_LOADING_FRACTION * training:
        return None
    remedies = _lighter_loading(evidence)
    if not remedies:
        return None
    sentence = ", or ".join(remedies)
    return Diagnosis(
        "slow-loading",
        f"Loading and augmentation took {percent(min(1.0, loading / training))} of the training time, {loading:.1f} "
        f"of {training:.1f} s.",
        f"{sentence[0].upper()}{sentence[1:]}.",
    )


def _lighter_loading(evidence: Evidence) -> list[str]:
    if evidence.recipe is None:
        return ["use smaller images (--set data.image_size=…) or less augmentation"]
    augment, (height, width) = evidence.recipe.data.augment, evidence.image_size
    size = min(height, width)
    options = [f"use smaller images (--set data.image_size={max(32, size // 2)}, now {size})"] if size > 32 else []
    flags = [
        f"--set data.augment.{key}={off}"
        for key, off, is_used in (
            ("mixup", 0, augment.mixup),
            ("cutmix", 0, augment.cutmix),
            ("trivial", "false", augment.trivial),
            ("crop", "[]", augment.crop),
            ("shift", 0, augment.shift),
            ("erase", 0, augment.erase),
            ("cutout", 0, augment.cutout),
            ("flip", "none", augment.flip != "none"),
        )
        if is_used
    ]
    options += [f"drop an augmentation ({flags[0]})"] if flags else []
    num_bytes = (evidence.number("dataset", "pictures", "train") or 0) * height * width * 3
    if num_bytes > _CACHED_BYTES:
        options.append("keep the decoded images on a faster disk (TENFOLD_CACHE)")
    return options


def cpu_beside_gpu(evidence: Evidence) -> Diagnosis | None:
    """Training ran on the CPU although there is a GPU."""
    seconds, hardware = evidence.number("training_seconds"), evidence.summary.get("hardware")
    if seconds is None or seconds < _MIN_CPU_SECONDS or not str(hardware).startswith("cpu"):
        return None
    accelerators, num_gpus = evidence.environment.get("accelerators"), evidence.environment.get("nvidia_gpus")
    name = evidence.environment.get("gpu")
    if accelerators or name:
        device = str(accelerators[0]) if isinstance(accelerators, list) and accelerators else "cuda"
        requested = evidence.recipe.train.device if evidence.recipe is not None else "auto"
        reason = f", as train.device = {requested} requested" if requested != "auto" else ""
        return Diagnosis(
            "cpu-beside-gpu",
            f"Training ran on the CPU for {seconds:.0f} s{reason}, although there is a GPU: {name or device}.",
            f"Train on the GPU: --device {device.partition(':')[0]}.",
        )
    if isinstance(num_gpus, int) and num_gpus > 0:
        return Diagnosis(
            "cpu-beside-gpu",
            f"Training ran on the CPU for {seconds:.0f} s, although there is an NVIDIA GPU. The installed PyTorch "
            f"({evidence.environment.get('torch')}) cannot use it.",
            "Install a PyTorch built with CUDA (see pytorch.org/get-started/locally), and train with --device cuda.",
        )
    return None


def large_batch(evidence: Evidence) -> Diagnosis | None:
    """A batch holds more images than a rare class, or is a large part of the training set in a run of few steps.

    Many classes of equal size are common, and fine as long as the run has enough steps.
    """
    counts = {name: count for name, count in evidence.train_counts.items() if count}
    batch_size, num_images = int(evidence.number("batch_size") or 0), sum(counts.values())
    is_solved = evidence.num_test and evidence.accuracy >= _SOLVED_ACCURACY
    if not counts or not batch_size or not evidence.num_test or is_solved or evidence.stopped_itself:
        return None
    smallest, count = min(counts.items(), key=lambda item: item[1])
    if batch_size <= count or count >= num_images / len(counts) / 2:
        return _few_steps(evidence, batch_size, num_images)
    number = "few" if batch_size * count >= 2 * num_images else "one or none"
    smaller = _smaller_batch(batch_size, min(count, num_images // _MIN_STEPS_PER_EPOCH))
    return Diagnosis(
        "large-batch",
        f"A batch of {batch_size:,} images is larger than the smallest class, {quoted(smallest)} with "
        f"{plural(count, 'training image')}: most batches hold {number} of its images.",
        f"Use smaller batches: --batch-size {smaller}, or add images of {quoted(smallest)}.",
    )


def _few_steps(evidence: Evidence, batch_size: int, num_images: int) -> Diagnosis | None:
    if evidence.num_steps >= _MIN_STEPS or batch_size * _MIN_STEPS_PER_EPOCH <= num_images:
        return None
    return Diagnosis(
        "large-batch",
        f"A batch of {batch_size:,} images is {percent(batch_size / num_images)} of the {num_images:,} training "
        f"images, and the whole run took only {plural(evidence.num_steps, 'step')}.",
        f"Use smaller batches (--batch-size {_smaller_batch(batch_size, num_images // _MIN_STEPS_PER_EPOCH)}), or "
        f"train longer ({'--epochs' if evidence.budget is None else f'a larger --budget, now {evidence.budget}'}).",
    )


def _smaller_batch(batch_size: int, maximum: int) -> int:
    """Returns a power of two of at most `maximum` and half of `batch_size`, at least 2."""
    return max(2, 1 << max(1, min(maximum, batch_size // 2)).bit_length() - 1)


def clipped_colors(evidence: Evidence) -> Diagnosis | None:
    """Many channel values of the training images are 0 or 255."""
    fraction = evidence.number("dataset", "clipped")
    if fraction is None or fraction < _MIN_CLIPPED_FRACTION:
        return None
    is_padded = evidence.recipe is not None and evidence.recipe.data.fit == "pad"
    borders = "the borders that data.fit = pad adds, " if is_padded else ""
    return Diagnosis(
        "clipped-colours",
        f"{percent(fraction)} of the channel values in the training images are exactly 0 or 255: {borders}a plain "
        "black or white background, or colors clipped when the images were made.",
        "Look at some images: tenfold show DATA. A plain background is fine if the images to classify later have it "
        "too" + ("; --set data.fit=crop adds no borders." if is_padded else "."),
    )
