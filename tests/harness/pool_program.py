"""A program that uses the pool: `python -m harness.pool_program WORK FOLDER HOW`, two jobs in two workers."""

import sys
from pathlib import Path

from harness import pool_work
from tenfold.engine.signals import StopRequest
from tenfold.experiments.sweep.pool import Job, run_jobs


def main(work: str, folder: str, how: str) -> None:
    jobs = iter([Job("a", Path(folder)), Job("b", Path(folder)), Job("never", Path(folder))])
    with StopRequest() as stop:
        outcomes = run_jobs(
            lambda: next(jobs, None),
            getattr(pool_work, work),
            workers=2,
            stopping=lambda: stop.received is not None and how == "orderly",
        )
        if how == "raise":
            kept.append(outcomes)
            next(outcomes)
            raise ValueError("the program fails")
        for outcome in outcomes:
            print(outcome.key, outcome.result, outcome.error)
    print("ended by", stop.received)


kept: list[object] = []
if __name__ == "__main__":
    main(*sys.argv[1:])
