"""The options of a training in several processes, and which of these prints an error."""

import pytest

from tenfold.cli.launching import prefix_of, wanted_launch
from tenfold.cli.main import main
from tenfold.core.errors import ProcessLost, RunError, Terminated, TrainingError, UsageError
from tenfold.core.world import LAUNCH_ID, Launch

_TORCHRUN = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--max-restarts 1", "--max-restarts was given without --processes"),
        ("--processes two", "--processes is 'two'; expected a number from 1, or gpu"),
        ("--processes 0", "--processes is '0'"),
        ("--processes 2 --seeds 3", "--processes and --seeds were both given"),
        ("--processes 2 --folds 3", "--processes and --folds were both given"),
        ("--processes 2 --budget 60s", "--processes and --budget were both given"),
        ("--processes 2 --node-rank 1", "--node-rank 1 was given without --nodes"),
        ("--processes 2 --nodes 2", "--node-rank is missing; expected a number from 0 to 1"),
        ("--processes 2 --nodes 2 --node-rank 2", "--node-rank is 2; expected a number from 0 to 1"),
        ("--processes 2 --nodes 2 --node-rank 0", "--rendezvous is missing; expected HOST:PORT"),
        ("--processes 2 --nodes 2 --node-rank 0 --rendezvous a", "--rendezvous is 'a'; expected HOST:PORT"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_mistake_in_the_recipe_starts_no_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--processes", "2", "--set", "train.epochs=3"]) == 1
    assert capsys.readouterr().err.count("unknown key 'train.epochs'") == 1


def test_the_options_say_what_to_start() -> None:
    assert wanted_launch("gpu", None, None, None, None) == Launch("gpu")
    assert wanted_launch(None, None, None, None, None, seeds=3) is None
    assert wanted_launch("8", 2, 4, 3, "node0:29500") == Launch(8, 2, 4, 3, "node0:29500")


def test_a_started_process_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, RANK="0", LOCAL_RANK="0")
    assert wanted_launch("2", 1, None, None, None) is None
    with pytest.raises(UsageError, match="torchrun has started 2 processes on this machine and --processes is 3"):
        wanted_launch("3", None, None, None, None)


def place(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    """Makes this process one of several."""
    for name, value in (_TORCHRUN | changes).items():
        monkeypatch.setenv(name, value)


def test_one_process_of_each_machine_prints_what_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = RunError("shared")
    everywhere.is_everywhere = True
    place(monkeypatch, RANK="0", LOCAL_RANK="0")
    assert prefix_of(UsageError("x")) == prefix_of(everywhere) == prefix_of(ProcessLost("x")) == "error: "
    assert prefix_of(Terminated("x")) == ""
    place(monkeypatch, RANK="3", LOCAL_RANK="1")
    assert prefix_of(UsageError("x")) is prefix_of(everywhere) is prefix_of(ProcessLost("x")) is None
    assert prefix_of(Terminated("x")) is None
    assert prefix_of(TrainingError("out of memory")) == "error: process 3: "
    place(monkeypatch, RANK="2", LOCAL_RANK="0")
    assert prefix_of(UsageError("on another machine")) == "error: process 2: "
    assert prefix_of(everywhere) == "error: "
    assert prefix_of(Terminated("x")) is None


def test_only_training_is_shared_by_processes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place(monkeypatch, RANK="0", LOCAL_RANK="0")
    assert main(["recipes"]) == 2
    assert "4 processes were started of 'tenfold recipes'; only train shares its work" in capsys.readouterr().err


def test_the_command_that_has_started_the_processes_names_a_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    place(monkeypatch, RANK="0", LOCAL_RANK="0", **{LAUNCH_ID: "x"})
    assert prefix_of(ProcessLost("x")) is None
    assert prefix_of(TrainingError("x")) == "error: "


def test_last_is_looked_up_by_rank_0_alone(monkeypatch: pytest.MonkeyPatch, tmp_path, capsys) -> None:
    from tenfold.cli.last_run import last_of

    monkeypatch.chdir(tmp_path)
    place(monkeypatch, RANK="1", LOCAL_RANK="1")
    assert last_of("run")("last") == "last"
    assert capsys.readouterr().err == ""
