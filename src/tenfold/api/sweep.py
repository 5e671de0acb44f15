"""Many runs that belong together: several seeds, a grid of settings, a search."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tenfold.api.data import dataset_of, request_of
from tenfold.api.sweep_results import Sweep, conclude
from tenfold.api.train import settled, tell
from tenfold.api.trial import run_trial
from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.core.disk import shown
from tenfold.core.errors import UsageError
from tenfold.core.progress import Progress, Silent
from tenfold.data.build import DataRequest
from tenfold.data.types import Dataset
from tenfold.engine import preflight
from tenfold.engine.signals import StopRequest
from tenfold.experiments.sweep.distributions import parse_search
from tenfold.experiments.sweep.search import Search
from tenfold.experiments.sweep.space import complete
from tenfold.experiments.sweep.sweep_plan import SweepPlan, plan_sweep, share_cores
from tenfold.experiments.sweep.trials import Listed, Quiet, Searched, Watcher, run_trials
from tenfold.experiments.sweep.values import RECIPE
from tenfold.recipes.load import load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.environment import describe_environment
from tenfold.runs.folders import keep_lists
from tenfold.runs.log import Log
from tenfold.runs.sweep_folder import SweepFolder, Trial

_VALIDATION_SHARE = 0.1
"""Of the training pictures, for a search whose recipe sets none apart."""


def sweep(
    recipe: str | Path | Recipe = "quick",
    *,
    vary: Sequence[str] | Mapping[str, Sequence[Any]] = (),
    search: Sequence[str] = (),
    trials: int | None = None,
    seeds: int | Sequence[int] | None = None,
    data: str | Path | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    runs: str | Path = "runs",
    jobs: int = 0,
    storage: str | None = None,
    prune: bool = True,
    report: bool = True,
    watcher: Watcher | None = None,
    progress: Progress | None = None,
    command: Sequence[str] = (),
) -> Sweep:
    """Trains a recipe many times over: with several seeds, every combination of values, or in search of the best.

    Args:
        recipe: a shipped recipe, a TOML file, or a `Recipe`.
        vary: `"section.key=value,value"` each, or values by dotted key; every combination is tried.
        search: `"section.key=log:1e-4..1"` each; Optuna proposes values, judged on validation pictures only.
        trials: of a search; 20 by default.
        seeds: how many runs of each combination, from the recipe's own seed on, or which.
        data: what `--data` takes; the recipe's own by default.
        overrides: `"section.key=value"` each, for all trials.
        name: of the sweep's folder; made of data, recipe, date and time by default.
        runs: folder in which it is made.
        jobs: trials at once; 0 chooses.
        storage: SQLAlchemy URL of the search's storage; a SQLite file in the sweep's folder by default.
        prune: whether a search gives up trials that fall behind.
        report: whether charts are drawn and `report.html` is written at the end.
        watcher: is told what happens to the trials.
        progress: is told how the pictures are prepared.
        command: for the record.

    Raises:
        TenfoldError: one line that says what was found, what was expected and what to do.

    Example:
        >>> study = tenfold.sweep("wide", vary={"model.width": [30, 90]}, seeds=3)  # doctest: +SKIP
        >>> study.best.settings  # doctest: +SKIP
        {'model.width': 90}
    """
    progress = progress or Silent()
    base = resolve(recipe, overrides) if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    base = base if data is None else resolve(base, {"data.source": str(data)})
    recipe_name = "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem
    plan, listed = plan_sweep(
        base, recipe_name, vary, search, overrides=overrides, seeds=seeds, trials=trials, storage=storage, prune=prune
    )
    on_gpu = choose_device(base.train.device).type != "cpu"
    if plan.search and not base.data.val_fraction:
        base = resolve(base, {"data.val_fraction": _VALIDATION_SHARE})
    pictures = dataset_of(base.data, progress)
    tell(pictures, progress)
    base = settled(base, pictures)
    jobs, threads = share_cores(
        plan.trials, torch.get_num_threads(), jobs=jobs, threads=base.train.threads, on_gpu=on_gpu
    )
    study = "search" if storage is None else name or f"{pictures.name}-{recipe_name}"
    plan = replace(plan, jobs=jobs, threads=threads, study=study)
    if plan.search and not any(key.startswith(("model.", "data.", RECIPE)) for key in plan.search):
        preflight.check_network(base, pictures)  # the same in all trials, which are not known yet
    in_order = _checked(base, plan, listed, progress)
    recipe_name = "recipes" if RECIPE in plan.vary else recipe_name
    parts = (pictures.name, recipe_name, "seeds" if plan.kind == "seeds" else "sweep")
    folder = SweepFolder.create(Path(runs), parts, plan.to_json(), to_toml(base), listed, name)
    with folder.lock():
        base = keep_lists(base, folder.path)
        durable.write_text(folder.base, to_toml(base))
        durable.write_json(folder.path / "env.json", describe_environment(command))
        return _run(folder, plan, base, in_order, watcher or Quiet(), report)


def resume_sweep(
    path: str | Path,
    *,
    jobs: int = 0,
    trials: int | None = None,
    watcher: Watcher | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Goes on with a sweep that was stopped or killed: runs exactly the trials that have no result yet.

    Args:
        path: of the sweep's folder.
        jobs: trials at once; 0 takes as many as before.
        trials: new length of a search, in all.
        watcher: see `sweep`.
        progress: see `sweep`.

    Raises:
        TenfoldError: one line that says what was found, what was expected and what to do.
    """
    folder = SweepFolder.open(Path(path))
    with folder.lock():
        plan, base = SweepPlan.from_json(folder.plan()), keep_lists(load_recipe(folder.base), folder.path)
        if trials is not None and plan.kind != "search":
            raise UsageError(f"{shown(folder.path)} is no search: it has the {plan.trials} trials of its grid")
        plan = replace(plan, jobs=jobs or plan.jobs, trials=trials or plan.trials)
        in_order = _checked(base, plan, folder.missing(), progress or Silent())
        return _run(folder, plan, base, in_order, watcher or Quiet())


