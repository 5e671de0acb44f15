"""Worker processes for many jobs: what one of them dies of, the others and the pool outlive.

The pool knows nothing of training. It hands out jobs, passes messages on, and sees to it that no job is lost,
no result comes twice, and no process is left behind.
"""

import atexit
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

from tenfold.core.disk import translated
from tenfold.core.errors import TenfoldError
from tenfold.experiments.sweep.worker import Report as Report
from tenfold.experiments.sweep.worker import Task, WorkerProcess, cannot_start, cause, packed, unpacked
from tenfold.experiments.sweep.worker import Work as Work

_ATTEMPTS = 2
_TICK = 0.2  # seconds in which a signal is noticed at the latest
_PATIENCE = 5.0  # seconds that an idle worker has to leave


class Job(NamedTuple):
    """One thing to do; `payload` is pickled when a worker gets it."""

    key: str
    payload: Any


class Outcome(NamedTuple):
    """How a job ended: `error` is one line, or None when all went well; `details` is its traceback, if there is one.

    `attempts` counts the workers that were given the job.
    """

    key: str
    result: Any | None
    error: str | None
    attempts: int
    details: str | None = None


def run_jobs(
    next_job: Callable[[], Job | None],
    work: Work,
    *,
    workers: int,
    heard: Callable[[str, Any], Any] = lambda key, message: None,
    retried: Callable[[str, str], Any] = lambda key, reason: None,
    stopping: Callable[[], bool] = lambda: False,
    threads: int | None = None,
    log: Path | None = None,
    grace: float = 30.0,
) -> Iterator[Outcome]:
    """Does jobs in worker processes and yields how each of them ended, in the order of their ends.

    A job whose worker dies is given to a fresh one once, before all others. When a stop is asked for, busy workers
    get SIGTERM; a job that ends by it (by `Stopped`, or because nothing handles the signal) has no outcome.
    Closing the iterator, or an exception in it, ends all workers at once.

    Args:
        next_job: asked when a worker is free; None: none now. It is asked again after each outcome.
        work: called as `work(payload, report)` in a worker; must be picklable. `report(message)` returns what
            `heard` returned.
        workers: most processes at the same time, at least 1.
        heard: called here with the job's key and the message.
        retried: called here with a job's key, and with the reason, when the job is given to a second worker.
        stopping: whether to stop; looked at several times a second.
        threads: value of OMP_NUM_THREADS and MKL_NUM_THREADS in the workers; None: as in this process.
        log: file to which the workers' standard output and error are added; None: they go nowhere.
        grace: seconds that busy workers have for an orderly end.

    Raises:
        UsageError: when the jobs need the calling script itself and it cannot be imported a second time.
        TenfoldError: when no worker process can start.
        StorageError: when the log cannot be written.

    Example:
        >>> jobs = iter([Job("a", 3), Job("b", 4)])
        >>> for outcome in run_jobs(lambda: next(jobs, None), square, workers=2):  # doctest: +SKIP
        ...     print(outcome.key, outcome.result)
    """
    if log is not None:
        with translated("write", log), log.open("ab"):
            pass
    pool = _Pool(next_job, work, workers, heard, retried, stopping, threads, log)
    # An iterator that somebody still holds when Python ends is never closed, and its workers would be waited for.
    atexit.register(pool.end)
    try:
        yield from pool.outcomes(grace)
    finally:
        pool.end()
        atexit.unregister(pool.end)


