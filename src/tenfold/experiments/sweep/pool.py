"""A pool of worker processes for jobs of minutes or hours.

A job whose worker dies is retried once, no result is lost or doubled, and no process outlives the pool.
`concurrent.futures` cannot do this: one dead worker breaks its whole pool, and running jobs cannot report.
"""

import atexit
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tenfold.core.disk import storage_errors
from tenfold.experiments.sweep.worker import Job as Job
from tenfold.experiments.sweep.worker import JobFunction as JobFunction
from tenfold.experiments.sweep.worker import SendReport as SendReport
from tenfold.experiments.sweep.worker import WorkerProcess

_MAX_ATTEMPTS = 2
_POLL_SECONDS = 0.2  # a stop is noticed within this time
_STOP_SECONDS = 30.0  # for running jobs to save and exit after a stop
_EXIT_SECONDS = 5.0  # for an idle worker to exit


class JobResult(NamedTuple):
    """How a job ended: `value` is what it returned, `error` one line, or None if it succeeded.

    `attempts` is the number of workers that started the job.
    """

    key: str
    value: Any | None
    error: str | None
    attempts: int


@dataclass(eq=False)
class JobQueue:
    """The jobs of a pool that are yet to start; those that were lost come first.

    Args:
        next_job: see `run_jobs`.
        max_attempts: how often a job may start.

    Attributes:
        attempts: number of starts so far, by the job's key.
    """

    next_job: Callable[[], Job | None]
    max_attempts: int
    attempts: Counter[str] = field(default_factory=Counter)
    _retries: deque[Job] = field(default_factory=deque)
    _may_have_jobs: bool = True  # False between a None of next_job and the next result

    def take(self) -> Job | None:
        """Returns the job to start now, or None if there is none before another result."""
        if self._retries:
            job: Job | None = self._retries.popleft()
        else:
            job = self.next_job() if self._may_have_jobs else None
        if job is None:
            self._may_have_jobs = False
            return None
        self.attempts[job.key] += 1
        return job

    def job_ended(self) -> None:
        """Reports a result, after which `next_job` may have more."""
        self._may_have_jobs = True

    def retry(self, job: Job) -> bool:
        """Queues a lost job again; returns whether it may start once more."""
        may_start = self.attempts[job.key] < self.max_attempts
        if may_start:
            self._retries.append(job)
        return may_start


class Pool(Protocol):
    """Runs jobs somewhere; see `run_jobs`, which does it in processes of this machine."""

    def __call__(
        self,
        next_job: Callable[[], Job | None],
        function: JobFunction,
        *,
        on_report: Callable[[str, Any], Any],
        on_retry: Callable[[str, str], Any],
        should_stop: Callable[[], bool],
    ) -> Iterator[JobResult]:
        """Yields the results of jobs in the order in which they end."""


def ignore_report(key: str, message: object) -> None:
    """Answers nothing to a report."""


def ignore_retry(key: str, reason: str) -> None:
    """Does nothing when a job starts again."""


def never_stop() -> bool:
    """Returns False."""
    return False


def run_jobs(
    next_job: Callable[[], Job | None],
    function: JobFunction,
    *,
    num_workers: int,
    on_report: Callable[[str, Any], Any] = ignore_report,
    on_retry: Callable[[str, str], Any] = ignore_retry,
    should_stop: Callable[[], bool] = never_stop,
    threads: int | None = None,
    log: Path | None = None,
) -> Iterator[JobResult]:
    """Runs jobs in worker processes and yields their results in the order in which the jobs end.

    After a stop, running workers get SIGTERM; a job that this ends (by `Stopped`, or because the job does not handle
    the signal) has no result. Closing the iterator, or an exception in the caller, ends all workers at once.

    Args:
        next_job: called when a worker is free; returns None when there is no job now. It is called again after each
            result.
        function: called as `function(payload, send_report)` in a worker; must be picklable. `send_report(message)`
            returns what `on_report` returned.
        num_workers: maximum number of processes at the same time, at least 1.
        on_report: called in this process with the job's key and the message.
        on_retry: called in this process with the job's key and the reason before a second attempt.
        should_stop: returns whether to stop; called several times a second.
        threads: value of OMP_NUM_THREADS and MKL_NUM_THREADS in the workers; None leaves them as in this process.
        log: file to which the workers' standard output and error are appended; None discards them.

    Raises:
        TenfoldError: when no worker process can start.
        StorageError: when the log cannot be written.

    Example:
        >>> jobs = iter([Job("a", 3), Job("b", 4)])
        >>> for result in run_jobs(lambda: next(jobs, None), square, num_workers=2):  # doctest: +SKIP
        ...     print(result.key, result.value)
    """
    if log is not None:
        with storage_errors("write", log), log.open("ab"):
            pass
    jobs = JobQueue(next_job, _MAX_ATTEMPTS)
    pool = _WorkerPool(jobs, function, num_workers, on_report, on_retry, should_stop, threads, log)
    # An iterator that is still referenced when Python exits is never closed, and Python would wait for the workers.
    atexit.register(pool.shutdown)
    try:
        yield from pool.run()
    finally:
        pool.shutdown()
        atexit.unregister(pool.shutdown)


