import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tenfold.core.errors import RunError, StorageError
from tenfold.runs import folders
from tenfold.runs.run_folder import RunFolder


def make_run(root: Path, name: str) -> RunFolder:
    run = RunFolder.create(root, "shapes", "quick", name)
    run.recipe.write_text("")
    return run


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(folders.datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Frozen":
            return cls(2025, 1, 2, 3, 4, 5)

    monkeypatch.setattr(folders, "datetime", Frozen)


# Creating


def test_the_default_name_has_dataset_recipe_and_time(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs", "shapes", "quick", None)
    assert re.fullmatch(r"shapes-quick-\d{8}-\d{6}", run.path.name)
    assert run.path.is_dir()


def test_runs_of_the_same_second_are_numbered(tmp_path: Path, one_second: None) -> None:
    names = [RunFolder.create(tmp_path, "shapes", "quick").path.name for _ in range(3)]
    assert names == [f"shapes-quick-20250102-030405{suffix}" for suffix in ("", "-2", "-3")]


def test_several_processes_never_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tenfold.runs.run_folder import RunFolder\n"
        "for _ in range(20): print(RunFolder.create(Path(sys.argv[1]), 'a', 'b').path.name)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    names = [name for process in started for name in process.communicate()[0].split()]
    assert len(set(names)) == len(names) == 60


def test_any_dataset_name_becomes_a_plain_folder_name(tmp_path: Path) -> None:
    for name in ("../my cats\n& dogs/", os.fsdecode(b"\xff\xfe"), "x" * 300, "", "katzenfötos"):
        run = RunFolder.create(tmp_path, name, "quick")
        assert run.path.parent == tmp_path
        assert re.fullmatch(r"[\w.-]+", run.path.name)
    assert RunFolder.create(tmp_path, "mein O\u0308rdner", "quick").path.name.startswith("mein-Ördner-quick-")


def test_an_existing_name_is_an_error(tmp_path: Path) -> None:
    make_run(tmp_path, "mine")
    message = r"mine already exists, and a run is never overwritten; choose another --name, or .*--resume .*mine$"
    with pytest.raises(RunError, match=message):
        RunFolder.create(tmp_path, "shapes", "quick", "mine")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp/a", "a\nb", "a\\b", "con:", os.fsdecode(b"\xff")])
def test_an_invalid_folder_name_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="is not a valid run name; expected a plain folder name"):
        RunFolder.create(tmp_path / "runs", "shapes", "quick", name)
    assert not (tmp_path / "runs").exists()


def test_a_file_instead_of_the_parent_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match=r"cannot create .*runs: it already exists; choose another name"):
        RunFolder.create(tmp_path / "runs", "shapes", "quick")


# Opening


def test_a_run_is_opened_by_its_folder_or_anything_in_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, "mine")
    run.last.write_text("")
    inner = run.checkpoints / "step-00000005"
    inner.mkdir(parents=True)
    (inner / "state.json").write_text("")
    for path in (run.path, run.last, run.recipe, run.checkpoints, inner, inner / "state.json"):
        assert RunFolder.open(path).path.samefile(run.path)


def test_a_mistyped_run_gets_a_suggestion(tmp_path: Path) -> None:
    make_run(tmp_path, "shapes-quick")
    make_run(tmp_path, "other")
    with pytest.raises(RunError, match=r"no run .*shapes-quik; did you mean 'shapes-quick'\? \(newest first: "):
        RunFolder.open(tmp_path / "shapes-quik")
    with pytest.raises(RunError, match=r"no run .*missing/run; no runs in .*missing$"):
        RunFolder.open(tmp_path / "missing" / "run")


def test_another_folder_is_an_error(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "one")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"is not a run folder: recipe\.toml is missing, expected .*choose one: one$"):
        RunFolder.open(tmp_path / "runs")
    with pytest.raises(RunError, match=r"file is not in a run folder"):
        RunFolder.open(tmp_path / "file")


