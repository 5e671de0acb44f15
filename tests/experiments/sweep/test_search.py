"""A search on real storages: what it suggests, what it stores, and what a kill leaves."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from harness.skip_rule import OTHER_SYSTEM
from tenfold.core.errors import RecipeError, StorageError, UsageError
from tenfold.experiments.sweep.distributions import parse_search
from tenfold.experiments.sweep.search import Search, Suggestion

LINES = ("optim.lr=log:1e-4..1", "train.batch_size=log:16..512", "optim.name=sgd,muon", "model.hidden=[64],[32,64]")
SPACE = dict(map(parse_search, LINES))


@pytest.fixture
def storage() -> Iterator[Path]:
    """Path of a database, in memory where the system has such a folder: syncing is free there."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder) / "study.db"


def open_search(storage: str | Path, sweep: str = "mine", **options: Any) -> closing[Search]:
    return closing(Search(options.pop("space", SPACE), storage=storage, sweep=sweep, **options))


def accuracy(suggestion: Suggestion) -> float:
    """Returns an accuracy that is highest at a learning rate of 0.1."""
    lr = suggestion.settings["optim.lr"]
    assert isinstance(lr, float)
    return 1 - abs(lr - 0.1)


def run_trials(search: Search, count: int) -> list[Suggestion]:
    suggestions = []
    for _ in range(count):
        suggestions.append(search.ask())
        search.tell(suggestions[-1].number, accuracy(suggestions[-1]))
    return suggestions