def recipe_of(plan: SweepPlan, base: Recipe, trial: Trial) -> Recipe:
    """Returns the complete recipe of a trial, with the CPU threads that are its share."""
    recipe = complete(base, {**trial.settings, "train.seed": trial.seed}, plan.overrides)
    return resolve(recipe, {"train.threads": recipe.train.threads or plan.threads})


def _checked(base: Recipe, plan: SweepPlan, trials: Sequence[Trial], progress: Progress) -> list[Trial]:
    """Prepares all pictures, tries out every trial's network, and returns the trials, the longest first.

    What is started last must not be what takes longest: the other workers would wait for it.
    """
    opened: dict[DataRequest, Dataset] = {}
    work: dict[str, float] = {}
    for trial in trials:
        recipe = recipe_of(plan, base, trial)
        request = request_of(recipe.data)
        if request not in opened:
            opened[request] = dataset_of(recipe.data, progress)
        work[trial.name] = preflight.check(recipe, opened[request])
    return sorted(trials, key=lambda trial: -work[trial.name])


def _run(
    folder: SweepFolder,
    plan: SweepPlan,
    base: Recipe,
    trials: Sequence[Trial],
    watcher: Watcher,
    report: bool = True,
) -> Sweep:
    """Runs the trials, and sums up what came of all."""
    log = Log(folder.log)
    log.write("begun", trials=len(trials), jobs=plan.jobs, threads=plan.threads)

    def payload(trial: Trial) -> tuple[str, dict[str, Any]]:
        return str(folder.run_path(trial)), recipe_of(plan, base, trial).model_dump(mode="json")

    try:
        with _source(folder, plan, base, trials) as source, StopRequest() as stop:
            run_trials(
                folder,
                source,
                run_trial,
                payload,
                watcher,
                log,
                total=plan.trials,
                jobs=plan.jobs,
                threads=plan.threads,
                stopping=lambda: stop.received is not None,
            )
    finally:
        watcher.finish()
    if stop.received is not None:
        done = sum(row["status"] != "waiting" for row in folder.rows())
        raise stop.error(
            f"stopped with {done} of {plan.trials} trials ended, and saved; "
            f"go on with: tenfold sweep --resume {shown(folder.path)}"
        )
    log.write("finished")
    return conclude(folder, plan, report)


@contextmanager
def _source(folder: SweepFolder, plan: SweepPlan, base: Recipe, trials: Sequence[Trial]) -> Iterator[Listed | Searched]:
    """Yields where the trials come from; lets go of a search's storage at the end."""
    if plan.kind != "search":
        yield Listed(trials)
        return
    spaces = dict(parse_search(f"{key}={text}") for key, text in plan.search.items())
    storage = plan.storage or folder.path / "study.db"
    seed = base.train.seed
    study = Search(
        spaces, storage=storage, sweep=plan.mark, study=plan.study, seed=seed, prune=plan.prune, warmup=_warmup(base)
    )
    try:
        yield Searched(study, folder, plan.trials, seed)
    finally:
        study.close()


def _warmup(base: Recipe) -> int:
    """Returns the epochs in which no trial of a search is given up: a quarter of the run, at least one."""
    duration = base.train.duration
    return max(1, int(duration.amount) // 4) if duration.unit == "epochs" else 1
