"""Training, in the order in which it happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from tenfold.core.errors import TrainingError
from tenfold.core.randomness import derive_seed
from tenfold.data.loader import Loader
from tenfold.data.sampling import Difficulty
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.execution import PreparedStep, StepContext, prepare_step
from tenfold.engine.plan import Plan, make_plan
from tenfold.engine.repeat import record_execution
from tenfold.engine.running_metrics import RunningMetrics
from tenfold.engine.setup import Setup, frozen_batch_norm_note, in_training_mode, training_loader
from tenfold.engine.signals import StopRequest
from tenfold.engine.state import Best, Row, State, monitored
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
    """

    setup: Setup
    state: State


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
    recipe, device = setup.recipe, setup.hardware.device
    plan = make_plan(recipe, setup.dataset)
    model = in_training_mode(setup.classifier.model, recipe, device)
    optimizer = build_optimizer(model, OptimizerSettings.from_section(recipe.optim), setup.hardware.autocast)
    average = WeightEMA(model, recipe.optim.ema)
    difficulty = Difficulty(len(setup.dataset.train), device) if recipe.data.pruning else None
    loader = training_loader(recipe, setup.dataset, setup.hardware)
    times = RunTimes(device, loader, setup.log.seconds)
    metrics = RunningMetrics(plain_loss=_minimizes_another_loss(recipe))
    state = State(model, optimizer, average, times, setup.dataset.fingerprint, metrics, difficulty)
    torch.manual_seed(derive_seed(recipe.train.seed, "layers"))
    if checkpoint is not None:
        state.load(checkpoint)
    if note := frozen_batch_norm_note(setup):
        setup.progress.message(note)
    with _clear_errors(setup, plan, state):
        step, hardware, times.compile_seconds = _prepare(setup, plan, state, loader, checkpoint)
    setup = record_execution(setup, hardware)

    with StopRequest() as stop, _shown(setup, plan), _clear_errors(setup, plan, state):
        if checkpoint is not None or setup.folder.metrics.is_file():  # a kill or a divergence left other rows
            setup.folder.write_metrics(state.rows)
            _save_if_best(setup, state)
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

                last = plan.ends_epoch(state.step) or plan.is_over(state.step, times.elapsed)
                if evaluate := last or plan.evaluation_due(state.step):
                    _evaluate(setup, plan, state)
                elif plan.log_due(state.step):
                    _log_row(setup, plan, state)
                new_best = evaluate and state.is_best
                checkpoint_due = last or new_best or plan.checkpoint_due(state.step, times.since_checkpoint())
                if checkpoint_due or stop.received:
                    _save_checkpoint(setup, state)
                if stop.received:
                    raise stop.error(
                        f"stopped at step {state.step:,} and saved; resume with: {setup.folder.resume_command()}"
                    )
                if last or _target_reached(plan, state):
                    break
                times.start_training()
        if not state.rows or state.rows[-1]["step"] != state.step:  # resumed in the middle of an epoch, with a new end
            _evaluate(setup, plan, state)
            _save_checkpoint(setup, state)
    average.copy_to_model()
    return Trained(setup, state)


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
    context = StepContext(state.model, state.optimizer, preprocessing, setup.hardware, smoothing, weights, sizes)
    choose_threads = checkpoint is None and setup.recipe.train.threads == 0
    loading_seconds = loader.seconds
    prepared = prepare_step(execution, context, next(loader.epoch(0)), choose_threads=choose_threads)
    loader.seconds = loading_seconds  # this batch is only an example, outside of the training time
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


def _evaluate(setup: Setup, plan: Plan, state: State) -> None:
    """Evaluates the validation split, where there is one, logs a row and updates the best result."""
    state.times.pause_training()
    state.check_weights()
    monitor = setup.recipe.train.monitor
    if setup.dataset.val is None:
        _log_row(setup, plan, state)
        return
    with state.average.applied():
        evaluation = setup.classifier.evaluate(setup.dataset.val, roc_curves=monitor == "roc_auc_ovr")
    _log_row(setup, plan, state, val_loss=evaluation.loss, val_accuracy=evaluation.accuracy)
    score = monitored(monitor, evaluation)
    if state.best is None or score > state.best.score:
        state.best = Best(evaluation.accuracy, plan.epoch_of(state.step), state.step, score)


