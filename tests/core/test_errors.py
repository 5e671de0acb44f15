import inspect
import re

import pytest

from tenfold.core import errors
from tenfold.core.errors import TenfoldError

TREE = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, Exception) and error.__module__ == errors.__name__
]


def test_every_error_is_a_tenfold_error() -> None:
    assert all(issubclass(error, TenfoldError) for error in TREE)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("TenfoldError", 1),
        ("UsageError", 2),
        ("SettingError", 2),
        ("Interrupted", 130),
        ("Terminated", 143),
        ("ProcessLost", 75),
    ],
)
def test_special_errors_have_their_exit_code(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code


def test_all_other_errors_exit_with_1() -> None:
    special = {"UsageError", "SettingError", "Interrupted", "Terminated", "ProcessLost"}
    assert {error.exit_code for error in TREE if error.__name__ not in special} == {1}


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    (?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?:  |$)", line)
        if match:
            depth = len(match["branch"]) // 4
            above[depth] = match["name"]
            drawn[match["name"]] = above.get(depth - 1, "Exception")
    assert drawn == {error.__name__: error.__bases__[0].__name__ for error in TREE}
