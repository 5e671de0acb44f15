"""Run folders of trials on machines that do not share the sweep's folder: they are sent back through the pool."""

import io
import socket
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

from tenfold.core import durable
from tenfold.core.disk import storage_errors
from tenfold.experiments.sweep.pool import Job, JobFunction, JobResult, Pool, SendReport
from tenfold.runs.folders import is_locked
from tenfold.runs.sweep_folder import SweepFolder

_LOCK_SECONDS = 60.0
"""How long a trial waits for a lost attempt, whose process may outlive its machine's place in the cluster."""


class Sent(NamedTuple):
    """What a trial returns to the driver.

    Args:
        value: of the trial's own function.
        archive: its run folder as an uncompressed tar file, or None where the driver sees the folder.
        host: name of its machine.
    """

    value: Any
    archive: bytes | None
    host: str


def sending_folders(pool: Pool, sweep: SweepFolder) -> Pool:
    """Returns a pool for trials of a sweep whose workers may be on other machines.

    The payload of each job is `(path of the run folder, …)`, and its key the name of the trial.

    Args:
        pool: runs the jobs.
        sweep: its plan tells a worker whether it sees the same folder.
    """
    digest = durable.digest(sweep.plan_file)

    def run(
        next_job: Callable[[], Job | None],
        function: JobFunction,
        *,
        on_report: Callable[[str, Any], Any],
        on_retry: Callable[[str, str], Any],
        should_stop: Callable[[], bool],
    ) -> Iterator[JobResult]:
        apart: set[str] = set()

        def absolute_job() -> Job | None:
            job = next_job()
            if job is None:
                return None
            path, *rest = job.payload
            return Job(job.key, (function, digest, (str(Path(path).absolute()), *rest)))

        results = pool(absolute_job, run_in_own_folder, on_report=on_report, on_retry=on_retry, should_stop=should_stop)
        for result in results:
            if result.error is None:
                sent = cast("Sent", result.value)
                if sent.archive is not None:
                    unpack(sent.archive, sweep.trials_folder / result.key)
                    if sent.host not in apart:
                        apart.add(sent.host)
                        on_report(result.key, {"warning": _apart_text(sent.host)})
                result = result._replace(value=sent.value)
            yield result

    return run


def _apart_text(host: str) -> str:
    return (
        f"the machine {host} does not see the sweep's folder, so that its run folders are sent when they are finished, "
        "and a trial that is stopped there begins anew"
    )


def run_in_own_folder(payload: tuple[JobFunction, str, tuple[Any, ...]], send_report: SendReport) -> Sent:
    """Runs a trial in its run folder, or in a temporary one where this machine does not see the sweep's folder.

    Args:
        payload: the trial's function, the digest of the sweep's plan, and the payload of the function.
        send_report: see `JobFunction`.
    """
    function, digest, (path, *rest) = payload
    host, folder = socket.gethostname(), Path(path)
    plan = SweepFolder(folder.parents[1]).plan_file
    if plan.is_file() and durable.digest(plan) == digest:
        _wait_for_lost_attempt(folder)
        return Sent(function((path, *rest), send_report), None, host)
    with TemporaryDirectory(prefix="tenfold-trial-") as place:
        own = Path(place) / folder.name
        value = function((str(own), *rest), send_report)
        return Sent(value, packed(own), host)


def _wait_for_lost_attempt(folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while is_locked(folder) and time.monotonic() < deadline:
        time.sleep(0.2)


def packed(folder: Path) -> bytes:
    """Returns the files of a folder as an uncompressed tar file."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != ".lock":
                archive.add(path, path.relative_to(folder).as_posix(), recursive=False)
    return content.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Makes a folder of a tar file, which appears when it is complete; it replaces an unfinished attempt.

    Raises:
        StorageError: when writing fails.
    """
    if folder.exists():
        with storage_errors("replace", folder):
            rmtree(folder)
    with durable.new_folder(folder) as temporary, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(temporary, filter="data")
