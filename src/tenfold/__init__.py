"""Tenfold trains, explains and ships image classifiers.

>>> import tenfold
>>> run = tenfold.train("quick", data="shapes")  # doctest: +SKIP
>>> run.load().predict("picture.png").label  # doctest: +SKIP
'star'
"""

from typing import TYPE_CHECKING

from tenfold.core.lazy import importing
from tenfold.core.memory import ask_for_huge_pages

if TYPE_CHECKING:
    from tenfold.api.check import check
    from tenfold.api.compare import compare
    from tenfold.api.data import dataset, dataset_from_arrays
    from tenfold.api.evaluate import evaluate as eval  # noqa: A004
    from tenfold.api.evaluate import export, load
    from tenfold.api.suspects import suspects
    from tenfold.api.sweep import resume_sweep, sweep
    from tenfold.api.sweep_results import Sweep
    from tenfold.api.train import train
    from tenfold.api.training_run import Run
    from tenfold.core.errors import TenfoldError
    from tenfold.data.types import Dataset
    from tenfold.deploy.predictor import Prediction, Predictor
    from tenfold.evaluate.metrics import Evaluation
    from tenfold.recipes.schema import Recipe

_HOMES = {
    "tenfold.api.check": ("check",),
    "tenfold.api.compare": ("compare",),
    "tenfold.api.data": ("dataset", "dataset_from_arrays"),
    "tenfold.api.evaluate": ("evaluate as eval", "export", "load"),  # `tenfold.evaluate` is a subpackage
    "tenfold.api.training_run": ("Run",),
    "tenfold.api.suspects": ("suspects",),
    "tenfold.api.sweep": ("resume_sweep", "sweep"),
    "tenfold.api.sweep_results": ("Sweep",),
    "tenfold.api.train": ("train",),
    "tenfold.core.errors": ("TenfoldError",),
    "tenfold.data.types": ("Dataset",),
    "tenfold.deploy.predictor": ("Prediction", "Predictor"),
    "tenfold.evaluate.metrics": ("Evaluation",),
    "tenfold.recipes.schema": ("Recipe",),
}

__all__ = [
    "Dataset",
    "Evaluation",
    "Prediction",
    "Predictor",
    "Recipe",
    "Run",
    "Sweep",
    "TenfoldError",
    "check",
    "compare",
    "dataset",
    "dataset_from_arrays",
    "eval",
    "export",
    "load",
    "resume_sweep",
    "suspects",
    "sweep",
    "train",
]

ask_for_huge_pages()  # before anybody makes a tensor
__getattr__ = importing("tenfold", _HOMES)


def __dir__() -> list[str]:
    return __all__
