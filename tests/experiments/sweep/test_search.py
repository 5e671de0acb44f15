"""A search on real storages: what it proposes, what it remembers, and what a kill leaves."""

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

from tenfold.core.errors import RecipeError, StorageError, UsageError
from tenfold.experiments.sweep.distributions import parse_search
from tenfold.experiments.sweep.search import Search, Suggestion

LINES = ("optim.lr=log:1e-4..1", "train.batch_size=log:16..512", "optim.name=sgd,muon", "model.hidden=[64],[32,64]")
SPACE = dict(map(parse_search, LINES))


@pytest.fixture
def storage() -> Iterator[Path]:
    """A database in memory where there is one, for syncing it costs nothing there."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder) / "study.db"


def opened(storage: str | Path, sweep: str = "mine", **options: Any) -> closing[Search]:
    return closing(Search(options.pop("space", SPACE), storage=storage, sweep=sweep, **options))


def accuracy(suggestion: Suggestion) -> float:
    """Is best at a learning rate of 0.1."""
    lr = suggestion.settings["optim.lr"]
    assert isinstance(lr, float)
    return 1 - abs(lr - 0.1)


def run_trials(search: Search, count: int) -> list[Suggestion]:
    suggestions = []
    for _ in range(count):
        suggestions.append(search.ask())
        search.tell(suggestions[-1].number, accuracy(suggestions[-1]))
    return suggestions


def in_process(body: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `body` in a process of its own, which finds LINES's space as SPACE and its arguments in sys.argv."""
    head = (
        "import os, signal, sys\nfrom tenfold.experiments.sweep.distributions import parse_search\n"
        f"from tenfold.experiments.sweep.search import Search\nLINES = {LINES!r}\n"
    )
    code = f"{head}SPACE = dict(map(parse_search, LINES))\n{textwrap.dedent(body)}"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_proposals_lie_in_the_space_and_have_the_types_of_the_recipe(storage: Path) -> None:
    with opened(storage) as search:
        for suggestion in run_trials(search, 15):
            settings = suggestion.settings
            assert list(settings) == list(SPACE)
            assert isinstance(settings["optim.lr"], float)
            assert 1e-4 <= settings["optim.lr"] <= 1
            assert isinstance(settings["train.batch_size"], int)
            assert 16 <= settings["train.batch_size"] <= 512
            assert settings["optim.name"] in ("sgd", "muon")
            assert settings["model.hidden"] in ([64], [32, 64])


def test_a_step_is_kept_to(storage: Path) -> None:
    with opened(storage, space=dict([parse_search("optim.momentum=0.1..0.5..0.2")])) as search:
        found = {str(search.ask().settings["optim.momentum"]) for _ in range(12)}
    assert found == {"0.1", "0.3", "0.5"}


def test_one_trial_at_a_time_repeats_itself_exactly_however_often_the_search_is_resumed(tmp_path: Path) -> None:
    with opened("sqlite://") as search:
        unbroken = run_trials(search, 14)  # more than the ten that are drawn at random
    resumed: list[Suggestion] = []
    for _ in range(7):
        with opened(tmp_path / "study.db") as search:
            resumed += run_trials(search, 2)
    assert resumed == unbroken
    with opened("sqlite://", seed=1) as search:
        assert run_trials(search, 1) != unbroken[:1]


def test_proposals_learn_from_what_was_told(storage: Path) -> None:
    with opened(storage) as search:
        suggestions = run_trials(search, 30)
        drawn, learnt = suggestions[:10], suggestions[20:]
        best = search.best()
    assert sum(map(accuracy, learnt)) > sum(map(accuracy, drawn))
    assert best is not None
    assert best == (max(suggestions, key=accuracy), max(map(accuracy, suggestions)))


def test_the_earliest_of_equals_is_best_and_nothing_is_before_a_trial_has_finished(storage: Path) -> None:
    with opened(storage) as search:
        first, second, third = (search.ask() for _ in range(3))
        assert search.best() is None
        search.tell(third.number, state="failed")
        search.tell(second.number, 0.5)
        search.tell(first.number, 0.5)
        assert search.best() == (first, 0.5)


