"""The launcher: what it says and returns when processes end, are killed or are stopped. They run a line of Python."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenfold.api import launch_agent
from tenfold.api.launch import launch
from tenfold.api.launch_agent import run_agent
from tenfold.core.errors import DeviceError, ProcessLost, TrainingError
from tenfold.core.world import LAUNCH_ID, Launch

_WAIT = "import os, signal, sys, time\nrank, attempt = os.environ['RANK'], os.environ['TORCHELASTIC_RESTART_COUNT']\n"


@pytest.fixture(autouse=True)
def _a_process_of_its_own() -> Iterator[None]:
    """Restores what the launcher changes, which owns its process otherwise."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    handlers = [signal.getsignal(number) for number in numbers]
    environment = dict(os.environ)
    yield
    logging.disable(logging.NOTSET)
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    os.environ.clear()
    os.environ.update(environment)


def run(program: str, *, restarts: int = 0) -> tuple[int, list[str]]:
    """Runs a program in two processes and returns the exit code and what was said."""
    lines: list[str] = []
    code = run_agent(("-S", "-c", _WAIT + program), Launch(2, max_restarts=restarts), 2, lines.append)
    return code, lines


def test_all_processes_meet_on_the_loopback_interface(tmp_path: Path) -> None:
    program = f"open('{tmp_path}/' + rank, 'w').write(os.environ['MASTER_ADDR'] + os.environ['WORLD_SIZE'])"
    assert run(program) == (0, [])
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["127.0.0.12", "127.0.0.12"]


def test_a_killed_process_is_named_and_ends_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    with pytest.raises(ProcessLost, match=r"^process 1 was killed by SIGKILL$"):
        run("os.kill(os.getpid(), signal.SIGKILL) if rank == '1' else time.sleep(60)")
    assert time.monotonic() - started < 30
    assert capfd.readouterr() == ("", "")


def test_a_process_that_ends_without_a_word_is_named() -> None:
    with pytest.raises(ProcessLost, match=r"^process 1 ended with code 3$"):
        run("sys.exit(3 if rank == '1' else 75)")


def test_processes_are_started_again_after_one_was_killed(tmp_path: Path) -> None:
    killed = "os.kill(os.getpid(), signal.SIGKILL) if (rank, attempt) == ('1', '0') else None\n"
    code, lines = run(f"{killed}open('{tmp_path}/' + rank + attempt, 'w')", restarts=2)
    assert code == 0
    assert lines == ["process 1 was killed by SIGKILL; starting again from the last checkpoint (1 of 2)"]
    assert (tmp_path / "11").is_file()


@pytest.mark.parametrize("code", [1, 2, 143])
def test_errors_and_stops_are_not_repeated(code: int) -> None:
    assert run(f"sys.exit({code})", restarts=2) == (code, [])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_reaches_the_processes_which_may_save(tmp_path: Path, number: signal.Signals, code: int) -> None:
    saving = f"lambda number, frame: (time.sleep(0.5), open('{tmp_path}/' + rank, 'w').write(str(number)), sys.exit(0))"
    program = f"signal.signal({int(number)}, {saving})\nopen('{tmp_path}/ready' + rank, 'w')\ntime.sleep(60)"
    threading.Thread(target=_send, args=(tmp_path, number)).start()
    assert run(program) == (code, [])
    assert [(tmp_path / rank).read_text() for rank in "01"] == [str(int(number))] * 2


def _send(folder: Path, number: signal.Signals) -> None:
    """Sends a signal to this process as soon as both programs are ready for theirs."""
    while len(list(folder.glob("ready?"))) < 2:
        time.sleep(0.02)
    os.kill(os.getpid(), number)


def test_a_second_interrupt_kills_processes_that_do_not_end(tmp_path: Path) -> None:
    program = f"signal.signal(2, lambda *_: open('{tmp_path}/ready' + rank + 'x', 'w'))\n"
    program += f"open('{tmp_path}/ready' + rank, 'w')\nwhile True: time.sleep(60)"
    threading.Thread(target=lambda: (_send(tmp_path, signal.SIGINT), time.sleep(0.3), os.kill(os.getpid(), 2))).start()
    started = time.monotonic()
    assert run(program) == (130, [])
    assert time.monotonic() - started < 30


def test_machines_that_do_not_come_are_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_agent, "_RENDEZVOUS_SECONDS", 1)
    wanted = Launch(1, nodes=2, node_rank=1, rendezvous="127.0.0.1:9")
    lines: list[str] = []
    with pytest.raises(TrainingError, match=r"2 machines did not meet at 127\.0\.0\.1:9 within 1 s; expected"):
        run_agent(("-c", ""), wanted, 1, lines.append)
    assert [line.partition(" (")[0] for line in lines] == ["waiting for the other machines at 127.0.0.1:9"]


def test_a_port_that_is_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            TrainingError, match=f"port of --rendezvous {address} is in use on this machine; expected a"
        ):
            run_agent(("-c", ""), Launch(1, nodes=2, node_rank=0, rendezvous=address), 1, lambda line: None)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait_for_other_machines_at_once(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    released, codes = threading.Event(), []
    monkeypatch.setattr(os, "_exit", lambda code: (codes.append(code), released.set()))

    def wait(*_: object) -> None:
        os.kill(os.getpid(), number)
        assert released.wait(30)
        raise TimeoutError

    monkeypatch.setattr(launch_agent.LocalElasticAgent, "_rendezvous", wait)
    with pytest.raises(TrainingError, match="did not meet"):
        run_agent(("-c", ""), Launch(1, nodes=2, node_rank=1, rendezvous="127.0.0.1:9"), 1, lambda line: None)
    assert codes == [code]


def test_the_command_that_goes_on_after_a_kill_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lost(*arguments: object) -> int:
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "recipe.toml").touch()
        (tmp_path / "run" / "env.json").write_text(f'{{"launch": "{os.environ[LAUNCH_ID]}"}}')
        raise ProcessLost("process 1 was killed by SIGKILL")

    monkeypatch.setattr(launch_agent, "run_agent", lost)
    monkeypatch.setattr("tenfold.core.devices.num_cores", lambda: 1)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.raises(TrainingError, match=r"others; go on with: tenfold train --resume \S*run --processes 2$"):
        launch(["train"], Launch(2), print, run=None, runs=tmp_path)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(TrainingError, match=r"--processes gpu --nodes 2 --node-rank 1 --rendezvous node0:29500$"):
        launch(["train"], Launch("gpu", 0, 2, 1, "node0:29500"), print, run=tmp_path / "run", runs=tmp_path)


def test_a_process_for_each_gpu_needs_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(DeviceError, match="finds no GPU; give a number"):
        launch(["train"], Launch("gpu"), print, run=None, runs=tmp_path)
