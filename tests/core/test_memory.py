"""Large tensors are in huge pages; freed memory is kept where that is asked for, and large tensors are not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.needs import needs_glibc
from harness.skip_rule import OTHER_SYSTEM

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

ALLOCATE = """
import tenfold, torch
tensor = torch.ones(64 * 2**20 // 4)
print(open("/proc/self/smaps_rollup").read())
"""

KEEP = """
import tenfold, torch
from tenfold.core.memory import keep_freed_memory

def resident():  # megabytes
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def use(megabytes, count=1):
    tensors = [torch.ones(megabytes * 2**20 // 4) for _ in range(count)]

use(64)
before = resident()
with keep_freed_memory():
    for _ in range(20):
        use(64)
    print(resident() - before)
    use(16, count=8)
    print(resident() - before)
print(resident() - before)
"""


def run_python(code: str, **changes: str | None) -> str:
    """Returns what `code` prints in a new process with these changes of its environment; None removes a variable."""
    environment = {name: value for name, value in (os.environ | changes).items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


def megabytes_in_huge_pages(setting: str | None) -> float:
    found = re.search(r"AnonHugePages:\s+(\d+) kB", run_python(ALLOCATE, THP_MEM_ALLOC_ENABLE=setting))
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.skipif(not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text(), reason=OTHER_SYSTEM)
def test_large_tensors_are_in_huge_pages_unless_the_user_refuses() -> None:
    assert megabytes_in_huge_pages(None) > 32
    assert megabytes_in_huge_pages("0") < 32


@needs_glibc
def test_freed_memory_is_kept_in_bounds_and_returned_at_the_end() -> None:
    after_large_tensors, after_small_tensors, at_the_end = map(float, run_python(KEEP).split())
    assert after_large_tensors < 16, "large tensors go back to the system at once"
    assert after_small_tensors > 100, "8 tensors of 16 MB are kept"
    assert at_the_end < 16