def test_only_opening_for_resume_removes_temporary_files(tmp_path: Path) -> None:
    run = make_run(tmp_path, "mine")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    run.checkpoints.mkdir()
    temporaries = [folder / f".tenfold-tmp-{dead.pid}-0123456789ab" for folder in (run.path, run.checkpoints)]
    for path in temporaries:
        path.mkdir()
    RunFolder.open(run.path)
    assert all(path.exists() for path in temporaries)
    RunFolder.open(run.path, for_resume=True)
    assert not any(path.exists() for path in temporaries)


# Content


def test_the_files_have_their_documented_names() -> None:
    run = RunFolder(Path("runs/mine"))
    names = {
        "recipe": "recipe.toml",
        "env": "env.json",
        "log": "log.jsonl",
        "metrics": "metrics.csv",
        "checkpoints": "checkpoints",
        "last": "last.safetensors",
        "best": "best.safetensors",
        "summary": "summary.json",
        "predictions": "predictions.csv",
        "plots": "plots",
        "report": "report.html",
    }
    assert {name: getattr(run, name).name for name in names} == names


def test_a_run_with_a_summary_is_finished(tmp_path: Path) -> None:
    run = make_run(tmp_path, "mine")
    assert not run.is_finished
    with pytest.raises(RunError, match=r"summary\.json is missing; finish the run: tenfold train --resume .*mine"):
        run.read_summary()
    run.write_summary({"test_accuracy": 0.1 + 0.2})
    assert run.is_finished
    assert run.read_summary() == {"test_accuracy": 0.1 + 0.2}
    run.summary.write_text("[")
    with pytest.raises(RunError, match=r"summary\.json is damaged, expected JSON"):
        run.read_summary()


def test_the_environment_has_versions_hardware_and_command(tmp_path: Path) -> None:
    run = make_run(tmp_path, "mine")
    run.write_environment(["tenfold", "train", "--name", os.fsdecode(b"\xff")], threads=2)
    environment = run.read_environment()
    assert environment["command"] == ["tenfold", "train", "--name", os.fsdecode(b"\xff")]
    assert environment["threads"] == 2
    expected = {"tenfold", "torch", "numpy", "pillow", "python", "platform", "cpu", "cores", "gpu", "git_commit"}
    assert expected <= set(environment)
    assert environment["numpy"].count(".") == 2
    json.loads(run.env.read_text("utf-8"))


def test_the_environment_has_the_version_of_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, installed = make_run(tmp_path, "mine"), tmp_path / "timm-1.2.3.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: timm\nVersion: 1.2.3\n")
    for path, version in (([str(tmp_path), *sys.path], "1.2.3"), ([], None)):
        monkeypatch.setattr(sys, "path", path)
        run.write_environment([])
        assert run.read_environment()["timm"] == version


def test_the_environment_is_written_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "mine")
    monkeypatch.setenv("PATH", str(tmp_path))
    run.write_environment([])
    assert run.read_environment()["git_commit"] is None


def test_a_run_is_locked_until_its_process_dies(tmp_path: Path) -> None:
    run = make_run(tmp_path, "mine")
    code = (
        "import sys, time; from pathlib import Path; from tenfold.runs.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock(): print('locked', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            message = "another process is training in .*mine; wait until it ends, or stop it"
            with pytest.raises(RunError, match=message), run.lock():
                pass
        finally:
            holder.kill()
    with run.lock():
        pass


def test_a_look_at_a_lock_does_not_stop_the_training_that_starts(tmp_path: Path) -> None:
    run, held = make_run(tmp_path, "mine"), threading.Event()

    def look() -> None:
        with FileLock(run.path / ".lock"):
            held.set()
            time.sleep(0.05)

    looking = threading.Thread(target=look)
    looking.start()
    held.wait()
    with run.lock():
        looking.join()


def test_reading_a_run_does_not_import_torch(tmp_path: Path) -> None:
    run = make_run(tmp_path, "mine")
    run.write_metrics([{"step": 1}])
    code = (
        "import sys; from pathlib import Path; from tenfold.runs.run_folder import RunFolder\n"
        "RunFolder.open(Path(sys.argv[1])).read_metrics(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
