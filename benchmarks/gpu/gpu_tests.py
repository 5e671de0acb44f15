"""Runs the tests that need a GPU; prints each failure at once, then counts and reasons.

python benchmarks/gpu/gpu_tests.py [PYTEST ARGUMENTS]
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from common import DRY_RUN, WORK, emit

COMMAND = ("-m", "pytest", "tests/gpu", "-m", "gpu", "-v", "-p", "no:cacheprovider", "--tb=short")


def main() -> None:
    """Runs pytest and exits with its code."""
    report = WORK / "tests.xml"
    report.unlink(missing_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} if DRY_RUN else dict(os.environ)
    command = [sys.executable, *COMMAND, f"--junitxml={report}", *sys.argv[1:]]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="")
        name, _, outcome = line.strip().partition(" ")
        if "::" in name and outcome.startswith(("FAILED", "ERROR")):
            emit(failed_test=name)
    code = process.wait()
    if report.is_file():
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
        failures = {
            f"{case.get('classname')}.{case.get('name')}": (case.find(kind).get("message") or "")[:500]
            for kind in ("failure", "error")
            for case in suite.iter("testcase")
            if case.find(kind) is not None
        }
        slowest = sorted((float(case.get("time", 0)), case.get("name")) for case in suite.iter("testcase"))[-8:]
        counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        emit(**counts, seconds=suite.get("time"), reasons=failures, slowest=slowest[::-1])
    sys.exit(code)


if __name__ == "__main__":
    main()
