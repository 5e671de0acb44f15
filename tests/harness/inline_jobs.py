"""Jobs of a sweep in the test's own process."""

from collections.abc import Callable, Iterator
from typing import Any

from tenfold.core.errors import TenfoldError
from tenfold.experiments.sweep.pool import Job, JobFunction, JobResult


def run_jobs_here(
    next_job: Callable[[], Job | None], function: JobFunction, *, on_report: Callable[[str, Any], Any], **_: Any
) -> Iterator[JobResult]:
    """Runs jobs one after the other without worker processes, which take seconds to start."""
    while (job := next_job()) is not None:
        value, error = None, None
        try:
            value = function(job.payload, lambda message, key=job.key: on_report(key, message))
        except TenfoldError as raised:
            error = str(raised)
        yield JobResult(job.key, value, error, 1)
