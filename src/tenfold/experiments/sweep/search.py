"""Optuna's proposals for a search, kept where a killed search finds them again."""

import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from tenfold.core.errors import RecipeError, StorageError, UsageError
from tenfold.experiments.sweep.distributions import Distribution
from tenfold.experiments.sweep.values import Value

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

_SWEEP, _SPACE = "tenfold:sweep", "tenfold:space"
_DRIVERS = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}


@dataclass(frozen=True)
class Suggestion:
    """What a trial is to try.

    Args:
        number: of the trial, counted from 0 over all sweeps that share the study.
        settings: values by dotted key.
    """

    number: int
    settings: dict[str, Value]


class Search:
    """A study of Optuna that proposes trials and keeps what became of them; safe to share between machines.

    Proposals come from a tree-structured Parzen estimator, which is seeded anew for each trial. So a search that
    runs one trial at a time repeats itself exactly, also where it was killed and resumed in between; with several
    at once, a proposal depends on which others have ended.

    Args:
        space: where each key is searched.
        storage: a SQLite file, or any SQLAlchemy URL.
        sweep: tells this sweep from all others on the study, so that it finds its own trials again.
        study: name of the study in the storage.
        seed: of the proposals, at least 0.
        prune: whether trials may be given up early.
        warmup: epochs of a trial in which it is never given up.

    Raises:
        StorageError: when the storage cannot be reached.
        RecipeError: when the study searches something else.
        UsageError: when Optuna is not installed.

    Optuna: https://arxiv.org/abs/1907.10902
    """

    def __init__(
        self,
        space: Mapping[str, Distribution],
        *,
        storage: str | Path,
        sweep: str,
        study: str = "search",
        seed: int = 0,
        prune: bool = True,
        warmup: int = 1,
    ) -> None:
        _need_optuna()
        import optuna
        from optuna.pruners import MedianPruner, NopPruner

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = dict(space)
        self._sweep, self._seed = sweep, seed
        self._where = _without_password(storage)
        with _in_one_line(self._where):
            database = _patiently(lambda: _open(storage))
            self._close = database.engine.dispose
            self._storage = optuna.storages.get_storage(database)
            self._pruner = MedianPruner(n_warmup_steps=warmup + 1) if prune else NopPruner()
            self._study = _patiently(
                lambda: optuna.create_study(
                    storage=self._storage, study_name=study, direction="maximize", load_if_exists=True
                )
            )
            self._study_id = self._storage.get_study_id_from_name(study)
            _patiently(self._agree_on_space)

    @property
    def begun(self) -> int:
        """Trials of the whole study, whoever runs them and whatever became of them: what a total is compared with.

        Sweeps that ask at the same moment may take the study beyond its total by one trial each.
        """
        return len(self._trials())

    @property
    def finished(self) -> int:
        """Trials of the whole study that have ended, pruned and failed ones included."""
        return sum(trial.state.is_finished() for trial in self._trials())

    def ask(self) -> Suggestion:
        """Returns a new trial, which counts as begun from now on. Raises StorageError."""
        import optuna

        with _in_one_line(self._where):
            # Born with the mark of its sweep: a kill can leave no trial that nobody would take up again.
            marked = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs={_SWEEP: self._sweep})
            trial_id = self._storage.create_new_trial(self._study_id, template_trial=marked)
            return self._suggestion(self._storage.get_trial(trial_id).number)

    def unfinished(self) -> list[Suggestion]:
        """Returns the trials that this sweep began and never ended, with the settings they had. Raises StorageError."""
        with _in_one_line(self._where):
            own = [trial for trial in self._trials() if trial.user_attrs.get(_SWEEP) == self._sweep]
            return [self._suggestion(trial.number) for trial in own if not trial.state.is_finished()]

    def report(self, number: int, epoch: int, accuracy: float) -> bool:
        """Notes how good a running trial is, and returns whether it should be given up.

        It should where its best accuracy so far is below the median of what at least five finished trials had
        at the end of the same epoch.

        Args:
            number: of the trial.
            epoch: that has just ended, from 1; one that is trained again after a kill replaces what was said before.
            accuracy: on validation pictures, in [0, 1].

        Raises:
            StorageError: when the storage fails.
        """
        with _in_one_line(self._where):
            trial_id = self._id(number)
            self._storage.set_trial_intermediate_value(trial_id, epoch, accuracy)
            return self._pruner.prune(self._study, self._storage.get_trial(trial_id))

    def tell(
        self, number: int, accuracy: float | None = None, state: Literal["finished", "pruned", "failed"] = "finished"
    ) -> None:
        """Notes the end of a trial; of a trial that has ended already, nothing changes.

        Args:
            number: of the trial.
            accuracy: on validation pictures, in [0, 1]; needed where it finished, not used elsewhere.
            state: how it ended.

        Raises:
            StorageError: when the storage fails.
        """
        from optuna.trial import TrialState

        ends = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        with _in_one_line(self._where):
            value = accuracy if state == "finished" else None
            self._study.tell(number, value, state=ends[state], skip_if_finished=True)

    def best(self) -> tuple[Suggestion, float] | None:
        """Returns the study's best finished trial and its accuracy, the earliest of equals; None where none finished.

        Raises:
            StorageError: when the storage fails.
        """
        from optuna.trial import TrialState

        with _in_one_line(self._where):
            finished = [trial for trial in self._trials() if trial.state == TrialState.COMPLETE]
            best = max(finished, key=lambda trial: (trial.value, -trial.number), default=None)
            return None if best is None else (self._suggestion(best.number), float(best.value or 0.0))

    def close(self) -> None:
        """Lets go of the storage."""
        self._close()

    def _trials(self) -> "list[optuna.trial.FrozenTrial]":
        with _in_one_line(self._where):
            return self._study.get_trials(deepcopy=False)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _suggestion(self, number: int) -> Suggestion:
        """Returns the settings of a trial, first completing those that a kill kept from being written."""
        import optuna

        self._study.sampler = _sampler(self._seed, number)
        trial = optuna.Trial(self._study, self._id(number))
        return Suggestion(number, {key: searched.propose(trial, key) for key, searched in self._space.items()})

    def _agree_on_space(self) -> None:
        """Writes down what a new study searches; refuses one that searches something else."""
        wanted = {key: str(searched) for key, searched in self._space.items()}
        fresh = not self._trials()  # asked first: whoever adds a trial has written the space before
        known = self._study.user_attrs.get(_SPACE)
        if known is None and fresh and self._study.direction.name == "MAXIMIZE":
            self._study.set_user_attr(_SPACE, wanted)
        elif known != wanted:
            told = "something else" if known is None else " ".join(f"{key}={text}" for key, text in known.items())
            raise RecipeError(
                f"the study '{self._study.study_name}' in {self._where} searches {told}; "
                "give it the same --search, or choose another --storage or another name"
            )


