"""The rule for skipped tests, on a small suite of its own."""

import os
from pathlib import Path

import pytest

from harness.skip_rule import NO_GPU, OTHER_SYSTEM

pytest_plugins = ["pytester"]

SUITE = """
import pytest

@pytest.mark.skipif(True, reason="{mark}")
def test_marked(): ...

@pytest.mark.parametrize("number", range(2))
def test_called(number):
    pytest.skip("{call}")

@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    assert False

def test_passes(): ...
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs a suite in a process of its own: one test that is skipped by a mark, two by a call, one that passes."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take longer to import than the suite to run
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))

    def run(*options: str, mark: str = NO_GPU, call: str = OTHER_SYSTEM, extra: str = "") -> pytest.RunResult:
        pytester.makepyfile(test_suite=SUITE.format(mark=mark, call=call) + extra)
        return pytester.runpytest_subprocess("-p", "xdist", "-p", "harness.skip_rule", *options)

    return run


def test_skips_are_counted_by_reason(run) -> None:
    done = run()
    assert done.ret == 0
    done.stdout.fnmatch_lines(["* skipped tests by reason *", f"    2 {OTHER_SYSTEM}", f"    1 {NO_GPU}"])


def test_a_listed_reason_passes(run) -> None:
    done = run("--strict-skips")
    assert done.ret == 0
    done.stdout.no_fnmatch_line("*not allowed*")


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_an_unlisted_reason_fails_where_that_is_asked_for(run, workers: tuple[str, ...]) -> None:
    strict = run("--strict-skips", *workers, call="no browser; install one")
    assert strict.ret == 1
    strict.stdout.fnmatch_lines(
        ["    2 no browser; install one  (not allowed by --strict-skips)", f"    1 {NO_GPU}", "2 tests were skipped *"]
    )
    strict.assert_outcomes(passed=1, skipped=3, xfailed=1)


def test_an_unlisted_reason_passes_where_skips_are_only_counted(run) -> None:
    done = run(call="no browser; install one")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["    2 no browser; install one  (not allowed by --strict-skips)"])


def test_a_file_that_is_skipped_whole_counts(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_whole="import pytest\npytest.importorskip('a_module_that_is_not_there')\n")
    done = run("--strict-skips")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["    1 could not import 'a_module_that_is_not_there'*(not allowed by *"])


def test_no_summary_is_printed_where_nothing_is_skipped(pytester: pytest.Pytester, run) -> None:
    done = run("-k", "passes")
    assert done.ret == 0
    done.stdout.no_fnmatch_line("*by reason*")
