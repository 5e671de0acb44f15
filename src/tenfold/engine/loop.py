"""Training, in the order in which it happens."""

from dataclasses import replace
from typing import NamedTuple

import torch

from tenfold.data.loader import Loader
from tenfold.data.sampling import Difficulty
from tenfold.engine.agreement import agree, share_text
from tenfold.engine.execution import PreparedStep, prepare_step
from tenfold.engine.head import FittedHead
from tenfold.engine.head_first import report_outcome, start_from_head
from tenfold.engine.plan import Plan, make_plan
from tenfold.engine.recording import (
    clear_errors,
    discard_other_rows,
    evaluate_now,
    log_row,
    save_checkpoint,
    shown_progress,
)
from tenfold.engine.repeat import record_execution
from tenfold.engine.running_metrics import RunningMetrics
from tenfold.engine.setup import Setup, frozen_batch_norm_note, in_training_mode, seed_layers, training_loader
from tenfold.engine.signals import StopRequest
from tenfold.engine.state import State
from tenfold.engine.step_context import StepContext
from tenfold.engine.times import RunTimes
from tenfold.optim.averaging import WeightEMA
from tenfold.optim.build import OptimizerSettings, build_optimizer
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint


class Trained(NamedTuple):
    """The end of training.

    Args:
        setup: with recipe and hardware as used: threads, execution and precision.
        state: its model holds the averaged weights where the recipe asks for an average, else the last ones.
        head: the head that was fitted instead of, or before, these steps; None where all layers were trained at once,
            and for a resumed run, which does not fit it again.
    """

    setup: Setup
    state: State
    head: FittedHead | None = None


def train(setup: Setup, checkpoint: Checkpoint | None = None) -> Trained:
    """Trains the model of `setup` to the end of its recipe, or to its target.

    Args:
        setup: its hardware must be active.
        checkpoint: to resume from; training starts from the model's current weights otherwise.

    Raises:
        Stopped: when a signal asked for it; everything is saved.
        TrainingError: when the loss is not finite, memory runs out, or batch norm receives one value per channel; the
            last checkpoint is intact.
        StorageError: when the disk refuses; the last checkpoint is intact.
        RecipeError: when the recipe does not fit the data, or its step cannot be compiled.
        RunError: when the checkpoint does not fit.
    """
    plan = make_plan(setup.recipe, setup.dataset)
    loader = training_loader(setup.recipe, setup.dataset, setup.hardware, setup.share)
    state = _initial_state(setup, loader)
    optimizer, average, times, difficulty = state.optimizer, state.average, state.times, state.difficulty
    seed_layers(setup.recipe.train.seed, setup.processes)
    if checkpoint is not None:
        state.load(checkpoint)
    with clear_errors(setup, plan, state):
        step, hardware, times.compile_seconds, reduce = _prepare(setup, plan, state, loader, checkpoint)
    setup = record_execution(setup, hardware, reduce)

    with StopRequest() as stop, shown_progress(setup, plan), clear_errors(setup, plan, state):
        discard_other_rows(setup, state, resumed=checkpoint is not None)
        head = start_from_head(setup, plan, state, stop) if checkpoint is None else None
        agree(setup.processes, stop, times)
        while not (plan.is_over(state.step, times.elapsed) or _ends_early(plan, state)):
            epoch, first_batch = divmod(state.step, plan.steps_per_epoch)
            if difficulty is not None and first_batch == 0:
                difficulty.begin_epoch(epoch, plan.fraction_done(state.step, times.elapsed))
            losses = None if difficulty is None else difficulty.epoch_losses
            times.start_training()
            for batch in loader.epoch(epoch, start=first_batch, losses=losses):
                done = plan.fraction_done(state.step, times.elapsed)
                optimizer.scale_lr(plan.schedule(done))
                loss, logits = step(plan.resized(batch, done))  # forward, loss, backward, update
                state.metrics.update(loss, logits, batch.labels)
                if difficulty is not None:
                    difficulty.record(batch, logits)
                state.step += 1
                average.update(state.step)
                agree(setup.processes, stop, times)

                last = plan.ends_epoch(state.step) or plan.is_over(state.step, times.elapsed)
                if evaluate := last or plan.evaluation_due(state.step):
                    evaluate_now(setup, plan, state)
                elif plan.log_due(state.step):
                    log_row(setup, plan, state)
                new_best = evaluate and state.is_best
                checkpoint_due = last or new_best or plan.checkpoint_due(state.step, times.since_checkpoint())
                stopping = stop.due
                if checkpoint_due or stopping:
                    save_checkpoint(setup, state)
                if stopping:
                    agree(setup.processes, stop)  # none ends before rank 0 has saved: a launcher would end it too
                    raise stop.error(
                        f"stopped at step {state.step:,} and saved; resume with: {setup.folder.resume_command()}"
                    )
                if last or _target_reached(plan, state):
                    break
                times.start_training()
        if not state.rows or state.rows[-1]["step"] != state.step:  # resumed in the middle of an epoch, with a new end
            evaluate_now(setup, plan, state)
            save_checkpoint(setup, state)
    average.copy_to_model()
    report_outcome(setup, state)
    return Trained(setup, state, head)