@dataclass(eq=False)
class _WorkerPool:
    jobs: JobQueue
    function: JobFunction
    num_workers: int
    on_report: Callable[[str, Any], Any]
    on_retry: Callable[[str, str], Any]
    should_stop: Callable[[], bool]
    threads: int | None
    log: Path | None
    workers: list[WorkerProcess] = field(default_factory=list)

    def run(self) -> Iterator[JobResult]:
        while not self.should_stop():
            self._assign_jobs()
            if not self._running():
                return
            for result in self._receive():
                self.jobs.job_ended()
                yield result
        for worker in self._running():
            worker.process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        while self._running() and time.monotonic() < deadline:
            yield from self._receive()

    def shutdown(self) -> None:
        """Ends all workers: kills the running ones and lets the idle ones exit by themselves."""
        for worker in self.workers:
            if worker.job is None:
                worker.channel.close()
            elif worker.process.pid is not None:
                worker.process.kill()
        while self.workers:
            self.workers[-1].join(_EXIT_SECONDS)
            self.workers.pop()

    def _running(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.job]

    def _assign_jobs(self) -> None:
        """Assigns jobs until `num_workers` are running or no job is left."""
        while len(self._running()) < self.num_workers and not self.should_stop():
            if (job := self.jobs.take()) is None:
                return
            self._idle_worker().assign(job, self.function)

    def _idle_worker(self) -> WorkerProcess:
        """Returns an idle worker; starts one if there is none."""
        for worker in self.workers:
            if worker.job is None and worker.process.is_alive():
                return worker
        worker = WorkerProcess(self.log)
        self.workers.append(worker)  # before its start: `shutdown` ends it even when an exception follows
        worker.start(self.threads)
        return worker

    def _receive(self) -> Iterator[JobResult]:
        """Waits for messages and exits of workers, at most `_POLL_SECONDS`."""
        connection.wait([sign for w in self.workers for sign in (w.channel, w.process.sentinel)], _POLL_SECONDS)
        for worker in list(self.workers):
            alive = worker.process.is_alive()  # checked first: all that a dead process sent is in the pipe by now
            result = None
            if worker.channel.poll():
                result = self._read(worker)
            elif not alive:
                result = self._handle_death(worker)
            if result is not None:
                yield result

    def _read(self, worker: WorkerProcess) -> JobResult | None:
        """Reads one message, or the end of the pipe; returns a result if that ends the job."""
        try:
            kind, content = worker.channel.recv()
        except (EOFError, OSError):
            return self._handle_death(worker)
        job = worker.job
        assert job is not None, "an idle worker sends nothing"
        if kind == "report":
            worker.answer(self.on_report(job.key, content))
            return None
        worker.job = None
        value, error = (content, None) if kind == "done" else (None, content)
        return JobResult(job.key, value, error, self.jobs.attempts[job.key])

    def _handle_death(self, worker: WorkerProcess) -> JobResult | None:
        """Removes a dead worker; its job is retried once, then it has failed."""
        self.workers.remove(worker)
        code, job = worker.join(timeout=1.0), worker.job
        if job is None or self.should_stop():
            return None
        if self.jobs.retry(job):
            self.on_retry(job.key, f"its worker died ({_death_cause(code)})")
            return None
        error = f"its worker died twice (the last time {_death_cause(code)})"
        return JobResult(job.key, None, error, self.jobs.attempts[job.key])


def _death_cause(code: int) -> str:
    """Describes an exit code of a process and its common cause."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"by signal {-code}"
    hint = ": often a lack of memory; try --jobs 1" if name == "SIGKILL" else ""
    return f"by signal {-code}, {name}{hint}"
