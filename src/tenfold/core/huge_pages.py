"""Large tensors in large pages of memory."""

import os

_SWITCH = "THP_MEM_ALLOC_ENABLE"


def ask_for_huge_pages() -> None:
    """Asks PyTorch to keep tensors of 2 MB and more on a CPU in huge pages, where the system has them (Linux).

    A training step asks for its memory anew each time, and the system clears and hands out two megabytes at once
    far sooner than 512 pages of 4 KB. PyTorch reads the switch when it makes its first large tensor; whoever has
    set it before keeps their choice (0 for none).
    https://docs.kernel.org/admin-guide/mm/transhuge.html
    """
    os.environ.setdefault(_SWITCH, "1")
