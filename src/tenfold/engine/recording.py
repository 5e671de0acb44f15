"""What both ways of training, steps and a fitted head, record: rows, the best model, checkpoints, clear errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tenfold.core.errors import RecipeError, TrainingError
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.plan import Plan
from tenfold.engine.running_metrics import TrainMetrics
from tenfold.engine.setup import Setup
from tenfold.engine.state import Best, Row, State, monitored


def evaluate_now(setup: Setup, plan: Plan, state: State, metrics: TrainMetrics | None = None) -> None:
    """Evaluates the validation split, where there is one, logs a row and updates the best result.

    Args:
        setup: of the run.
        plan: of the run.
        state: of the run.
        metrics: of the training images; those of the steps since the last row by default.
    """
    state.times.pause_training()
    state.check_weights()
    if state.keep_equal():
        setup.progress.message("weights: those of process 0, as other processors round otherwise")
    monitor = setup.recipe.train.monitor
    if setup.dataset.val is None:
        log_row(setup, plan, state, metrics)
        return
    with state.average.applied():
        evaluation = setup.classifier.evaluate(setup.dataset.val, roc_curves=monitor == "roc_auc_ovr")
    found = evaluation.loss, evaluation.accuracy, monitored(monitor, evaluation)
    loss, accuracy, score = setup.processes.broadcast_object(found)  # other processors may round otherwise
    log_row(setup, plan, state, metrics, val_loss=loss, val_accuracy=accuracy)
    if state.best is None or score > state.best.score:
        state.best = Best(accuracy, plan.epoch_of(state.step), state.step, score)


def log_row(
    setup: Setup,
    plan: Plan,
    state: State,
    metrics: TrainMetrics | None = None,
    val_loss: float | None = None,
    val_accuracy: float | None = None,
) -> None:
    """Adds a row of `metrics.csv` and shows it; see `evaluate_now`."""
    metrics, epoch = metrics or state.metrics.compute(), plan.epoch_of(state.step)
    recipe, done = setup.recipe, plan.fraction_done(state.step - 1, state.times.elapsed)
    row: Row = {
        "epoch": epoch,
        "step": state.step,
        "time_s": round(state.times.training_seconds(), 3),
        "lr": 0.0 if recipe.train.layers == "head" or not state.step else recipe.optim.lr * plan.schedule(done),
        "train_loss": metrics.loss,
        "train_accuracy": metrics.accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "train_objective": metrics.objective,
    }
    state.rows.append(row)
    if state.step:  # the head alone has a message of its own
        batch = state.step - (epoch - 1) * plan.steps_per_epoch
        setup.progress.log({**row, "batch": batch, "steps": plan.steps})


def save_checkpoint(setup: Setup, state: State) -> None:
    """Saves a checkpoint, the rows so far, and the model where it is the best.

    The model comes last: its file must never hold weights that a run resumed from the checkpoint, with another
    schedule or length, may not reach.
    """
    state.times.pause_training()
    path = state.save(setup.folder.checkpoints, setup.hardware)
    if path is not None:
        setup.folder.write_metrics(state.rows)
        setup.log.write("checkpoint", step=state.step, path=path.name)
    state.times.checkpoint_saved()
    save_if_best(setup, state)


def discard_other_rows(setup: Setup, state: State, *, resumed: bool) -> None:
    """Writes rows and best model as the state has them: a kill or a divergence may have left others."""
    if setup.processes.is_main and (resumed or setup.folder.metrics.is_file()):
        setup.folder.write_metrics(state.rows)
        save_if_best(setup, state)


def save_if_best(setup: Setup, state: State) -> None:
    if state.best is not None and state.is_best:
        with state.average.applied():
            metrics = {"val_accuracy": state.best.accuracy, "epoch": state.best.epoch}
            setup.save_model(setup.folder.best, metrics, None)  # the temperature is fitted at the end


@contextmanager
def shown_progress(setup: Setup, plan: Plan) -> Iterator[None]:
    """Notifies the progress display that training begins, and that it is over, successful or not."""
    setup.progress.start(setup.folder.path, plan.steps, plan.steps_per_epoch)
    try:
        yield
    finally:
        setup.progress.finish()


@contextmanager
def clear_errors(setup: Setup, plan: Plan, state: State) -> Iterator[None]:
    """Turns an error that ends training into one line that says what to do."""
    try:
        yield
    except LossNotFiniteError as error:
        step = state.step + 1 - error.steps_ago
        if setup.processes.is_main:
            setup.folder.write_metrics(state.rows)  # the page of the run shows how the loss grew
            setup.log.write("loss not finite", step=step)
        optim = setup.recipe.optim
        raise TrainingError(
            f"the loss is not finite at step {step} (epoch {plan.epoch_of(step)}), expected a number; "
            f"go on with a lower learning rate than {optim.lr:g}: "
            f"{setup.folder.resume_command()}, or start a new run"
        ).everywhere() from error
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if "Expected to have finished reduction" in str(error):  # PyTorch's DistributedDataParallel
            raise RecipeError(
                f"train.reduce is 'ddp', but a trainable weight of {type(state.model).__name__} had no gradient; "
                "expected one for each of them; set train.reduce=flat"
            ) from error
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory on {setup.hardware.device} with batches of {plan.batch_size} at step {state.step + 1}; "
            f"{_last_checkpoint(setup)}; try --batch-size {max(1, plan.batch_size // 2)}"
        ) from error
    except ValueError as error:
        if not str(error).startswith("Expected more than 1 value per channel"):  # PyTorch's batch norm
            raise
        clear = _single_value_error(type(state.model).__name__, plan.batch_size)
        raise (clear.everywhere() if setup.recipe.train.batch_norm == "synchronized" else clear) from error


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
