"""A hyperparameter search with Optuna, whose study is stored so that a killed search can be resumed."""

import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

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
    """The settings of one trial.

    Args:
        number: of the trial, counted from 0 over all sweeps that share the study.
        settings: values by dotted recipe key.
    """

    number: int
    settings: dict[str, Value]


class Search:
    """An Optuna study that suggests trials and stores their results. Several machines can share it.

    Suggestions come from a tree-structured Parzen estimator with a new seed for each trial. A search that runs one
    trial at a time is therefore reproducible, even if it is killed and resumed. With several trials at once, a
    suggestion depends on which others have finished.

    Args:
        space: distribution of each searched recipe key.
        storage: a SQLite file, or any SQLAlchemy URL.
        sweep: identifies this sweep among all that share the study.
        study: name of the study in the storage.
        seed: of the suggestions, at least 0.
        prune: whether trials may be stopped early.
        warmup: number of epochs of a trial before it can be pruned.

    Raises:
        StorageError: when the storage cannot be used.
        RecipeError: when the study has another search space.
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
        _check_optuna()
        import optuna
        from optuna.pruners import MedianPruner, NopPruner

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = dict(space)
        self._sweep, self._seed = sweep, seed
        self._location = _without_password(storage)
        with _storage_errors(self._location):
            database = _retry_on_conflict(lambda: _open(storage))
            self._close = database.engine.dispose
            self._storage = optuna.storages.get_storage(database)
            self._pruner = MedianPruner(n_warmup_steps=warmup + 1) if prune else NopPruner()
            self._study = _retry_on_conflict(
                lambda: optuna.create_study(
                    storage=self._storage, study_name=study, direction="maximize", load_if_exists=True
                )
            )
            self._study_id = self._storage.get_study_id_from_name(study)
            _retry_on_conflict(self._check_space)

    @property
    def num_started(self) -> int:
        """Number of trials of the whole study in any state, those of other sweeps included.

        Sweeps that ask at the same moment may each exceed the total by one trial.
        """
        return len(self._trials())

    @property
    def num_ended(self) -> int:
        """Number of trials of the whole study that have ended: finished, pruned or failed."""
        return sum(trial.state.is_finished() for trial in self._trials())

    def ask(self) -> Suggestion:
        """Starts a new trial and returns its settings. Raises StorageError."""
        import optuna

        with _storage_errors(self._location):
            # The trial carries its sweep from the start, so that a kill cannot leave a trial that no sweep resumes.
            template = optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING, user_attrs={_SWEEP: self._sweep}
            )
            trial_id = self._storage.create_new_trial(self._study_id, template_trial=template)
            return self._suggestion(self._storage.get_trial(trial_id).number)

    def unfinished(self) -> list[Suggestion]:
        """Returns the trials of this sweep that a kill interrupted, with their settings. Raises StorageError."""
        with _storage_errors(self._location):
            own = [trial for trial in self._trials() if trial.user_attrs.get(_SWEEP) == self._sweep]
            return [self._suggestion(trial.number) for trial in own if not trial.state.is_finished()]

    def report(self, number: int, epoch: int, accuracy: float) -> bool:
        """Stores the accuracy of a running trial and returns whether the trial should be pruned.

        It is pruned if its best accuracy so far is below the median accuracy of at least five finished trials at the
        end of the same epoch.

        Args:
            number: of the trial.
            epoch: the epoch that has just ended, from 1. An epoch trained again after a kill replaces its old value.
            accuracy: on the validation split, in [0, 1].

        Raises:
            StorageError: when the storage fails.
        """
        with _storage_errors(self._location):
            trial_id = self._id(number)
            self._storage.set_trial_intermediate_value(trial_id, epoch, accuracy)
            return self._pruner.prune(self._study, self._storage.get_trial(trial_id))

    def tell(
        self, number: int, accuracy: float | None = None, state: Literal["finished", "pruned", "failed"] = "finished"
    ) -> None:
        """Stores how a trial ended. A trial that has already ended does not change.

        Args:
            number: of the trial.
            accuracy: on the validation split, in [0, 1]. Needed for a finished trial, otherwise unused.
            state: how it ended.

        Raises:
            StorageError: when the storage fails.
        """
        from optuna.trial import TrialState

        states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        with _storage_errors(self._location):
            value = accuracy if state == "finished" else None
            self._study.tell(number, value, state=states[state], skip_if_finished=True)

    def best(self) -> tuple[Suggestion, float] | None:
        """Returns the best finished trial of the study and its accuracy, or None. The earliest wins a tie.

        Raises:
            StorageError: when the storage fails.
        """
        from optuna.trial import TrialState

        with _storage_errors(self._location):
            finished = [trial for trial in self._trials() if trial.state == TrialState.COMPLETE]
            best = max(finished, key=lambda trial: (trial.value, -trial.number), default=None)
            return None if best is None else (self._suggestion(best.number), float(best.value or 0.0))

    def close(self) -> None:
        """Closes all connections to the storage."""
        self._close()

    def _trials(self) -> "list[optuna.trial.FrozenTrial]":
        with _storage_errors(self._location):
            return self._study.get_trials(deepcopy=False)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _suggestion(self, number: int) -> Suggestion:
        """Returns the settings of a trial. Settings that were not stored before a kill are suggested again."""
        import optuna

        self._study.sampler = _sampler(self._seed, number)
        trial = optuna.Trial(self._study, self._id(number))
        return Suggestion(number, {key: distribution.suggest(trial, key) for key, distribution in self._space.items()})

    def _check_space(self) -> None:
        """Stores the search space of a new study. Refuses a study with another one."""
        space = {key: str(distribution) for key, distribution in self._space.items()}
        is_new = not self._trials()  # read first: another sweep stores the space before it adds a trial
        stored = self._study.user_attrs.get(_SPACE)
        if stored is None and is_new and self._study.direction.name == "MAXIMIZE":
            self._study.set_user_attr(_SPACE, space)
        elif stored != space:
            found = "something else" if stored is None else " ".join(f"{key}={text}" for key, text in stored.items())
            raise RecipeError(
                f"the study '{self._study.study_name}' in {self._location} searches {found}; "
                "give it the same --search, or choose another --storage or another name"
            )


def _check_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UsageError("a search needs Optuna, which is not installed; run: pip install -e '.[search]'") from error


def _sampler(seed: int, number: int) -> "optuna.samplers.BaseSampler":
    """Returns a sampler that depends only on the seed and the trial number, so that a resumed search repeats itself."""
    import numpy as np
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    trial_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Running trials count as bad ones, so that parallel jobs try different settings.
        return TPESampler(seed=trial_seed, multivariate=True, constant_liar=True)


def _open(storage: str | Path) -> "optuna.storages.RDBStorage":
    """Opens the database and creates its tables. Raises StorageError, or any error of SQLAlchemy."""
    from optuna.storages import RDBStorage
    from sqlalchemy import URL, NullPool, make_url

    try:
        url = make_url(storage) if isinstance(storage, str) else URL.create("sqlite", database=str(storage))
        options: dict[str, Any] = {}
        if url.get_backend_name() == "sqlite":
            options["connect_args"] = {"timeout": 60}  # seconds to wait for another process that has locked the file
            if url.database:
                options["poolclass"] = NullPool  # closes each connection after use, also when opening fails half-way
        text = url.render_as_string(hide_password=False)
        return RDBStorage(text.replace("{", "{{").replace("}", "}}"), engine_kwargs=options)
    except ImportError as error:
        module = getattr(error.__cause__, "name", None) or "of its database"
        raise StorageError(
            f"the search's storage {_without_password(storage)} needs the Python module '{module}'; "
            f"run: pip install {_DRIVERS.get(module, module)}"
        ) from error
    except (RuntimeError, ValueError) as error:  # tables of another Optuna version, a port that is not a number
        raise _storage_error(_without_password(storage), error) from error


def _retry_on_conflict(work: Callable[[], T]) -> T:
    """Calls `work`, again if another process has created the same tables or rows at the same moment."""
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
def _storage_errors(location: str) -> Iterator[None]:
    """Turns errors of the storage into a one-line StorageError that names its location."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        raise _storage_error(location, getattr(cause, "orig", None) or cause or error) from error


def _storage_error(location: str, reason: object) -> StorageError:
    line = str(reason).strip().splitlines()[0]
    return StorageError(f"the search cannot use its storage {location}: {line}; fix it and run again")
