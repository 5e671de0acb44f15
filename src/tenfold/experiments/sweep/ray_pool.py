"""A pool whose jobs are Ray tasks, on one machine or many. A job whose worker or machine is lost starts again."""

import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenfold.core.disk import storage_errors
from tenfold.core.text import one_line
from tenfold.experiments.sweep.pool import (
    Job,
    JobFunction,
    JobQueue,
    JobResult,
    ignore_report,
    ignore_retry,
    never_stop,
)
from tenfold.experiments.sweep.ray_cluster import RayOptions, check_room, num_slots
from tenfold.experiments.sweep.ray_task import DONE, FAILED, Reports, run_task

_MAX_ATTEMPTS = 4
"""A machine may be lost through no fault of the job, so there are more attempts than on one machine."""

_POLL_SECONDS = 0.2  # a stop is noticed within this time
_STOP_SECONDS = 30.0  # for running jobs to save and end after a stop


@dataclass(frozen=True)
class RayPool:
    """Runs jobs as Ray tasks, as `run_jobs` does in processes; the process is connected with a cluster.

    What `send_report` returns is the answer to an earlier report of the same job: a job does not wait for the driver.

    Args:
        options: resources of each task, complete.
        threads: CPU threads of each task.
        log: file to which tracebacks of jobs are appended; None discards them.
    """

    options: RayOptions
    threads: int
    log: Path | None = None

    def __call__(
        self,
        next_job: Callable[[], Job | None],
        function: JobFunction,
        *,
        on_report: Callable[[str, Any], Any] = ignore_report,
        on_retry: Callable[[str, str], Any] = ignore_retry,
        should_stop: Callable[[], bool] = never_stop,
    ) -> Iterator[JobResult]:
        """Yields results in the order in which the jobs end; see `run_jobs`.

        Raises:
            UsageError: when no machine has room for a job.
        """
        import ray

        check_room(ray.nodes(), self.options.cpus, self.options.gpus or 0)
        if self.log is not None:
            with storage_errors("write", self.log), self.log.open("ab"):
                pass
        tasks = _Tasks(self, JobQueue(next_job, _MAX_ATTEMPTS), function, on_report, on_retry, should_stop)
        try:
            yield from tasks.run()
        finally:
            tasks.shutdown()


@dataclass(eq=False)
class _Tasks:
    pool: RayPool
    jobs: JobQueue
    function: JobFunction
    on_report: Callable[[str, Any], Any]
    on_retry: Callable[[str, str], Any]
    should_stop: Callable[[], bool]
    running: dict[Any, Job] = field(default_factory=dict)  # by the reference of the task's result
    answers: dict[str, Any] = field(default_factory=dict)  # of the driver, by attempt; not sent yet

    def __post_init__(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.reports = ray.remote(Reports).options(num_cpus=0, scheduling_strategy=here).remote()
        self.task = ray.remote(run_task).options(**task_options(self.pool.options))

    def run(self) -> Iterator[JobResult]:
        import ray

        while not self.should_stop():
            self._start_jobs()
            if not self.running:
                return
            yield from self._receive()
        for task in self.running:
            ray.cancel(task, force=False)  # SIGINT for the training loop, which saves and stops
        deadline = time.monotonic() + _STOP_SECONDS
        while self.running and time.monotonic() < deadline:
            yield from self._receive()

    def shutdown(self) -> None:
        """Ends the running tasks at once."""
        import ray

        for task in self.running:
            ray.cancel(task, force=True)
        ray.kill(self.reports)

    def _start_jobs(self) -> None:
        """Starts as many jobs as the machines that are alive now have room for."""
        import ray

        options = self.pool.options
        room = max(1, num_slots(ray.nodes(), options.cpus, options.gpus or 0))
        while len(self.running) < min(room, options.jobs or room):
            if (job := self.jobs.take()) is None:
                return
            content = pickle.dumps((job.key, self.function, job.payload))
            task = self.task.remote(content, self._attempt(job), self.pool.threads, bool(options.gpus), self.reports)
            self.running[task] = job

    def _attempt(self, job: Job) -> str:
        return f"{self.jobs.attempts[job.key]} of {job.key}"

    def _receive(self) -> Iterator[JobResult]:
        """Waits for a task to end, at most `_POLL_SECONDS`, and passes reports on."""
        import ray

        ended, _ = ray.wait(list(self.running), timeout=_POLL_SECONDS)
        self._read_reports()  # all reports of a task that has ended were sent before
        for task in ended:
            result = self._result_of(task, self.running.pop(task))
            if result is not None:
                self.jobs.job_ended()
                yield result

    def _read_reports(self) -> None:
        import ray

        running = {self._attempt(job): job.key for job in self.running.values()}
        messages = ray.get(self.reports.exchange.remote(self.answers))
        self.answers = {}
        for attempt, message in messages:
            if attempt in running:  # a lost machine may still report
                self.answers[attempt] = self.on_report(running[attempt], message)

    def _result_of(self, task: Any, job: Job) -> JobResult | None:
        """Returns how a task ended, or None where its job is stopped, or starts again."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            kind, value, trace = ray.get(task)
        except RayTaskError as error:
            kind, value, trace = FAILED, _not_run(error), ""
        except RayError as error:
            return self._handle_loss(job, loss_text(error))
        if kind == DONE:
            return JobResult(job.key, value, None, self.jobs.attempts[job.key])
        if kind != FAILED or self.should_stop():  # a stop ends what a job was doing with any error
            return self._handle_loss(job, "it was stopped")
        self._write_log(trace)
        return JobResult(job.key, None, value, self.jobs.attempts[job.key])

    def _handle_loss(self, job: Job, reason: str) -> JobResult | None:
        if self.should_stop():
            return None
        if self.jobs.retry(job):
            self.on_retry(job.key, reason)
            return None
        error = f"it ended without a result {_MAX_ATTEMPTS} times (the last time: {reason})"
        return JobResult(job.key, None, error, self.jobs.attempts[job.key])

    def _write_log(self, text: str) -> None:
        if self.pool.log is not None:
            with storage_errors("write", self.pool.log), self.pool.log.open("a", encoding="utf-8") as file:
                file.write(text)


def task_options(options: RayOptions) -> dict[str, Any]:
    """Returns what each task declares to Ray. The pool itself starts lost tasks again, so that it can say so."""
    return {"num_cpus": options.cpus, "num_gpus": options.gpus or 0, "max_retries": 0}


def loss_text(error: Exception) -> str:
    """Returns why a task has no result, from Ray's error."""
    name = type(error).__name__
    if name == "OutOfMemoryError":
        return "its machine ran out of memory"
    return "its worker died" if name == "WorkerCrashedError" else f"its machine was lost ({name})"


def _not_run(error: Exception) -> str:
    """Returns the line for a task that could not even begin its job."""
    cause = getattr(error, "cause", None) or error
    text = one_line(str(cause)).strip()[-200:]
    return (
        f"a machine of the Ray cluster cannot run trials ({text}); "
        "install the same version of Tenfold and its packages on each machine"
    )
