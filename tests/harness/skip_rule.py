"""A pytest plugin that counts skipped tests by reason; with --strict-skips an unlisted reason fails the run.

A test that can run on every machine after some set-up is not allowed to be skipped: its reason says what to install.
"""

from collections import Counter

import pytest

NO_GPU = "no GPU"
NO_BFLOAT16 = "no CPU with AVX-512 BF16"
TOO_FEW_CORES = "not enough CPU cores"
OTHER_SYSTEM = "not this operating system"
NO_REAL_DATA = "no shared/data/cifar10-jpeg.tar.xz beside the checkout"

ALLOWED = (NO_GPU, NO_BFLOAT16, TOO_FEW_CORES, OTHER_SYSTEM, NO_REAL_DATA)
"""What the machine cannot be given by installing something."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips", action="store_true", help="Fail on a test that is skipped for an unlisted reason."
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist hands its reports to the main process
        config.pluginmanager.register(SkipRule(strict=config.getoption("--strict-skips")), "skip-rule")


class SkipRule:
    """Counts the reasons of skipped tests, and decides whether they are allowed.

    Args:
        strict: whether an unlisted reason fails the run.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._count(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._strict and self._unlisted() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._reasons:
            return
        terminalreporter.section("skipped tests by reason")
        for reason, count in self._reasons.most_common():
            unlisted = "" if reason in ALLOWED else "  (not allowed by --strict-skips)"
            terminalreporter.line(f"{count:5} {reason}{unlisted}")
        if self._strict and self._unlisted():
            terminalreporter.line(
                f"{sum(self._unlisted().values())} tests were skipped for a reason that is not in ALLOWED of "
                "tests/harness/skip_rule.py; make them run here",
                red=True,
            )

    def _count(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            assert isinstance(report.longrepr, tuple)
            self._reasons[str(report.longrepr[2]).removeprefix("Skipped: ")] += 1

    def _unlisted(self) -> dict[str, int]:
        return {reason: count for reason, count in self._reasons.items() if reason not in ALLOWED}
