"""Since when a process runs."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tenfold.core import uptime


def test_a_process_knows_when_it_started() -> None:
    code = (
        "import time; time.sleep(0.3); before = time.perf_counter()\n"
        "from tenfold.core.uptime import process_start\n"
        "print(before - process_start())"
    )
    began = time.perf_counter()
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    spent = time.perf_counter() - began
    if Path("/proc/self/stat").exists():
        assert 0.25 < float(printed) < spent + 0.05
    else:
        assert float(printed) <= 0


def test_where_the_system_does_not_tell_it_is_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def __init__(self, *_: object) -> None: ...

        def read_text(self, **_: object) -> str:
            raise FileNotFoundError

    monkeypatch.setattr(uptime, "Path", Missing)
    assert uptime.process_start() == uptime._IMPORTED


def test_a_clock_that_lies_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uptime.os, "sysconf", lambda name: 1e-9)  # then it would have started aeons after the boot
    assert uptime.process_start() == uptime._IMPORTED