@dataclass(eq=False)
class _Pool:
    """The workers, and what they are doing."""

    next_job: Callable[[], Job | None]
    work: Work
    size: int
    heard: Callable[[str, Any], Any]
    retried: Callable[[str, str], Any]
    stopping: Callable[[], bool]
    threads: int | None
    log: Path | None
    crew: list[WorkerProcess] = field(default_factory=list)
    again: deque[Task] = field(default_factory=deque)  # tasks whose worker died
    asking: bool = True  # false from a None of next_job to the next outcome

    def outcomes(self, grace: float) -> Iterator[Outcome]:
        while not self.stopping():
            yield from self._hand_out()
            if not self._busy():
                return
            for outcome in self._listen():
                self.asking = True
                yield outcome
        for worker in self._busy():
            worker.process.terminate()
        deadline = time.monotonic() + grace
        while self._busy() and time.monotonic() < deadline:
            yield from self._listen()

    def end(self) -> None:
        """Ends all workers: those that do nothing in good order, the others at once."""
        for worker in self.crew:
            if worker.task is None:
                worker.channel.close()
            elif worker.process.pid is not None:
                worker.process.kill()
        while self.crew:
            self.crew[-1].end(_PATIENCE)
            self.crew.pop()

    def _busy(self) -> list[WorkerProcess]:
        return [worker for worker in self.crew if worker.task]

    def _hand_out(self) -> Iterator[Outcome]:
        """Gives a task to each free worker, starting those that are missing; yields jobs that cannot be sent."""
        while len(self._busy()) < self.size and not self.stopping():
            if self.again:
                self._start(self.again.popleft())
                continue
            job = self.next_job() if self.asking else None
            if job is None:
                self.asking = False
                return
            try:
                data = packed((job.key, self.work, job.payload), "the job")
            except TenfoldError as error:
                yield Outcome(job.key, None, str(error), 0)
            else:
                self._give(Task(job.key, data))

    def _give(self, task: Task) -> None:
        idle = next((worker for worker in self.crew if worker.task is None and worker.process.is_alive()), None)
        if idle is None:
            self._start(task)
        else:
            idle.take(task)

    def _start(self, task: Task) -> None:
        self.crew.append(WorkerProcess(self.log))
        self.crew[-1].start(task, self.threads)

    def _listen(self) -> Iterator[Outcome]:
        """Waits for a sign of any worker, for one tick at most."""
        connection.wait([sign for worker in self.crew for sign in (worker.channel, worker.process.sentinel)], _TICK)
        for worker in list(self.crew):
            alive = worker.process.is_alive()  # asked first: what it sent before it died is in the channel by now
            outcome = None
            if worker.channel.poll():
                outcome = self._hear(worker)
            elif not alive:
                outcome = self._bury(worker)
            if outcome is not None:
                yield outcome

    def _hear(self, worker: WorkerProcess) -> Outcome | None:
        """Takes in one message of a worker, or its death; returns the outcome where it ends a job."""
        try:
            kind, body = worker.channel.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        task = worker.task
        assert task is not None, "a worker speaks only when it has a task"
        if kind == "ready":
            worker.ready = True
            worker.take(task)
            return None
        if kind == "report":
            worker.send(self._answer(task.key, body))
            return None
        worker.task = None
        return _outcome(task, kind, body)

    def _answer(self, key: str, body: bytes) -> bytes:
        try:
            message = unpacked(body, "the message")
        except TenfoldError as error:
            return pickle.dumps((False, str(error)))
        return pickle.dumps((True, self.heard(key, message)))

    def _bury(self, worker: WorkerProcess) -> Outcome | None:
        """Takes a dead worker out of the crew; its job gets a second chance, or an outcome."""
        self.crew.remove(worker)
        code, task = worker.end(patience=1.0), worker.task
        if task is None or self.stopping():
            return None
        if code > 0 and not worker.ready:
            raise cannot_start(worker.knows_script, code)
        if task.attempts < _ATTEMPTS:
            task.attempts += 1
            self.again.append(task)
            self.retried(task.key, f"its worker died ({cause(code)})")
            return None
        return Outcome(task.key, None, f"its worker died twice (the last time {cause(code)})", task.attempts)


def _outcome(task: Task, kind: str, body: bytes) -> Outcome:
    try:
        content = unpacked(body, "the result")
    except TenfoldError as error:
        return Outcome(task.key, None, str(error), task.attempts)
    if kind == "failed":
        error_line, details = content
        return Outcome(task.key, None, error_line, task.attempts, details)
    return Outcome(task.key, content, None, task.attempts)
