"""Resumes a run: after a stop or a kill, with more training, or with a lower learning rate after a divergence."""

from collections.abc import Sequence
from dataclasses import asdict
from math import ceil
from pathlib import Path

from torch import nn

from tenfold.api import training_run
from tenfold.api.data import DataSource, dataset_of, in_memory, moved_data, recorded_section
from tenfold.api.followers import Followers
from tenfold.api.training_run import Run
from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.core.disk import display_path
from tenfold.core.errors import RunError
from tenfold.core.progress import Progress
from tenfold.core.text import epochs_text, escaped, plural
from tenfold.data.types import Dataset
from tenfold.engine.changes import length_text, resume_changes
from tenfold.engine.plan import Plan, extended, make_plan
from tenfold.engine.precision import choose_hardware
from tenfold.engine.state import check_fingerprint, has_diverged
from tenfold.recipes.load import key_of, load_recipe, resolve, to_toml
from tenfold.recipes.schema import Recipe
from tenfold.runs.changes import Change
from tenfold.runs.checkpoint import Checkpoint, load_checkpoint, remove_checkpoint
from tenfold.runs.folders import copy_image_lists
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder


def resume_run(
    path: Path,
    data: DataSource | None,
    model: nn.Module | None,
    overrides: Sequence[str],
    progress: Progress,
    started: float,
    report: bool,
    followers: Followers,
) -> Run:
    """Resumes a run from its newest sound checkpoint; the arguments are those of `train`.

    Raises:
        TenfoldError: see `train`.
    """
    folder = RunFolder.open(path, for_resume=True)
    with folder.lock():
        stored = copy_image_lists(load_recipe(folder.recipe), folder.path)
        if stored.data.folds and not stored.data.fold:
            raise RunError(
                f"{display_path(path)} is the final model of a cross-validation, which is resumed as a whole: "
                f"tenfold sweep --resume {display_path(folder.path.parent)}"
            )
        before, settings = moved_data(stored, data, overrides)
        diverged_at = folder.diverged_at()
        after = extended(before, resolve(before, settings), diverged=diverged_at is not None)
        dataset = in_memory(data, after.data) or dataset_of(recorded_section(after.data, folder.path), progress)
        if folder.has_checkpoint:
            newest = load_checkpoint(folder.checkpoints)
            check_fingerprint(newest, dataset.fingerprint)
            after = _for_device(after, newest, settings)
        make_plan(after, dataset)  # a recipe that does not fit the data must not replace the one that did
        if diverged_at is not None and after.optim != before.optim:
            _remove_diverged(folder, diverged_at, progress)
        checkpoint = newest_checkpoint(folder, progress)
        if (place := _place_text(before)) != _place_text(stored):
            progress.message(f"the run's recipe names the new place of its images: {place}")
        if before != stored:
            durable.write_text(folder.recipe, to_toml(before))
        if checkpoint is not None and after != before:
            _refuse_shorter(after, before, dataset, checkpoint, folder)
        if folder.is_finished and checkpoint is not None and (after == before or _is_over(after, dataset, checkpoint)):
            progress.message(_finished_text(folder, before, dataset, checkpoint))
            if report and not folder.report.is_file():  # the last file of a run
                training_run.write_report(folder, dataset, model)
            return training_run.read_run(folder)
        folder.reopen()  # before the recipe changes: a longer recipe beside the old results would look finished
        if after != before:
            step = 0 if checkpoint is None else checkpoint.step
            _record_changes(folder, resume_changes(before, after, dataset, step, diverged_at), progress)
            durable.write_text(folder.recipe, to_toml(after))
        return training_run.execute_run(
            after,
            dataset,
            folder,
            progress,
            model=model,
            checkpoint=checkpoint,
            started=started,
            report=report,
            followers=followers,
        )


