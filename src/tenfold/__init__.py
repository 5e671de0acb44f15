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
    from tenfold.api import (
        Run,
        Sweep,
        check,
        compare,
        dataset,
        dataset_from_arrays,
        export,
        load,
        resume_sweep,
        suspects,
        sweep,
        train,
    )
    from tenfold.api import evaluate as eval  # noqa: A004
    from tenfold.core.errors import TenfoldError
    from tenfold.data.types import Dataset
    from tenfold.deploy.predictor import Prediction, Predictor
    from tenfold.evaluate.metrics import Evaluation
    from tenfold.recipes.schema import Recipe

_HOMES = {
    "tenfold.api": (
        *("Run", "Sweep", "check", "compare", "dataset", "dataset_from_arrays", "export", "load", "resume_sweep"),
        *("sweep", "suspects", "train"),
        "evaluate as eval",  # as the command is called; `tenfold.evaluate` is a subpackage
    ),
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
