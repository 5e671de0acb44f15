"""How fast this machine trains wider and wider networks."""

from collections.abc import Sequence
from math import isfinite

from tenfold.core.devices import choose_device
from tenfold.core.errors import DeviceError, UsageError
from tenfold.engine.precision import choose_hardware
from tenfold.engine.progress import Progress, Silent
from tenfold.experiments.bench_width import WidthStudy, study_widths
from tenfold.recipes.load import load_recipe


def bench_width(
    *,
    devices: Sequence[str] = ("cpu", "cuda"),
    widths: Sequence[int] = (6, 30, 90, 170),
    batch_size: int = 4,
    seconds: float = 2.0,
    precision: str = "auto",
    progress: Progress | None = None,
) -> WidthStudy:
    """Does the tutorials' width exercise: makes the first convolution wider and tells what a GPU gains.

    Args:
        devices: to compare, e.g. `cpu`, `cuda`, `cuda:1`, `mps`; those that are not there are left out, and
            `progress` is told so.
        widths: channels of the first convolution of the network `wide`, each at least 1.
        batch_size: pictures in a step, at least 1.
        seconds: of measuring for each width and device, above 0.
        precision: `auto`, `float32` or `bfloat16`.
        progress: is told what happens.

    Raises:
        UsageError: when no width or device is given, a name is no device's, or `seconds` is not above 0.
        DeviceError: when none of the devices is there.
        RecipeError: when a width, the batch size or the precision is refused.
        TrainingError: when memory runs out.
    """
    progress = progress or Silent()
    for noun, given in (("width", widths), ("device", devices)):
        if not given:
            raise UsageError(f"no {noun} was given; expected at least one")
    if not (isfinite(seconds) and seconds > 0):
        raise UsageError(f"{seconds:g} seconds were asked for; expected a number above 0")
    # operation by operation everywhere: the widths are compared with one another, and so are the devices
    fixed = {"train.batch_size": batch_size, "train.precision": precision, "train.execution": "eager"}
    recipe = load_recipe("wide", fixed)
    machines = {
        name: choose_hardware(recipe.train.model_copy(update={"device": name})) for name in _present(devices, progress)
    }
    return study_widths(recipe, list(dict.fromkeys(widths)), machines, seconds, progress)


def _present(devices: Sequence[str], progress: Progress) -> list[str]:
    """Returns the devices that this machine has, each once; says which are left out."""
    present: list[str] = []
    missing: list[str] = []
    for name in dict.fromkeys(devices):
        try:
            present.append(str(choose_device(name)))
        except DeviceError:
            missing.append(name)
    present = list(dict.fromkeys(present))
    if not present:
        raise DeviceError(
            f"no {' or '.join(missing)} device on this machine, and no other was asked for; use --device cpu"
        )
    if missing:
        progress.message(
            f"no {' or '.join(missing)} device on this machine: "
            f"the {' and '.join(present)} column{'s' * (len(present) > 1)} only"
        )
    return present