def run_process(body: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `body` in a new process, with the search space as SPACE and the arguments in sys.argv."""
    head = (
        "import os, signal, sys\nfrom tenfold.experiments.sweep.distributions import parse_search\n"
        f"from tenfold.experiments.sweep.search import Search\nLINES = {LINES!r}\n"
    )
    code = f"{head}SPACE = dict(map(parse_search, LINES))\n{textwrap.dedent(body)}"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_suggestions_are_in_the_space_with_the_types_of_the_recipe(storage: Path) -> None:
    with open_search(storage) as search:
        for suggestion in run_trials(search, 15):
            settings = suggestion.settings
            assert list(settings) == list(SPACE)
            assert isinstance(settings["optim.lr"], float)
            assert 1e-4 <= settings["optim.lr"] <= 1
            assert isinstance(settings["train.batch_size"], int)
            assert 16 <= settings["train.batch_size"] <= 512
            assert settings["optim.name"] in ("sgd", "muon")
            assert settings["model.hidden"] in ([64], [32, 64])


def test_a_range_with_a_step_suggests_only_its_multiples(storage: Path) -> None:
    with open_search(storage, space=dict([parse_search("optim.momentum=0.1..0.5..0.2")])) as search:
        found = {str(search.ask().settings["optim.momentum"]) for _ in range(12)}
    assert found == {"0.1", "0.3", "0.5"}


def test_a_search_one_trial_at_a_time_is_reproducible_after_resumes(tmp_path: Path) -> None:
    with open_search("sqlite://") as search:
        uninterrupted = run_trials(search, 14)  # the first ten are random
    resumed: list[Suggestion] = []
    for _ in range(7):
        with open_search(tmp_path / "study.db") as search:
            resumed += run_trials(search, 2)
    assert resumed == uninterrupted
    with open_search("sqlite://", seed=1) as search:
        assert run_trials(search, 1) != uninterrupted[:1]


def test_suggestions_improve_with_reported_accuracies(storage: Path) -> None:
    with open_search(storage) as search:
        suggestions = run_trials(search, 30)
        random, fitted = suggestions[:10], suggestions[20:]
        best = search.best()
    assert sum(map(accuracy, fitted)) > sum(map(accuracy, random))
    assert best is not None
    assert best == (max(suggestions, key=accuracy), max(map(accuracy, suggestions)))


def test_the_earliest_of_equal_trials_is_best_and_none_before_one_finishes(storage: Path) -> None:
    with open_search(storage) as search:
        first, second, third = (search.ask() for _ in range(3))
        assert search.best() is None
        search.tell(third.number, state="failed")
        search.tell(second.number, 0.5)
        search.tell(first.number, 0.5)
        assert search.best() == (first, 0.5)


def test_pruned_and_failed_trials_count_and_stay_ended(storage: Path) -> None:
    with open_search(storage) as search:
        numbers = [search.ask().number for _ in range(4)]
        search.tell(numbers[0], 0.5)
        search.report(numbers[1], 1, 0.4)
        search.tell(numbers[1], state="pruned")
        search.tell(numbers[2], state="failed")
        assert (search.num_started, search.num_ended) == (4, 3)
        search.tell(numbers[2], 0.9)  # reported again after a kill
        assert search.best() == (search.best()[0], 0.5)  # type: ignore[index]
    with open_search(storage) as search:
        assert (search.num_started, search.num_ended) == (4, 3)
        assert [suggestion.number for suggestion in search.unfinished()] == numbers[3:]
        assert search.ask().number == 4


def test_a_trial_below_the_median_is_pruned_after_its_warmup(storage: Path) -> None:
    with open_search(storage, warmup=2) as search:
        for good in (0.5, 0.6, 0.7, 0.8, 0.9):
            number = search.ask().number
            assert not any(search.report(number, epoch, good) for epoch in range(1, 5))
            search.tell(number, good)
        bad, better = search.ask().number, search.ask().number
        assert [search.report(bad, epoch, 0.1) for epoch in range(1, 5)] == [False, False, True, True]
        assert not any(search.report(better, epoch, 0.75) for epoch in range(1, 5))


def test_no_trial_is_pruned_if_pruning_is_off(storage: Path) -> None:
    with open_search(storage, prune=False) as search:
        for good in (0.5, 0.6, 0.7, 0.8, 0.9):
            number = search.ask().number
            search.report(number, 5, good)
            search.tell(number, good)
        assert not search.report(search.ask().number, 5, 0.0)


def test_an_epoch_trained_again_after_a_kill_is_reported_again(storage: Path) -> None:
    with open_search(storage) as search:
        number = search.ask().number
        assert not search.report(number, 1, 0.2)
    with open_search(storage) as search:
        assert not search.report(number, 1, 0.3)
        search.tell(number, 0.3)
        assert search.num_ended == 1


def test_a_kill_neither_loses_nor_duplicates_a_trial(storage: Path) -> None:
    killed = run_process(
        """
        search = Search(SPACE, storage=__import__("pathlib").Path(sys.argv[1]), sweep="mine")
        search.tell(search.ask().number, 0.5)
        for _ in range(2):
            print(search.ask(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        storage,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with open_search(storage, sweep="another") as search:
        assert search.unfinished() == []
    with open_search(storage) as search:
        assert (search.num_started, search.num_ended) == (3, 1)
        again = search.unfinished()
        assert "".join(f"{suggestion}\n" for suggestion in again) == killed.stdout
        for suggestion in again:
            search.tell(suggestion.number, accuracy(suggestion))
        assert (search.num_started, search.num_ended, search.unfinished()) == (3, 3, [])


def is_killed_while_asking(storage: Path, statements: int) -> bool:
    """Asks for a trial in a process that is killed after so many writes; returns whether it was killed."""
    body = """
        import pathlib
        import sqlalchemy
        left = int(sys.argv[2])
        search = Search(SPACE, storage=pathlib.Path(sys.argv[1]), sweep="mine")
        @sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "before_cursor_execute")
        def count(connection, cursor, statement, *rest):
            global left
            if statement.split()[0] in ("INSERT", "UPDATE"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        search.ask()
        """
    process = run_process(body, storage, statements)
    assert process.returncode in (0, -signal.SIGKILL), process.stderr
    return process.returncode != 0


@pytest.mark.parametrize("statements", [1, 3, 5])
def test_a_kill_while_asking_leaves_a_whole_trial_or_none(storage: Path, statements: int) -> None:
    with open_search(storage) as search:
        search.tell(search.ask().number, 0.5)
    assert is_killed_while_asking(storage, statements)
    with open_search(storage) as search:
        again = search.unfinished()
        assert len(again) == search.num_started - search.num_ended
        assert all(list(suggestion.settings) == list(SPACE) for suggestion in again)
        assert search.unfinished() == again


def test_two_processes_share_a_study_and_run_no_trial_twice(storage: Path) -> None:
    body = """
        search = Search(SPACE, storage=f"sqlite:///{sys.argv[1]}", sweep=sys.argv[2])
        while search.num_started < 8:
            number = search.ask().number
            search.tell(number, 0.5)
            print(number)
        """
    with ThreadPoolExecutor() as pool:
        machines = list(pool.map(lambda name: run_process(body, storage, name), ("a", "b")))
    assert [machine.stderr for machine in machines] == ["", ""]
    numbers = sorted(int(number) for machine in machines for number in machine.stdout.split())
    assert numbers in (list(range(8)), list(range(9)))  # both may ask for the last one at the same moment
    with open_search(storage) as search:
        assert (search.num_started, search.num_ended) == (len(numbers), len(numbers))


def test_a_storage_can_be_in_a_folder_with_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c#{d}%20ü"
    folder.mkdir()
    with open_search(folder / "study.db") as search:
        search.ask()
    assert [path.name for path in folder.iterdir()] == ["study.db"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason=OTHER_SYSTEM)
def test_no_connection_stays_open(storage: Path) -> None:
    with open_search(storage) as search:
        run_trials(search, 1)
    with pytest.raises(RecipeError):
        open_search(storage, space={})
    open_files = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert str(storage) not in open_files


def test_optuna_prints_nothing(storage: Path) -> None:
    quiet = run_process(
        """
        search = Search(SPACE, storage=f"sqlite:///{sys.argv[1]}", sweep="mine")
        search.tell(search.ask().number, 0.5)
        search.tell(search.ask().number, state="failed")
        Search(SPACE, storage=f"sqlite:///{sys.argv[1]}", sweep="mine").ask()
        """,
        storage,
    )
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_a_study_with_another_space_is_refused(storage: Path) -> None:
    with open_search(storage):
        pass
    with pytest.raises(
        RecipeError, match=r"^the study 'search' in .*study\.db searches optim\.lr=log:0\.0001\.\.1\.0 "
    ):
        open_search(storage, space=dict([parse_search("optim.lr=0.1..1")]))
    with open_search(storage, space=dict([parse_search("optim.lr=0.1..1")]), study="another") as search:
        assert search.num_started == 0


def test_a_study_that_tenfold_did_not_create_is_refused(storage: Path) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    database = optuna.storages.RDBStorage(f"sqlite:///{storage}")
    optuna.create_study(storage=database, study_name="search")
    database.engine.dispose()
    with pytest.raises(RecipeError, match=r"^the study 'search' in .* searches something else; give it the same"):
        open_search(storage)


def corrupt_file(folder: Path) -> Path:
    (folder / "garbage.db").write_bytes(b"no database" * 1000)
    return folder / "garbage.db"


def file_of_a_newer_optuna(folder: Path) -> Path:
    with open_search(folder / "study.db"):
        pass
    with closing(sqlite3.connect(folder / "study.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        database.commit()
    return folder / "study.db"


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (corrupt_file, r"garbage\.db: file is not a database; fix it and run again$"),
        (file_of_a_newer_optuna, r"study\.db: The runtime optuna version .* is no longer compatible"),
        (lambda folder: folder / "none" / "study.db", r"study\.db: unable to open database file; fix it"),
        (lambda folder: "study.db", r"study\.db: Could not parse SQLAlchemy URL"),
        (lambda folder: "foo://x", r"foo://x: Can't load plugin: sqlalchemy\.dialects:foo"),
        (lambda folder: "postgresql://me:secret@host:port/x", r"postgresql://…@host:port/x: invalid literal"),
    ],
)
def test_an_unusable_storage_is_refused_in_one_line(
    tmp_path: Path, storage: Callable[[Path], str | Path], message: str
) -> None:
    with pytest.raises(StorageError, match=f"^the search cannot use its storage .*{message}") as caught:
        open_search(storage(tmp_path))
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)


def test_a_storage_that_fails_later_is_reported_in_one_line(storage: Path) -> None:
    with open_search(storage) as search:
        number = search.ask().number
        with closing(sqlite3.connect(storage)) as database:
            database.execute("DROP TABLE trial_intermediate_values")
            database.commit()
        with pytest.raises(StorageError, match=r"study\.db: no such table: trial_intermediate_values; fix it"):
            search.report(number, 1, 0.5)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(
        StorageError, match=r"postgresql\+psycopg2://…@host/x needs the Python module 'psycopg2'; run: "
    ):
        open_search("postgresql+psycopg2://me:secret@host/x")


def test_without_optuna_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, storage: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"needs Optuna, which is not installed; run: pip install -e '\.\[search\]'$"):
        open_search(storage)


def test_importing_the_search_does_not_import_optuna() -> None:
    done = run_process("print('optuna' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")