def _log_row(
    setup: Setup, plan: Plan, state: State, val_loss: float | None = None, val_accuracy: float | None = None
) -> None:
    """Adds a row of `metrics.csv` and shows it."""
    metrics, epoch = state.metrics.compute(), plan.epoch_of(state.step)
    row: Row = {
        "epoch": epoch,
        "step": state.step,
        "time_s": round(state.times.training_seconds(), 3),
        "lr": setup.recipe.optim.lr * plan.schedule(plan.fraction_done(state.step - 1, state.times.elapsed)),
        "train_loss": metrics.loss,
        "train_accuracy": metrics.accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "train_objective": metrics.objective,
    }
    state.rows.append(row)
    batch = state.step - (epoch - 1) * plan.steps_per_epoch
    setup.progress.log({**row, "batch": batch, "steps": plan.steps})


def _save_checkpoint(setup: Setup, state: State) -> None:
    """Saves a checkpoint, the rows so far, and the model where it is the best.

    The model comes last: its file must never hold weights that a run resumed from the checkpoint, with another
    schedule or length, may not reach.
    """
    state.times.pause_training()
    path = state.save(setup.folder.checkpoints, setup.hardware)
    setup.folder.write_metrics(state.rows)
    setup.log.write("checkpoint", step=state.step, path=path.name)
    state.times.checkpoint_saved()
    _save_if_best(setup, state)


def _save_if_best(setup: Setup, state: State) -> None:
    if state.best is not None and state.is_best:
        with state.average.applied():
            metrics = {"val_accuracy": state.best.accuracy, "epoch": state.best.epoch}
            setup.save_model(setup.folder.best, metrics, None)  # the temperature is fitted at the end


@contextmanager
def _shown(setup: Setup, plan: Plan) -> Iterator[None]:
    """Notifies the progress display that training begins, and that it is over, successful or not."""
    setup.progress.start(setup.folder.path, plan.steps, plan.steps_per_epoch)
    try:
        yield
    finally:
        setup.progress.finish()


@contextmanager
def _clear_errors(setup: Setup, plan: Plan, state: State) -> Iterator[None]:
    """Turns an error that ends training into one line that says what to do."""
    try:
        yield
    except LossNotFiniteError as error:
        step = state.step + 1 - error.steps_ago
        setup.folder.write_metrics(state.rows)  # the page of the run shows how the loss grew
        setup.log.write("loss not finite", step=step)
        optim = setup.recipe.optim
        raise TrainingError(
            f"the loss is not finite at step {step} (epoch {plan.epoch_of(step)}), expected a number; "
            f"go on with a lower learning rate than {optim.lr:g}: "
            f"{setup.folder.resume_command()}, or start a new run"
        ) from error
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory on {setup.hardware.device} with batches of {plan.batch_size} at step {state.step + 1}; "
            f"{_last_checkpoint(setup)}; try --batch-size {max(1, plan.batch_size // 2)}"
        ) from error
    except ValueError as error:
        if not str(error).startswith("Expected more than 1 value per channel"):  # PyTorch's batch norm
            raise
        raise _single_value_error(type(state.model).__name__, plan.batch_size) from error


def _single_value_error(network: str, batch_size: int) -> TrainingError:
    """Returns the error of a user's own network whose batch norm got a single value per channel."""
    batch, remedy = "a batch", "set a larger train.batch_size"
    if batch_size > 1:
        batch, remedy = "the last batch of an epoch", "set train.drop_last = true, or another train.batch_size"
    return TrainingError(
        f"the batch norm of {network} got a single value per channel: {batch} is one image whose features have shrunk "
        f"to 1×1, expected two values or more; {remedy} (now {batch_size}), and start a new run"
    )


def _last_checkpoint(setup: Setup) -> str:
    folder = setup.folder
    intact = f"the last checkpoint in {folder.path} is intact"
    return intact if folder.has_checkpoint else "no checkpoint has been saved yet"


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or ("memory" in text and "alloc" in text):
        return True
    # What cuBLAS and cuDNN say where no memory is left for their workspace.
    return "cublas_status_alloc_failed" in text or "unable to find an engine to execute" in text
