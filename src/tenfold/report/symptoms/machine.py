"""Whether the machine was put to good use."""

from tenfold.report.symptoms.case import Case, Finding
from tenfold.report.tables import percent

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
