"""`tenfold runs`, and the word `last` for the newest run."""

import json
import os
from pathlib import Path

import pytest

import tenfold
from harness.written_runs import written_run, written_sweep
from tenfold.api.runs import list_runs
from tenfold.cli.main import main
from tenfold.core import durable
from tenfold.core.errors import RunError
from tenfold.runs.run_list import named

SPREAD = {"count": 2, "mean": 0.75, "deviation": 0.01, "interval": [0.7, 0.8], "lowest": 0.74, "highest": 0.76}


def started(folder: Path, hour: int, recipe: str | None = None) -> Path:
    """Writes an `env.json` that says when the run was started."""
    durable.write_json(folder / "env.json", {"started_utc": f"2026-01-01T{hour:02}:00:00+00:00", "recipe": recipe})
    return folder


def sweep_with(root: Path, name: str, summary: dict[str, object] | None, **plan: object) -> Path:
    folder = written_sweep(root, name, [None])
    default = {"format_version": 1, "kind": "grid", "recipe": "wide", "trials": 1}
    durable.write_json(folder / "sweep.json", {**default, **plan})
    (folder / "base.toml").write_text('[data]\nsource = "/home/me/shapes"\n', "utf-8")
    if summary is not None:
        durable.write_json(folder / "summary.json", summary)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder; returns its folder of runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_runs_are_listed_newest_first(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started(written_run(here, "shapes-mlp-20260101-120000", "1100"), 1)
    started(written_run(here, "b", "1110"), 3, "quick")
    started(written_run(here, "a", "1000"), 2)
    assert main(["runs"]) == 0
    assert lines_of(capsys)[2:] == [
        "b shapes quick 75.0 % 30.1–95.4 % 3 steps 1.5 s",
        "a shapes – 25.0 % 4.6–69.9 % 3 steps 1.5 s",
        "shapes-mlp-20260101-120000 shapes mlp 50.0 % 15.0–85.0 % 3 steps 1.5 s",
    ]


def test_sweeps_show_mean_and_std_of_seeds_or_the_best(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [{"settings": {"optim.lr": lr}, "test_accuracy": {"mean": lr * 9}} for lr in (0.1, 0.05)]
    best = {"kind": "grid", "best": {"optim.lr": 0.1}, "outcomes": outcomes, "seconds": 65.0}
    started(sweep_with(here, "grid", best, trials=2), 2)
    seeds = {"kind": "seeds", "best": {}, "outcomes": [], "test_accuracy": SPREAD, "seconds": 9.0}
    started(sweep_with(here, "seeds", seeds, kind="seeds", trials=2), 1)
    started(sweep_with(here, "waiting", None, trials=8), 0)
    assert main(["runs"]) == 0
    assert lines_of(capsys)[2:] == [
        "grid shapes wide 90.0 % * – 2 runs 1 min 5 s",
        "seeds shapes wide 75.0 ± 1.0 % 70.0–80.0 % 2 runs 9.0 s",
        "waiting shapes wide stopped – 8 runs –",
        "* best, by test: chosen on the test images, so expect less on new ones",
        "waiting: stopped (0 of 8 trials finished); resume: tenfold sweep --resume runs/waiting",
    ]


def test_stopped_and_failed_runs_say_how_to_go_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = started(written_run(here, "stopped", "10", finished=False), 2)
    (stopped / "checkpoints" / "step-00001200").mkdir(parents=True)
    failed = started(written_run(here, "failed", "10", finished=False), 1)
    (failed / "log.jsonl").write_text('{"event": "loss not finite", "step": 3}\n', "utf-8")
    assert main(["runs"]) == 0
    assert lines_of(capsys)[2:] == [
        "stopped shapes – stopped – 1,200 steps –",
        "failed shapes – failed – 0 steps –",
        "stopped: stopped at step 1,200; resume: tenfold train --resume runs/stopped",
        "failed: failed (the loss was not finite at step 3, at a learning rate of 0.001); "
        "resume: tenfold train --resume runs/failed --lr 0.0001",
    ]


def test_a_line_of_the_log_that_a_kill_cut_off_damages_nothing(here: Path) -> None:
    killed = started(written_run(here, "a", "10", finished=False), 2)
    (killed / "log.jsonl").write_text('{"event": "started"}\n{"event": "ro', "utf-8")
    assert [(each.state, each.resume) for each in list_runs()] == [("stopped", "tenfold train --resume runs/a")]


def test_a_command_to_resume_quotes_the_path(here: Path) -> None:
    written_run(here, "my run", "10", finished=False)
    assert [each.resume for each in list_runs()] == ["tenfold train --resume 'runs/my run'"]


@pytest.mark.parametrize(("status", "state"), [("failed", "failed"), ("pruned", "stopped")])
def test_a_pruned_trial_did_not_fail(status: str, state: str, here: Path) -> None:
    from tenfold.runs.sweep_folder import SweepFolder

    sweep = SweepFolder(sweep_with(here, "sweep", None, kind="search"))
    sweep.record_end(sweep.trials()[0], status, None)
    assert [each.state for each in list_runs()] == [state]


def test_the_best_of_a_sweep_is_marked_where_test_images_chose_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for chosen_by in ("val", "test"):
        outcomes = [{"settings": {}, f"{chosen_by}_accuracy": {"mean": 0.5}}]
        summary = {"kind": "grid", "best": {}, "outcomes": outcomes, "chosen_by": chosen_by}
        sweep_with(here, chosen_by, summary)
    assert {each.name: each.chosen_on_test for each in list_runs()} == {"val": False, "test": True}
    assert main(["runs"]) == 0
    assert sum("50.0 % *" in line for line in lines_of(capsys)) == 1


def test_a_run_that_another_process_trains_is_running(here: Path) -> None:
    from tenfold.runs.run_folder import RunFolder

    run = written_run(here, "a", "10", finished=False)
    with RunFolder(run).lock():
        assert [each.state for each in list_runs()] == ["running"]
    assert [each.state for each in list_runs()] == ["stopped"]


@pytest.mark.parametrize("file", ["summary.json", "recipe.toml", "log.jsonl", "env.json", "sweep.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"{}"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_damaged_folder_is_listed_and_never_ends_the_command(
    file: str, content: bytes, finished: bool, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started(written_run(here, "good", "10"), 1)
    (started(written_run(here, "bad", "10", finished=finished), 2) / file).write_bytes(content)
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert "good" in out
    assert "bad" in out


def test_damage_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (written_run(here, "bad", "10") / "summary.json").write_text("{", "utf-8")
    assert main(["runs"]) == 0
    assert lines_of(capsys)[-1].startswith("bad: damaged (runs/bad/summary.json is damaged, expected JSON;")


def test_damage_names_file_and_value(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written_run(here, "bad", "10") / "summary.json"
    summary = json.loads(file.read_bytes())
    for interval, found in ((5, "a value is not as expected"), (None, "'test_interval' is missing")):
        summary["test_interval"] = interval
        durable.write_json(file, {key: value for key, value in summary.items() if value is not None})
        assert main(["runs"]) == 0
        line = f"bad: damaged (runs/bad/summary.json is damaged: {found}; restore it from a copy)"
        assert lines_of(capsys)[-1] == line


def test_a_run_without_a_recipe_is_listed_and_is_not_the_last(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = started(written_run(here, "good", "10"), 1), started(written_run(here, "bad", "10"), 2)
    (bad / "recipe.toml").unlink()
    (bad / "last.safetensors").touch()
    assert main(["runs"]) == 0
    line = "bad: damaged (runs/bad/recipe.toml is missing; restore it from a copy)"
    assert lines_of(capsys)[-1] == line
    assert named(Path("last"), "run").name == good.name


def test_the_list_as_json_is_all_that_is_printed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started(written_run(here, "a", "1100"), 1, "quick")
    assert main(["runs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["path"], found["state"], found["accuracy"], found["recipe"]) == (
        *("a", "runs/a", "finished", 0.5, "quick"),
    )
    assert found["started"] == "2026-01-01T01:00:00+00:00"


def test_without_runs_a_line_says_how_to_make_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 1
    assert "no folder runs; expected a folder of runs, which `tenfold train` makes" in capsys.readouterr().err
    here.mkdir()
    (here / "notes").mkdir()
    assert main(["runs"]) == 0
    assert lines_of(capsys) == ["no runs in runs; make one: tenfold train"]


def test_the_recipe_of_a_new_run_is_in_the_list(here: Path) -> None:
    from harness.runs import tiny_run

    tiny_run(here, "mine", overrides=["train.duration=1 steps"])
    assert [each.recipe for each in list_runs()] == ["mlp"]


# The name `last`


def test_last_is_the_newest_run_by_its_start(here: Path) -> None:
    old, new = (started(written_run(here, name, "10"), hour) for name, hour in (("z", 1), ("a", 2)))
    os.utime(old)
    sweep = started(sweep_with(here, "sweep", None), 3)
    assert named(Path("last"), "run").samefile(new)
    assert named(Path("last"), "run", "sweep").samefile(sweep)
    assert named(Path("other"), "run") == Path("other")


def test_without_a_start_time_the_change_of_the_folder_counts(here: Path) -> None:
    for name, second in (("z", 100), ("a", 200)):
        os.utime(written_run(here, name, "10"), (second, second))
    assert named(Path("last"), "run").name == "a"


def test_a_file_or_folder_named_last_wins(here: Path) -> None:
    written_run(here, "a", "10")
    Path("last").mkdir()
    assert named(Path("last"), "run") == Path("last")


def test_last_without_runs_is_an_error(here: Path) -> None:
    with pytest.raises(RunError, match="'last' is the newest sweep in runs, and there is none; make one with tenfold"):
        named(Path("last"), "sweep")


def test_commands_say_which_run_last_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, hour in (("a", 1), ("b", 2)):
        started(written_run(here, name, "1100"), hour)
    assert main(["compare", "runs/a", "last", "--no-files"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "last is runs/b\n"
    assert "b vs a" in captured.out


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "last", "x.jpg"],
        ["eval", "last"],
        ["export", "last"],
        ["report", "last"],
        ["train", "--resume", "last", "--set", "optim.lr=1"],
        ["check", "shapes", "--run", "last"],
        ["summary", "last", "--set", "x=1"],
        ["show", "shapes", "--recipe", "last", "--set", "x=1"],
        ["suspects", "shapes", "--recipe", "last", "--set", "x=1"],
    ],
)
def test_last_is_accepted_wherever_a_run_is(
    words: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started(written_run(here, "a", "10", finished=False), 1)
    monkeypatch.setattr("tenfold.api.report.report", lambda run, **_: run)
    monkeypatch.setattr("tenfold.api.check.check", _raise_of_run)
    main(words)
    assert capsys.readouterr().err.startswith("last is runs/a\n")


def _raise_of_run(source: str, run: Path, **_: object) -> None:
    raise RunError(str(run))


def test_last_of_a_resumed_sweep_is_a_sweep(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started(sweep_with(here, "sweep", None), 1)
    started(written_run(here, "a", "10"), 2)
    assert main(["sweep", "--resume", "last", "--set", "x=1"]) == 2
    assert capsys.readouterr().err.startswith("last is runs/sweep\n")


def test_python_knows_last_too(here: Path) -> None:
    started(written_run(here, "a", "10"), 1)
    with pytest.raises(RunError, match="runs/a holds no model yet"):
        tenfold.load("last")
    with pytest.raises(RunError, match="1 finished run, runs/a"):
        tenfold.compare(["last"])


# Names that do not exist


def test_an_unknown_run_gets_a_near_name_and_the_newest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for hour in range(7):
        started(written_run(here, f"cifar10-{'quick' if hour else 'strong'}-{hour}", "10"), hour)
    assert main(["eval", "runs/cifar10-stong-0"]) == 1
    assert capsys.readouterr().err == (
        "tenfold: error: no run runs/cifar10-stong-0; did you mean 'cifar10-strong-0'? (newest first: "
        "cifar10-quick-6, cifar10-quick-5, cifar10-quick-4, cifar10-quick-3, cifar10-quick-2 and 2 more)\n"
    )
    assert main(["sweep", "--resume", "runs/cifar10-quick-7"]) == 1
    assert "no sweep runs/cifar10-quick-7; did you mean 'cifar10-quick-" in capsys.readouterr().err
