"""A Ray task, seen from the worker that runs it. The worker imports the job's own modules only after its set-up."""

import os
import pickle
import traceback
from typing import Any

from tenfold.core.errors import Stopped
from tenfold.core.world import leave_world
from tenfold.experiments.sweep.worker import THREAD_VARIABLES, error_message

DONE, FAILED, STOPPED = "done", "failed", "stopped"


class Reports:
    """An actor on the driver's machine that keeps what jobs report until the driver asks for it."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, Any]] = []
        self._answers: dict[str, Any] = {}

    def add(self, attempt: str, message: object) -> Any:
        """Keeps a message; returns the driver's last answer to this attempt of a job, None before the first."""
        self._messages.append((attempt, message))
        return self._answers.get(attempt)

    def exchange(self, answers: dict[str, Any]) -> list[tuple[str, Any]]:
        """Takes answers by attempt, and returns the messages since the last call, in order."""
        self._answers |= answers
        messages, self._messages = self._messages, []
        return messages


def run_task(job: bytes, attempt: str, threads: int, with_gpu: bool, reports: Any) -> tuple[str, Any, str]:
    """Runs one job.

    Args:
        job: pickled key, function and payload.
        attempt: names this attempt of the job.
        threads: CPU threads of the numerical libraries; they read it when a worker's first job imports them.
        with_gpu: whether the job may use GPUs: those that Ray has chosen for it.
        reports: the actor.

    Returns:
        `done` and the value, `failed` and one line, or `stopped`; then the traceback of a failure.
    """
    import ray

    leave_world()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if not with_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    key = "a job"
    try:
        key, function, payload = pickle.loads(job)
        return DONE, function(payload, lambda message: ray.get(reports.add.remote(attempt, message))), ""
    except Stopped:
        return STOPPED, None, ""
    except Exception as error:
        return FAILED, error_message(error, None), f"{key}: {traceback.format_exc()}"
