"""PyTorch's elastic agent, which starts, watches and restarts the processes of one machine, with lines of our own."""

import inspect
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from torch.distributed import DistError
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler

from tenfold.core.errors import ProcessLost, TrainingError
from tenfold.core.world import Launch

_LOOPBACK = "127.0.0.1"

_GRACE_SECONDS = 3600
"""How long processes may take to finish their step and save after a signal. A second Ctrl-C ends them at once."""

_RENDEZVOUS_SECONDS = 600
"""How long a machine waits for the others at the start."""

_SAID_BY_ITSELF = (1, 2)
"""Exit codes of a process that has printed its own error."""

_STOPPED = (130, 143, -signal.SIGTERM)
"""Exit codes of a process that a signal has stopped: with everything saved, or before there was something to save."""


def run_agent(arguments: Sequence[str], wanted: Launch, count: int, report: Callable[[str], None]) -> int:
    """Runs Python in several processes and waits for them.

    Args:
        arguments: of Python.
        wanted: machines and restarts.
        count: number of processes on this machine.
        report: receives a line about each restart, and before other machines are waited for.

    Returns:
        See `launch`.

    Raises:
        ProcessLost: when a process was killed, or ended without a word.
        TrainingError: when the other machines cannot be reached in time, or the port is in use.
    """
    logging.disable()  # the launcher's tables and time stamps; this process does nothing else
    spec = _spec(arguments, wanted, count)
    if wanted.nodes > 1:
        report(f"waiting for the other machines at {wanted.rendezvous} (up to {_RENDEZVOUS_SECONDS // 60} min)")
    try:
        codes = _codes(_Agent(spec, report).run())
    except SignalException as stop:
        return 128 + stop.sigval
    except (DistError, TimeoutError) as error:
        raise TrainingError(_meeting_text(wanted, error)) from error
    finally:
        spec.rdzv_handler.shutdown()
    if (text := _loss_text(codes)) is not None:
        raise ProcessLost(text)
    return next((code for code in codes.values() if code in _SAID_BY_ITSELF), 128 + signal.SIGTERM) if codes else 0


def _meeting_text(wanted: Launch, error: Exception) -> str:
    """Returns why the machines have not met."""
    if "EADDRINUSE" in str(error):
        return (
            f"the port of --rendezvous {wanted.rendezvous} is in use on this machine; expected a free one: "
            "give another, the same on all machines"
        )
    return (
        f"{wanted.nodes} machines did not meet at {wanted.rendezvous} within {_RENDEZVOUS_SECONDS} s; expected "
        "this command on each of them with its own --node-rank, and that the others can reach this address"
    )


def _spec(arguments: Sequence[str], wanted: Launch, count: int) -> WorkerSpec:
    """Returns what the agent starts. The processes of one machine meet at a free port of the loopback interface."""
    if wanted.nodes == 1:
        place: dict[str, Any] = {"backend": "c10d", "endpoint": f"{_LOOPBACK}:0", "local_addr": _LOOPBACK}
        address: dict[str, Any] = {"local_addr": _LOOPBACK}
    else:
        host, _, port = wanted.rendezvous.rpartition(":")
        options = {"rank": wanted.node_rank, "timeout": _RENDEZVOUS_SECONDS}
        place = {"backend": "static", "endpoint": wanted.rendezvous, **options}
        address = {"master_addr": host, "master_port": int(port)}
    meeting = RendezvousParameters(run_id="tenfold", min_nodes=wanted.nodes, max_nodes=wanted.nodes, **place)
    return WorkerSpec(
        role="tenfold",
        local_world_size=count,
        entrypoint=sys.executable,
        args=tuple(arguments),
        rdzv_handler=get_rendezvous_handler(meeting),
        max_restarts=wanted.max_restarts,
        **address,
    )


class _Agent(LocalElasticAgent):
    """The agent of one machine; says why it restarts, and waits for processes that save."""

    def __init__(self, spec: WorkerSpec, report: Callable[[str], None]) -> None:
        patient: dict[str, Any] = {"shutdown_timeout": _GRACE_SECONDS}
        if "shutdown_timeout" not in inspect.signature(LocalElasticAgent).parameters:  # older than PyTorch 2.9
            patient = {}
        super().__init__(spec, logs_specs=DefaultLogsSpecs(log_dir="/dev/null"), **patient)
        self._report = report
        self._is_closing = False

    def _rendezvous(self, worker_group: WorkerGroup) -> None:
        """Waits for the other machines; a signal ends this process meanwhile, which has no others yet."""
        with _ended_by_signals(), ThreadPoolExecutor(1) as waiting:
            waiting.submit(super()._rendezvous, worker_group).result()

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        """Also says why all are started again. What would only be repeated is not: an error, or a stop."""
        result: RunResult = super()._monitor_workers(worker_group)
        codes = _codes(result)
        if codes and (text := _loss_text(codes)) is None:
            self._remaining_restarts = 0
        elif codes and self._remaining_restarts:
            restart = worker_group.spec.max_restarts - self._remaining_restarts + 1
            self._report(
                f"{text}; starting again from the last checkpoint ({restart} of {worker_group.spec.max_restarts})"
            )
        return result

    def _shutdown(self, *arguments: Any, **options: Any) -> None:
        """Passes a signal on and waits for the processes. A Ctrl-C meanwhile kills them."""
        signalled = sys.exception()
        if self._is_closing and isinstance(signalled, SignalException) and signalled.sigval == signal.SIGINT:
            arguments = (signal.SIGKILL, *arguments[1:])
        self._is_closing = True
        super()._shutdown(*arguments, **options)
        self._is_closing = False


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Lets SIGINT and SIGTERM end this process at once, whatever its other threads wait for."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: os._exit(128 + number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _codes(result: RunResult) -> Mapping[int, int]:
    """Returns the exit code of each process that failed, by rank; −n when signal n ended it."""
    return {rank: failure.exitcode for rank, failure in sorted(result.failures.items())}


def _loss_text(codes: Mapping[int, int]) -> str | None:
    """Returns what ended processes that have not said so themselves, or None if nothing did.

    Args:
        codes: exit code of each process that failed, by rank.

    Example:
        >>> _loss_text({0: 75, 1: -9})
        'process 1 was killed by SIGKILL'
    """
    known = {*_SAID_BY_ITSELF, *_STOPPED, ProcessLost.exit_code}
    unknown = {rank: code for rank, code in codes.items() if code not in known}
    if unknown:
        rank, code = min(unknown.items(), key=lambda item: item[1])  # a signal rather than what followed from it
        return (
            f"process {rank} {f'was killed by {signal.Signals(-code).name}' if code < 0 else f'ended with code {code}'}"
        )
    if ProcessLost.exit_code in codes.values() and not set(codes.values()) & set(_SAID_BY_ITSELF):
        return "a process on another machine has ended"
    return None
