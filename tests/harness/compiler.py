"""A pytest plugin that hides the C++ compiler from all tests but those with the mark `needs_compiler`.

With a compiler, each run of a small network would compile and measure a training step, which takes seconds.
"""

import os

import pytest

NO_COMPILER = "no C++ compiler; install one (Debian: apt-get install g++)"
_OWN = os.environ.get("CXX")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = any(mark.kwargs.get("reason") == NO_COMPILER for mark in item.iter_markers("skipif"))
    if needed and _OWN is None:
        os.environ.pop("CXX", None)
    else:
        os.environ["CXX"] = _OWN if needed and _OWN else os.devnull
