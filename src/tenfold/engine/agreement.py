"""What the processes of a run agree on after each step: whether a signal ends it, and one clock."""

from tenfold.engine.distributed import Processes
from tenfold.engine.signals import StopRequest
from tenfold.engine.times import RunTimes


def agree(processes: Processes, stop: StopRequest, times: RunTimes | None = None) -> None:
    """Lets all processes stop after the same step, and follow the clock of rank 0. Alone, nothing happens."""
    if not processes.is_several:
        return
    measured = (0.0, 0.0) if times is None else times.measured()
    by_rank = processes.exchange([stop.received or 0, *measured])
    stop.agree(int(max(number for number, *_ in by_rank)) or None)
    if times is not None:
        times.agree(*by_rank[0][1:])
