"""Tenfold trains, explains and ships image classifiers.

>>> import tenfold
>>> run = tenfold.train("quick", data="shapes")  # doctest: +SKIP
>>> run.load().predict("photo.png").label  # doctest: +SKIP
'star'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tenfold.core.memory import use_huge_pages

if TYPE_CHECKING:
    from tenfold.api.check import check
    from tenfold.api.compare import compare
    from tenfold.api.data import dataset, dataset_from_arrays
    from tenfold.api.embed import Embedding, embed
    from tenfold.api.evaluate import evaluate as eval  # noqa: A004
    from tenfold.api.evaluate import export, load
    from tenfold.api.label import label
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

_DEFINED_IN = {
    "Dataset": "tenfold.data.types",
    "Embedding": "tenfold.api.embed",
    "Evaluation": "tenfold.evaluate.metrics",
    "Prediction": "tenfold.deploy.predictor",
    "Predictor": "tenfold.deploy.predictor",
    "Recipe": "tenfold.recipes.schema",
    "Run": "tenfold.api.training_run",
    "Sweep": "tenfold.api.sweep_results",
    "TenfoldError": "tenfold.core.errors",
    "check": "tenfold.api.check",
    "compare": "tenfold.api.compare",
    "dataset": "tenfold.api.data",
    "dataset_from_arrays": "tenfold.api.data",
    "embed": "tenfold.api.embed",
    "eval": "tenfold.api.evaluate",
    "export": "tenfold.api.evaluate",
    "label": "tenfold.api.label",
    "load": "tenfold.api.evaluate",
    "resume_sweep": "tenfold.api.sweep",
    "suspects": "tenfold.api.suspects",
    "sweep": "tenfold.api.sweep",
    "train": "tenfold.api.train",
}
"""Module of each public name. It is imported when the name is first used, because importing torch takes a second."""

__all__ = [
    "Dataset",
    "Embedding",
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
    "embed",
    "eval",
    "export",
    "label",
    "load",
    "resume_sweep",
    "suspects",
    "sweep",
    "train",
]

use_huge_pages()  # must come before the first tensor is allocated


def __getattr__(name: str) -> Any:
    if name not in _DEFINED_IN:
        raise AttributeError(f"module 'tenfold' has no attribute '{name}'")
    # `tenfold.evaluate` is a subpackage, so the function has another name here
    return getattr(import_module(_DEFINED_IN[name]), "evaluate" if name == "eval" else name)


def __dir__() -> list[str]:
    return __all__