def test_pruned_and_failed_trials_count_and_stay_ended(storage: Path) -> None:
    with opened(storage) as search:
        numbers = [search.ask().number for _ in range(4)]
        search.tell(numbers[0], 0.5)
        search.report(numbers[1], 1, 0.4)
        search.tell(numbers[1], state="pruned")
        search.tell(numbers[2], state="failed")
        assert (search.begun, search.finished) == (4, 3)
        search.tell(numbers[2], 0.9)  # told again, after a kill
        assert search.best() == (search.best()[0], 0.5)  # type: ignore[index]
    with opened(storage) as search:
        assert (search.begun, search.finished) == (4, 3)
        assert [suggestion.number for suggestion in search.unfinished()] == numbers[3:]
        assert search.ask().number == 4


def test_a_trial_behind_the_others_is_given_up_but_not_in_its_warm_up(storage: Path) -> None:
    with opened(storage, warmup=2) as search:
        for good in (0.5, 0.6, 0.7, 0.8, 0.9):
            number = search.ask().number
            assert not any(search.report(number, epoch, good) for epoch in range(1, 5))
            search.tell(number, good)
        bad, better = search.ask().number, search.ask().number
        assert [search.report(bad, epoch, 0.1) for epoch in range(1, 5)] == [False, False, True, True]
        assert not any(search.report(better, epoch, 0.75) for epoch in range(1, 5))


def test_nothing_is_given_up_where_pruning_is_off(storage: Path) -> None:
    with opened(storage, prune=False) as search:
        for good in (0.5, 0.6, 0.7, 0.8, 0.9):
            number = search.ask().number
            search.report(number, 5, good)
            search.tell(number, good)
        assert not search.report(search.ask().number, 5, 0.0)


def test_an_epoch_that_is_trained_again_after_a_kill_is_reported_again(storage: Path) -> None:
    with opened(storage) as search:
        number = search.ask().number
        assert not search.report(number, 1, 0.2)
    with opened(storage) as search:
        assert not search.report(number, 1, 0.3)
        search.tell(number, 0.3)
        assert search.finished == 1