def _for_device(after: Recipe, checkpoint: Checkpoint, overrides: Sequence[str]) -> Recipe:
    """Returns the recipe with a precision and an execution for another kind of device than the checkpoint's.

    Those that the run has recorded fit the device that it was on.
    """
    kind = choose_device(after.train.device).type
    if checkpoint.state.get("device", kind) == kind:  # absent in checkpoints of earlier versions
        return after
    hardware = choose_hardware(after.train.model_copy(update={"precision": "auto"}))
    used = {
        "train.precision": "float32" if hardware.autocast is None else "bfloat16",
        "train.execution": "eager",  # possible on every device
    }
    keys = {key_of(line) for line in overrides}
    return resolve(after, {key: value for key, value in used.items() if key not in keys})


def _remove_diverged(folder: RunFolder, diverged_at: int, progress: Progress) -> None:
    """Removes the checkpoints from which no learning rate leads on."""
    while folder.has_checkpoint and has_diverged(checkpoint := load_checkpoint(folder.checkpoints), diverged_at):
        progress.message(f"the checkpoint at step {checkpoint.step:,} is removed: its weights have diverged already")
        remove_checkpoint(folder.checkpoints, checkpoint.step)


def newest_checkpoint(folder: RunFolder, progress: Progress) -> Checkpoint | None:
    """Returns the newest sound checkpoint, or None for a run that died before its first."""
    if not folder.has_checkpoint:
        progress.message("there is no checkpoint yet: training restarts from step 0 with the same seed")
        return None
    checkpoint = load_checkpoint(folder.checkpoints)
    for warning in checkpoint.warnings:
        progress.warn(warning)
    progress.message(f"resuming from step {checkpoint.step:,}")
    return checkpoint


def _place_text(recipe: Recipe) -> str:
    """Returns where a recipe says that its images are."""
    places = [recipe.data.source, recipe.data.data_dir and f"data_dir {recipe.data.data_dir}"]
    return ", ".join(map(escaped, filter(None, places)))


def _is_over(recipe: Recipe, dataset: Dataset, checkpoint: Checkpoint) -> bool:
    seconds: float = checkpoint.state["seconds"]
    return make_plan(recipe, dataset).is_over(checkpoint.step, lambda: seconds)


def _refuse_shorter(after: Recipe, before: Recipe, dataset: Dataset, checkpoint: Checkpoint, folder: RunFolder) -> None:
    """Raises RunError if an unfinished run is to end before the step that it has reached."""
    plan, seconds = make_plan(after, dataset), float(checkpoint.state["seconds"])
    planned = make_plan(before, dataset)
    is_shorter = checkpoint.step > plan.steps if plan.steps is not None else seconds > (plan.seconds or 0.0)
    if is_shorter and not folder.is_finished and plan.length != planned.length:
        raise RunError(
            f"{folder.path} has been trained for {_trained_text(plan, checkpoint)} already, more than "
            f"{length_text(after, plan)}; give a greater length, or none to train it to {length_text(before, planned)}"
        )


def _finished_text(folder: RunFolder, recipe: Recipe, dataset: Dataset, checkpoint: Checkpoint) -> str:
    plan = make_plan(recipe, dataset)
    longer = f"--epochs {max(1, 2 * ceil(checkpoint.step / plan.steps_per_epoch))}"
    if plan.seconds is not None:
        longer = f'--set train.duration="{2 * plan.seconds:g} s"'
    return (
        f"{folder.path} is already finished ({_trained_text(plan, checkpoint)}); "
        f"to extend it, give its new total length, such as {longer}"
    )


def _trained_text(plan: Plan, checkpoint: Checkpoint) -> str:
    if plan.seconds is not None:
        return f"{checkpoint.state['seconds']:.1f} s"
    return f"{epochs_text(checkpoint.step / plan.steps_per_epoch)}, {plural(checkpoint.step, 'step')}"


def _record_changes(folder: RunFolder, changes: Sequence[Change], progress: Progress) -> None:
    """Announces and logs what changes. The log comes before the recipe, which a kill may leave as it was."""
    log = Log(folder.log)
    for change in changes:
        progress.message(str(change))
        log.write("changed", **asdict(change))
