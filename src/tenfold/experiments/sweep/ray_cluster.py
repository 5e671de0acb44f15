"""A Ray cluster: an embedded one on this machine, or one that is running. Importing this module imports no Ray."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from tenfold.core.errors import TenfoldError, UsageError
from tenfold.core.text import one_line

LOCAL, AUTO = "local", "auto"
"""Addresses: a cluster embedded in this process, and the running cluster that Ray finds by itself."""

_ANSWER_SECONDS = 10.0
_OBJECT_BYTES = 512 * 2**20
"""Memory that an embedded cluster may share between its processes; results are small."""

_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a gRPC client begins: the HTTP/2 preface, and a frame of settings, which the server answers with its own."""


@dataclass(frozen=True)
class RayOptions:
    """Where Ray tasks run, and what each may use.

    Args:
        address: `local`, `auto` or HOST:PORT.
        cpus: CPUs of each task; 0 means as many as its threads.
        gpus: GPUs of each task, such as 0.25; None means one where the cluster has some and the device allows it.
        jobs: maximum number of tasks at the same time; 0 means as many as there is room for.
    """

    address: str = LOCAL
    cpus: int = 0
    gpus: float | None = None
    jobs: int = 0

    @property
    def flag(self) -> str:
        """The flag of the command line that names this cluster."""
        return "--ray" if self.address == LOCAL else f"--ray {self.address}"

    def for_device(self, device: str, cpus: int) -> "RayOptions":
        """Returns the options with defaults filled in; the cluster must be connected.

        Args:
            device: `auto`, `cpu` or another.
            cpus: of each task, where the options leave them open.
        """
        import ray

        default = 0.0 if device == "cpu" or not ray.cluster_resources().get("GPU") else 1.0
        return replace(self, cpus=self.cpus or cpus, gpus=default if self.gpus is None else self.gpus)


def ray_options(
    ray: bool | str, *, cpus_per_trial: int = 0, gpus_per_trial: float | None = None, jobs: int = 0
) -> RayOptions | None:
    """Returns the options of a cluster that has answered, or None without one.

    Args:
        ray: whether to use Ray, or the address of a cluster.
        cpus_per_trial: see `RayOptions`.
        gpus_per_trial: see `RayOptions`.
        jobs: see `RayOptions`.

    Raises:
        UsageError: when Ray is not installed, the address is none, or numbers are given without Ray or too small.
        TenfoldError: when nothing answers at the address.
    """
    if not ray:
        given = {"--cpus-per-trial": cpus_per_trial or None, "--gpus-per-trial": gpus_per_trial}
        if names := [name for name, value in given.items() if value is not None]:
            raise UsageError(f"{' and '.join(names)} was given without --ray; add --ray, or leave it out")
        return None
    if cpus_per_trial < 0 or (gpus_per_trial or 0) < 0:
        raise UsageError("--cpus-per-trial and --gpus-per-trial cannot be negative; expected e.g. 1 and 0.25")
    if find_spec("ray") is None:
        raise UsageError("--ray needs Ray, which is not installed; run: pip install -e '.[ray]'")
    address = LOCAL if ray is True else str(ray)
    if address not in (LOCAL, AUTO):
        _check_address(address)
    return RayOptions(address, cpus_per_trial, gpus_per_trial, jobs)


def _check_address(address: str) -> None:
    """Raises TenfoldError unless a gRPC server answers; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal():
        raise UsageError(
            f"--ray is '{address}'; expected HOST:PORT as `ray start --head` prints it, auto, or nothing for a cluster "
            "on this machine"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS") == "1":
                return
            connection.sendall(_GREETING)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise _no_answer(address, getattr(error, "strerror", None) or error) from error
    if len(answer) < 4 or answer[3] != 4:
        raise _no_answer(address, "something else listens there")


def _no_answer(address: str, reason: object) -> TenfoldError:
    place = "on this machine" if address in (LOCAL, AUTO) else f"at {address}"
    return TenfoldError(
        f"no Ray cluster answers {place} ({one_line(str(reason)).rstrip('.')}); expected one that `ray start` has made "
        "this machine a part of, or --ray without an address"
    )


@contextmanager
def connected(options: RayOptions) -> Iterator[None]:
    """Connects this process with the cluster in a `with` block; an embedded cluster ends with it.

    A connection that the caller's own code has made is used and kept.

    Raises:
        TenfoldError: when there is no cluster, or an embedded one cannot start.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # tasks without GPUs hide them themselves
    import ray
    from ray._private import ray_constants, worker

    if ray.is_initialized():
        yield
        return
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)  # Ray replaces it
    try:
        # A cluster that listens on the loopback address only is what Ray starts on macOS and Windows.
        alone = _replaced(ray_constants, "ENABLE_RAY_CLUSTER", False) if options.address == LOCAL else nullcontext()
        with alone:
            _init(options.address)
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)
        # Ray prints pages about a lost machine to standard output; the pool says it in a line.
        with _replaced(worker, "print_to_stdstream", lambda *_, **__: None):
            yield
    finally:
        ray.shutdown()
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)


def _init(address: str) -> None:
    import ray

    arguments: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == LOCAL:
        arguments |= {"include_dashboard": False, "object_store_memory": _OBJECT_BYTES, "_node_ip_address": "127.0.0.1"}
    try:
        with _quiet_errors():
            ray.init(**arguments)
    except (ConnectionError, RuntimeError, ValueError, OSError, SystemExit) as error:
        raise _no_answer(address, error) from error


@contextmanager
def _quiet_errors() -> Iterator[None]:
    """Discards what is written to standard error, below Python too: Ray repeats there that nothing answers."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _replaced(module: Any, name: str, value: object) -> Iterator[None]:
    """Replaces an attribute of Ray's that has no public switch, where this version of Ray has it."""
    previous = getattr(module, name, None)
    if previous is None:
        yield
        return
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, previous)


def num_slots(nodes: list[Mapping[str, Any]], cpus: float, gpus: float) -> int:
    """Returns how many tasks fit on the machines of a cluster at the same time.

    Args:
        nodes: as `ray.nodes()` lists them.
        cpus: of each task, above 0.
        gpus: of each task.

    Example:
        >>> num_slots([{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}}], cpus=1, gpus=0.25)
        4
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    room = ((each.get("CPU", 0.0) / cpus, each.get("GPU", 0.0) / gpus if gpus else float("inf")) for each in alive)
    return sum(int(min(counts) + 1e-6) for counts in room)


def check_room(nodes: list[Mapping[str, Any]], cpus: float, gpus: float) -> None:
    """Raises UsageError when no machine of a cluster has what a task needs; see `num_slots`."""
    if num_slots(nodes, cpus, gpus):
        return
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    most = [f"{max((each.get(kind, 0.0) for each in alive), default=0):g} {kind}s" for kind in ("CPU", "GPU")]
    raise UsageError(
        f"no machine of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs for a trial; expected at most "
        f"{' and '.join(most)}: change --cpus-per-trial, --gpus-per-trial or --device"
    )