def _need_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UsageError("a search needs Optuna, which is not installed; run: pip install 'tenfold[search]'") from error


def _sampler(seed: int, number: int) -> "optuna.samplers.BaseSampler":
    """Returns a sampler whose draws depend on seed and trial only, however often the search was resumed."""
    import numpy as np
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    mixed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Running trials count as bad ones, so that jobs at once do not all try the same.
        return TPESampler(seed=mixed, multivariate=True, constant_liar=True)


def _open(storage: str | Path) -> "optuna.storages.RDBStorage":
    """Returns the database, with its tables; raises StorageError, or what SQLAlchemy raises."""
    from optuna.storages import RDBStorage
    from sqlalchemy import URL, make_url

    try:
        url = make_url(storage) if isinstance(storage, str) else URL.create("sqlite", database=str(storage))
        # Another process may hold a SQLite file for a moment.
        patience = {"connect_args": {"timeout": 60}} if url.get_backend_name() == "sqlite" else {}
        text = url.render_as_string(hide_password=False)
        return RDBStorage(text.replace("{", "{{").replace("}", "}}"), engine_kwargs=patience)
    except ImportError as error:
        module = getattr(error.__cause__, "name", None) or "of its database"
        raise StorageError(
            f"the search's storage {_without_password(storage)} needs the Python module '{module}'; "
            f"run: pip install {_DRIVERS.get(module, module)}"
        ) from error
    except (RuntimeError, ValueError) as error:  # tables of another version of Optuna, a port that is no number
        raise _refusal(_without_password(storage), error) from error


def _patiently(work: Callable[[], T]) -> T:
    """Does `work` again where another process made the same tables or rows at the same moment."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    for pause in (0.1, 0.2, 0.4, 0.8, 1.6):
        try:
            return work()
        except (StorageInternalError, SQLAlchemyError) as error:
            if not re.search("already exists|unique constraint|duplicate key", f"{error} {error.__cause__}", re.I):
                raise
        time.sleep(pause)
    return work()


def _without_password(storage: str | Path) -> str:
    return re.sub(r"//.*@", "//…@", str(storage))


@contextmanager
def _in_one_line(where: str) -> Iterator[None]:
    """Turns what goes wrong with a storage into a StorageError that names it."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        raise _refusal(where, getattr(cause, "orig", None) or cause or error) from error


def _refusal(where: str, reason: object) -> StorageError:
    line = str(reason).strip().splitlines()[0]
    return StorageError(f"the search cannot use its storage {where}: {line}; put it right and run again")