def test_a_killed_process_loses_and_doubles_no_trial(storage: Path) -> None:
    killed = in_process(
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
    with opened(storage, sweep="of another machine") as search:
        assert search.unfinished() == []
    with opened(storage) as search:
        assert (search.begun, search.finished) == (3, 1)
        again = search.unfinished()
        assert "".join(f"{suggestion}\n" for suggestion in again) == killed.stdout
        for suggestion in again:
            search.tell(suggestion.number, accuracy(suggestion))
        assert (search.begun, search.finished, search.unfinished()) == (3, 3, [])


def killed_while_asking(storage: Path, statements: int) -> bool:
    """Asks for a trial in a process that is killed when it has changed so many rows; returns whether it was."""
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
    process = in_process(body, storage, statements)
    assert process.returncode in (0, -signal.SIGKILL), process.stderr
    return process.returncode != 0


@pytest.mark.parametrize("statements", [1, 3, 5])
def test_a_kill_in_the_middle_of_asking_leaves_a_whole_trial_or_none(storage: Path, statements: int) -> None:
    with opened(storage) as search:
        search.tell(search.ask().number, 0.5)
    assert killed_while_asking(storage, statements)
    with opened(storage) as search:
        again = search.unfinished()
        assert len(again) == search.begun - search.finished
        assert all(list(suggestion.settings) == list(SPACE) for suggestion in again)
        assert search.unfinished() == again


def test_two_processes_share_one_study_without_taking_a_trial_twice(storage: Path) -> None:
    body = """
        search = Search(SPACE, storage=f"sqlite:///{sys.argv[1]}", sweep=sys.argv[2])
        while search.begun < 8:
            number = search.ask().number
            search.tell(number, 0.5)
            print(number)
        """
    with ThreadPoolExecutor() as pool:
        machines = list(pool.map(lambda name: in_process(body, storage, name), ("a", "b")))
    assert [machine.stderr for machine in machines] == ["", ""]
    numbers = sorted(int(number) for machine in machines for number in machine.stdout.split())
    assert numbers in (list(range(8)), list(range(9)))  # both may ask for the last at the same moment
    with opened(storage) as search:
        assert (search.begun, search.finished) == (len(numbers), len(numbers))


def test_a_storage_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a b?c#{d}%20ü"
    folder.mkdir()
    with opened(folder / "study.db") as search:
        search.ask()
    assert [path.name for path in folder.iterdir()] == ["study.db"]


def test_optuna_says_nothing(storage: Path) -> None:
    quiet = in_process(
        """
        search = Search(SPACE, storage=f"sqlite:///{sys.argv[1]}", sweep="mine")
        search.tell(search.ask().number, 0.5)
        search.tell(search.ask().number, state="failed")
        Search(SPACE, storage=f"sqlite:///{sys.argv[1]}", sweep="mine").ask()
        """,
        storage,
    )
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_a_study_that_searches_something_else_is_refused(storage: Path) -> None:
    with opened(storage):
        pass
    with pytest.raises(
        RecipeError, match=r"^the study 'search' in .*study\.db searches optim\.lr=log:0\.0001\.\.1\.0 "
    ):
        opened(storage, space=dict([parse_search("optim.lr=0.1..1")]))
    with opened(storage, space=dict([parse_search("optim.lr=0.1..1")]), study="another") as search:
        assert search.begun == 0


def test_a_study_of_somebody_else_is_refused(storage: Path) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(storage=f"sqlite:///{storage}", study_name="search")
    with pytest.raises(RecipeError, match=r"^the study 'search' in .* searches something else; give it the same"):
        opened(storage)


def garbage(folder: Path) -> Path:
    (folder / "garbage.db").write_bytes(b"no database" * 1000)
    return folder / "garbage.db"


def of_the_future(folder: Path) -> Path:
    with opened(folder / "study.db"):
        pass
    with closing(sqlite3.connect(folder / "study.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        database.commit()
    return folder / "study.db"


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (garbage, r"garbage\.db: file is not a database; put it right and run again$"),
        (of_the_future, r"study\.db: The runtime optuna version .* is no longer compatible"),
        (lambda folder: folder / "none" / "study.db", r"study\.db: unable to open database file; put it right"),
        (lambda folder: "study.db", r"study\.db: Could not parse SQLAlchemy URL"),
        (lambda folder: "foo://x", r"foo://x: Can't load plugin: sqlalchemy\.dialects:foo"),
        (lambda folder: "postgresql://me:secret@host:port/x", r"postgresql://…@host:port/x: invalid literal"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, storage: Callable[[Path], str | Path], message: str
) -> None:
    with pytest.raises(StorageError, match=f"^the search cannot use its storage .*{message}") as caught:
        opened(storage(tmp_path))
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)


def test_a_storage_that_fails_later_is_refused_in_one_line(storage: Path) -> None:
    with opened(storage) as search:
        number = search.ask().number
        with closing(sqlite3.connect(storage)) as database:
            database.execute("DROP TABLE trial_intermediate_values")
            database.commit()
        with pytest.raises(StorageError, match=r"study\.db: no such table: trial_intermediate_values; put it right"):
            search.report(number, 1, 0.5)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(
        StorageError, match=r"postgresql\+psycopg2://…@host/x needs the Python module 'psycopg2'; run: "
    ):
        opened("postgresql+psycopg2://me:secret@host/x")


def test_without_optuna_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, storage: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        UsageError, match=r"needs Optuna, which is not installed; run: pip install 'tenfold\[search\]'$"
    ):
        opened(storage)


def test_reading_a_search_needs_no_optuna() -> None:
    done = in_process("print('optuna' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")
