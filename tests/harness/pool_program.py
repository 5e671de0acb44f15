"""A program that uses the pool: `python -m harness.pool_program FUNCTION FOLDER MODE`, two jobs in two workers."""

import sys
from pathlib import Path

from harness import pool_work
from tenfold.engine.signals import StopRequest
from tenfold.experiments.sweep.pool import Job, run_jobs


def main(function: str, folder: str, mode: str) -> None:
    jobs = iter([Job("a", Path(folder)), Job("b", Path(folder)), Job("never", Path(folder))])
    with StopRequest() as stop:
        results = run_jobs(
            lambda: next(jobs, None),
            getattr(pool_work, function),
            num_workers=2,
            should_stop=lambda: stop.received is not None and mode == "orderly",
        )
        if mode == "raise":
            kept.append(results)
            next(results)
            raise ValueError("the program fails")
        for result in results:
            print(result.key, result.value, result.error)
    print("ended by", stop.received)


kept: list[object] = []
if __name__ == "__main__":
    main(*sys.argv[1:])
