"""Runs parts of the GPU benchmark one after another, each in a process of its own with a time limit.

    python benchmarks/gpu/parts.py OUT DATA [--seconds S] PART…      (run.sh sets the environment)

A part prints JSON objects, one a line; they are in OUT/results.json as soon as they are printed, so that a cut-off
loses nothing. A part that fails or takes too long is recorded with the end of its output, and the next one starts. Each
PART is one argument: a name of `PARTS` or `GROUPS`, then arguments for its program, and `--limit S` for its time.

Only the standard library is used here: what a machine lacks must fail in a part, not in this program.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
TAIL = 40
"""Lines of output that are kept of a part that failed."""


class Part(NamedTuple):
    """A program of this folder.

    Args:
        limit: seconds after which it is ended.
        command: its file and arguments; DATA stands for the dataset.
    """

    limit: float
    command: tuple[str, ...]


PARTS = {
    "data": Part(120, ("prepare.py", "DATA")),
    "tests": Part(150, ("gpu_tests.py", "--timeout", "120")),
    "step": Part(150, ("steps.py",)),
    "profile": Part(60, ("kernels.py",)),
    "airbench94": Part(400, ("peers.py", "airbench94_muon.py", "--runs", "10")),
    "hiverge": Part(400, ("peers.py", "cifar10_speedrun.py", "--runs", "10")),
    "airbench96": Part(300, ("peers.py", "airbench96_faster.py", "--runs", "1")),
    "tune": Part(240, ("speedrun.py", "--val", "--settings")),
    "speedrun": Part(150, ("speedrun.py",)),
    "fast94": Part(150, ("speedrun.py", "fast94", "--seeds", "20")),
    "pairs": Part(300, ("pairs.py",)),
    "tutorial": Part(120, ("commands.py", "tutorial", "DATA")),
    "fast96": Part(150, ("speedrun.py", "fast96", "--seeds", "2")),
    "resnet18": Part(300, ("speedrun.py", "resnet18", "--seeds", "1")),
    "strong": Part(150, ("speedrun.py", "strong", "--seeds", "3")),
    "width": Part(60, ("commands.py", "width")),
    "predict": Part(60, ("commands.py", "predict")),
}
GROUPS = {
    "peers": ("airbench94", "hiverge"),
    "all": (
        *("tests", "step", "profile", "peers", "fast94", "tutorial", "pairs", "fast96", "airbench96"),
        *("resnet18", "width", "predict"),
    ),
}


class Results:
    """The two files in OUT: results.json, rewritten at each change, and log.txt, the whole output."""

    def __init__(self, out: Path, arguments: list[str]) -> None:
        self._path = out / "results.json"
        self.log = (out / "log.txt").open("a", encoding="utf-8", errors="replace")
        self.content: dict[str, Any] = {"arguments": arguments, "card": card(), "cores": os.cpu_count(), "parts": []}
        self.save()

    def save(self) -> None:
        """Writes results.json; a kill leaves the old file or the new one."""
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self._path)


def card() -> str | None:
    """Returns name, memory, driver and clocks of the GPU as `nvidia-smi` reports them; None without one."""
    fields = "name,memory.total,driver_version,power.limit,clocks.max.sm,clocks.max.memory,temperature.gpu"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    return None


def main() -> None:
    """Runs the parts that the command line names."""
    out, data, *rest = sys.argv[1:]
    seconds = float("inf")
    if rest[0] == "--seconds":
        seconds, rest = float(rest[1]), rest[2:]
    ends = time.monotonic() + seconds
    results = Results(Path(out), sys.argv[1:])
    wanted = [name for part in rest for name in expanded(part)]
    if not (Path(os.environ["WORK"]) / "prepared.json").is_file() and "data" not in wanted:
        wanted.insert(0, "data")
    for part in wanted:
        run_part(part, data, ends, results)


def expanded(part: str) -> list[str]:
    """Returns the parts of a group, in order, or the part itself."""
    return [inner for name in GROUPS[part] for inner in expanded(name)] if part in GROUPS else [part]


def run_part(part: str, data: str, ends: float, results: Results) -> None:
    """Runs one part until `ends` at the latest; what it prints is in the results at once."""
    name, *arguments = shlex.split(part)
    limit, command = PARTS.get(name, Part(0, ()))
    if "--limit" in arguments:
        at = arguments.index("--limit")
        limit = float(arguments[at + 1])
        del arguments[at : at + 2]
    limit = min(limit, ends - time.monotonic())
    entry: dict[str, Any] = {"part": part, "limit": round(limit, 1), "rc": None, "lines": []}
    results.content["parts"].append(entry)
    if name not in PARTS or limit < 1:
        entry["error"] = "no time is left" if name in PARTS else f"unknown part; known: {', '.join([*PARTS, *GROUPS])}"
    else:
        words = [data if word == "DATA" else word for word in (*command, *arguments)]
        run_process([os.environ["PYTHON"], str(HERE / words[0]), *words[1:]], limit, entry, results)
    results.save()
    said = entry.get("error") or f"exit code {entry['rc']} after {entry['seconds']} s, {len(entry['lines'])} lines"
    show(f"== {part}: {said}", results)


def run_process(command: list[str], limit: float, entry: dict[str, Any], results: Results) -> None:
    """Runs a command, at most `limit` seconds; its JSON lines and its end are added to `entry`."""
    show(f"== {shlex.join(command)} (at most {limit:.0f} s)", results)
    began = time.monotonic()
    # a process group, so that a time limit also ends what the part has started
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0
    )
    watcher = threading.Thread(target=end_group, args=(process, limit))
    watcher.start()
    tail: list[str] = []
    assert process.stdout is not None
    for raw in process.stdout:
        line = raw.decode("utf-8", "replace").rstrip("\n").rpartition("\r")[2]
        show(line[:2000], results)
        tail = [*tail, line[:300]][-TAIL:]
        with contextlib.suppress(ValueError):
            if line.startswith("{"):
                entry["lines"].append(json.loads(line))
                results.save()
    watcher.join()
    entry["rc"] = process.wait()
    entry["seconds"] = round(time.monotonic() - began, 1)
    entry["timed_out"] = entry["seconds"] >= limit
    if entry["rc"]:
        entry["tail"] = tail


def end_group(process: "subprocess.Popen[bytes]", limit: float) -> None:
    """Waits for a process, at most `limit` seconds, and ends all that is left of its group.

    Compilers keep worker processes, which would hold the output open.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(limit)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def show(line: str, results: Results) -> None:
    """Prints a line, and keeps it in log.txt."""
    print(line, flush=True)
    print(line, file=results.log, flush=True)


if __name__ == "__main__":
    main()
