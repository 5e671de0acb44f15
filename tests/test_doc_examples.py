"""Runs every example in a docstring."""

import doctest
import importlib
import pkgutil

import pytest

import tenfold

NO_EXAMPLES = ("__main__", "gpu_programs")
"""The first would run the command line; the second needs Triton, which comes with PyTorch's builds for a GPU."""
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tenfold.__path__, "tenfold.")
    if not module.name.endswith(NO_EXAMPLES)
)


@pytest.mark.parametrize("name", ["tenfold", *MODULES])
def test_docstring_examples_give_the_printed_results(name: str) -> None:
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failures == 0


def test_docstring_examples_are_found() -> None:
    finder = doctest.DocTestFinder()
    examples = [
        example
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
        if not example.options.get(doctest.SKIP)
    ]
    assert len(examples) > 30