def _initial_state(setup: Setup, loader: Loader) -> State:
    """Returns the state before the first step."""
    recipe, device, processes = setup.recipe, setup.hardware.device, setup.processes
    model = in_training_mode(setup.classifier.model, recipe, device)
    difficulty = None
    if recipe.data.pruning:
        difficulty = Difficulty(len(setup.dataset.train), device, setup.gather_batch)
    return State(
        model,
        build_optimizer(model, OptimizerSettings.from_section(recipe.optim), setup.hardware.autocast),
        WeightEMA(model, recipe.optim.ema),
        RunTimes(device, loader, setup.log.seconds),
        setup.dataset.fingerprint,
        RunningMetrics(plain_loss=_minimizes_another_loss(recipe), processes=processes),
        difficulty,
        processes=processes,
    )


def _prepare(setup: Setup, plan: Plan, state: State, loader: Loader, checkpoint: Checkpoint | None) -> PreparedStep:
    """Builds the training step. A resumed run keeps its execution: eager and compiled steps round differently."""
    execution = setup.recipe.train.execution
    if checkpoint is not None and execution == "auto":
        execution = "compiled" if checkpoint.state["compiled"] else "eager"
    smoothing = setup.recipe.optim.label_smoothing
    preprocessing, sizes = setup.classifier.preprocessing, setup.recipe.train.progressive
    weights = None
    if plan.class_weights is not None:
        weights = torch.tensor(plan.class_weights, device=setup.hardware.device)
    context = StepContext(
        state.model,
        state.optimizer,
        preprocessing,
        setup.hardware,
        smoothing,
        weights,
        sizes,
        share=setup.share,
        clip_norm=setup.recipe.optim.clip_norm,
        processes=setup.processes,
        synchronized=setup.recipe.train.batch_norm == "synchronized",
        reduce=setup.recipe.train.reduce,
    )
    choose_threads = checkpoint is None and setup.recipe.train.threads == 0
    loading_seconds = loader.seconds
    example = next(loader.epoch(0))
    prepared = prepare_step(execution, context, example, choose_threads=choose_threads)
    loader.seconds = loading_seconds  # this batch is only an example, outside of the training time
    if setup.processes.is_several:
        setup.progress.message(share_text(setup.processes, setup.share, plan.batch_size, prepared.reduce))
    if execution == "auto" and (note := replace(context, hardware=prepared.hardware).note(example)):
        setup.progress.message(note)
    if note := frozen_batch_norm_note(setup):
        setup.progress.message(note)
    if prepared.hardware.compiled:
        setup.progress.message(f"step: compiled, ready after {prepared.compile_seconds:.1f} s")
    return prepared


def _minimizes_another_loss(recipe: Recipe) -> bool:
    """Returns whether the minimized loss is not the plain cross-entropy of the images' own labels."""
    augment = recipe.data.augment
    weighs = recipe.optim.class_weights != "none"
    return bool(recipe.optim.label_smoothing or weighs or augment.mixup or augment.cutmix)


def _ends_early(plan: Plan, state: State) -> bool:
    """Returns whether the target is reached, or what is monitored has not improved for too long."""
    if state.best is None:
        return False
    return _target_reached(plan, state) or plan.patience_exceeded(state.step, state.best.epoch)


def _target_reached(plan: Plan, state: State) -> bool:
    return state.best is not None and plan.target_reached(state.best.accuracy)
