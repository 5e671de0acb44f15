"""Large tensors lie in huge pages, and freed memory stays where that is asked for."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_CODE = """
import tenfold, torch
tensor = torch.ones(64 * 1024**2 // 4)
print(open("/proc/self/smaps_rollup").read())
"""


def _megabytes_in_huge_pages(switch: str | None) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    if switch is not None:
        environment["THP_MEM_ALLOC_ENABLE"] = switch
    printed = subprocess.run(
        [sys.executable, "-c", _CODE], env=environment, capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"AnonHugePages:\s+(\d+) kB", printed)
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.skipif(
    not _MODE.exists() or "[madvise]" not in _MODE.read_text(), reason="this system gives huge pages always, or never"
)
def test_large_tensors_lie_in_huge_pages_unless_somebody_has_chosen_otherwise() -> None:
    assert _megabytes_in_huge_pages(switch=None) > 32
    assert _megabytes_in_huge_pages(switch="0") < 32


_FREE = """
import tenfold, torch
from tenfold.core.memory import freed_memory_kept

def resident():  # megabytes
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def use_and_free():
    torch.ones(64 * 2**20 // 4)

use_and_free()
before = resident()
with freed_memory_kept():
    use_and_free()
    print(resident() - before)
    for _ in range(20):
        use_and_free()
    print(resident() - before)
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_stays_in_the_process_and_goes_back_in_the_end() -> None:
    printed = subprocess.run([sys.executable, "-c", _FREE], capture_output=True, text=True, check=True).stdout
    kept, after_twenty_more, left = map(float, printed.split())
    assert kept > 56
    assert after_twenty_more < 4 * kept  # used again, though not always at the same place
    assert left < 8
