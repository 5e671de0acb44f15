"""The ways in: what the command line and Python programs call, and so get the same answers from."""

from typing import TYPE_CHECKING

from tenfold.core.lazy import importing

if TYPE_CHECKING:
    from tenfold.api.checking import check
    from tenfold.api.comparing import compare
    from tenfold.api.concluding import Sweep
    from tenfold.api.pictures import dataset, dataset_from_arrays, dataset_of
    from tenfold.api.reporting import report
    from tenfold.api.running import Run
    from tenfold.api.suspecting import Suspects, suspects
    from tenfold.api.sweeping import resume_sweep, sweep
    from tenfold.api.training import train
    from tenfold.api.using import evaluate, export, load

__all__ = [
    "Run",
    "Suspects",
    "Sweep",
    "check",
    "compare",
    "dataset",
    "dataset_from_arrays",
    "dataset_of",
    "evaluate",
    "export",
    "load",
    "report",
    "resume_sweep",
    "suspects",
    "sweep",
    "train",
]

__getattr__ = importing(
    "tenfold.api",
    {
        "tenfold.api.checking": ("check",),
        "tenfold.api.comparing": ("compare",),
        "tenfold.api.concluding": ("Sweep",),
        "tenfold.api.pictures": ("dataset", "dataset_from_arrays", "dataset_of"),
        "tenfold.api.reporting": ("report",),
        "tenfold.api.suspecting": ("Suspects", "suspects"),
        "tenfold.api.sweeping": ("resume_sweep", "sweep"),
        "tenfold.api.running": ("Run",),
        "tenfold.api.training": ("train",),
        "tenfold.api.using": ("evaluate", "export", "load"),
    },
)
