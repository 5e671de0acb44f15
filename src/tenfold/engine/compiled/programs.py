"""C++ programs of `kernels/`, compiled by the machine's own compiler, once, and kept in the cache folder."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tenfold.core.errors import TrainingError
from tenfold.data.store import cache_folder

_KERNELS = Path(__file__).with_name("kernels")
_FLAGS = ("-std=c++17", "-O3", "-shared", "-fPIC")


def compiler() -> str | None:
    """Returns where the machine's C++ compiler lies; the variable CXX may name another one."""
    named = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [named] if named else ["g++", "clang++", "c++"])), None)


def program(sources: Sequence[str], flags: Sequence[str]) -> Path:
    """Returns a shared library, compiled now unless the cache folder holds it.

    Args:
        sources: names of files in `kernels/`: those to compile, and the `.h` that they include.
        flags: for the compiler, beside the usual ones.

    Raises:
        TrainingError: when the compiler fails; the message holds its first complaint.
        StorageError: when the cache folder cannot be written.
    """
    path = programs_folder() / f"{_key(sources, flags)}.so"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder) / path.name
            _compile([*flags, *(str(_KERNELS / name) for name in sources if name.endswith(".cpp")), "-o", str(fresh)])
            fresh.replace(path)  # another process may have done the same: either file is right
    return path


def programs_folder() -> Path:
    """Returns where compiled programs, and what was measured of them, are kept."""
    return cache_folder() / "programs"


def processor() -> str:
    """Names the processor and what it can do: a home folder may be shared by machines that differ."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return f"{platform.machine()} {platform.processor()}"
    lines = cpuinfo.read_text("utf-8", "replace").split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))


def _key(sources: Sequence[str], flags: Sequence[str]) -> str:
    """Returns what changes whenever the program would: source, flags, compiler or processor."""
    found = compiler()
    stamp = Path(found).stat() if found else None
    texts = [(_KERNELS / name).read_text("utf-8") for name in sources]
    parts = [*texts, *_FLAGS, *flags, found, stamp and (stamp.st_size, stamp.st_mtime)]
    return hashlib.sha256(repr([*parts, processor()]).encode()).hexdigest()[:24]


def _compile(arguments: Sequence[str]) -> None:
    for processor in (["-march=native"], []):  # not every compiler knows the first
        done = subprocess.run(
            [str(compiler()), *_FLAGS, *processor, *arguments], capture_output=True, text=True, errors="replace"
        )
        if done.returncode == 0:
            return
    last = done.stderr.strip()[-200:] or f"it ended with {done.returncode} and said nothing"
    complaint = next((line for line in done.stderr.splitlines() if "error" in line), last)
    raise TrainingError(
        f"{compiler()} cannot compile the training step: {complaint}; "
        "use --set train.execution=eager, or set CXX to another compiler"
    )
