"""The public surface is a list, and importing it costs nothing."""

import subprocess
import sys

import pytest

import tenfold


def test_the_public_names_are_listed() -> None:
    assert tenfold.__all__ == [
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


@pytest.mark.parametrize("name", tenfold.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert getattr(tenfold, name).__doc__
    assert name in dir(tenfold)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tenfold' has no attribute 'trian'"):
        _ = tenfold.trian


def test_importing_the_package_is_light() -> None:
    heavy = ("torch", "numpy", "PIL", "matplotlib", "pydantic")
    code = f"import sys, tenfold; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_public_names_survive_importing_the_subpackages() -> None:
    code = (
        "import importlib, pkgutil, tenfold\n"
        "rooms = [module.name for module in pkgutil.iter_modules(tenfold.__path__) if module.name != '__main__']\n"
        "for room in rooms: importlib.import_module(f'tenfold.{room}')\n"
        "print([name for name in tenfold.__all__ if not callable(getattr(tenfold, name))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
