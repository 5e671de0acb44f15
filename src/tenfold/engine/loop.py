"""Training, told in the order in which it happens."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tenfold.core.clock import Stopwatch
from tenfold.core.errors import TrainingError
from tenfold.core.randomness import derive_seed
from tenfold.data.loader import Loader
from tenfold.data.sampling import Difficulty
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.execution import Training, prepare
from tenfold.engine.plan import Plan, make_plan
from tenfold.engine.recorder import Recorder
from tenfold.engine.setup import Setup, memory_format, training_loader
from tenfold.engine.signals import StopRequest
from tenfold.engine.state import State
from tenfold.engine.step import Step
from tenfold.optim.averaging import WeightAverage
from tenfold.optim.build import OptimizerSettings, build_optimizer
from tenfold.runs.checkpoint import Checkpoint


def train(setup: Setup, checkpoint: Checkpoint | None = None) -> State:
    """Trains the model of `setup` to the end of its recipe, or to its target, and returns where the run then stands.

    The model holds its averaged weights then, where the recipe asks for an average, and its last ones otherwise.

    Args:
        setup: its hardware must be active.
        checkpoint: to go on from; the model's present weights otherwise.

    Raises:
        Stopped: when a signal asked for it; all is saved.
        TrainingError: when the loss is not finite, memory runs out, or a network normalises over a batch that leaves
            it a single value; the last checkpoint is intact.
        StorageError: when the disk refuses; the last checkpoint is intact.
        RecipeError: when the recipe does not fit the data, or its step cannot be compiled.
        RunError: when the checkpoint does not fit.
    """
    recipe, device = setup.recipe, setup.hardware.device
    plan = make_plan(recipe, setup.dataset)
    model = setup.classifier.model.to(device, memory_format=memory_format(recipe)).train()  # type: ignore[call-overload]
    optimizer = build_optimizer(model, OptimizerSettings.of(recipe.optim), setup.hardware.autocast)
    average = WeightAverage(model, recipe.optim.ema)
    difficulty = Difficulty(len(setup.dataset.train), device) if recipe.data.pruning else None
    state = State(model, optimizer, average, setup.dataset.fingerprint, setup.hardware, difficulty=difficulty)
    torch.manual_seed(derive_seed(recipe.train.seed, "layers"))
    if checkpoint is not None:
        state.load(checkpoint)
    loader = training_loader(recipe, setup.dataset, setup.hardware)
    with _explained(setup, plan, state):
        step = _prepare_step(setup, state, loader, checkpoint)
    watch = Stopwatch(device, state.seconds)
    loader.seconds = state.loading_seconds
    log = Recorder(setup, plan, state, step, watch, loader)

    with StopRequest() as stop, _watched(setup, plan), _explained(setup, plan, state):
        if checkpoint is not None:
            log.catch_up()
        while not (plan.over(state.step, watch.elapsed) or log.target_is_reached() or log.patience_is_over()):
            epoch, first = divmod(state.step, plan.steps_per_epoch)
            if difficulty is not None and first == 0:
                difficulty.begin_epoch(epoch, plan.done(state.step, watch.elapsed))
            watch.start()
            for batch in loader.epoch(epoch, start=first, losses=None if difficulty is None else difficulty.ranked):
                done = plan.done(state.step, watch.elapsed)
                optimizer.scale_lr(plan.schedule(done))
                step(plan.resized(batch, done))
                state.step += 1
                average.update(state.step)
                if plan.over(state.step, watch.elapsed):
                    break
                log.after_step()
                if stop.received or log.target_is_reached():
                    break
            watch.stop()
            if stop.received and not plan.ends_epoch(state.step):
                log.save_checkpoint()
            elif not log.target_is_reached():  # which is known, and saved, in the middle of an epoch only
                log.after_epoch()
            if stop.received:
                raise stop.error(
                    f"stopped at step {state.step:,} and saved; go on with: tenfold train --resume {setup.folder.path}"
                )
        if not state.rows or state.rows[-1]["step"] != state.step:
            log.after_epoch()  # stopped in the middle of an epoch, at what has become the end of the run
    average.take_over()
    return state


def _prepare_step(setup: Setup, state: State, loader: Loader, checkpoint: Checkpoint | None) -> Step:
    """Returns what takes the steps; a resumed run goes on as it began, for the two ways round differently."""
    wanted = setup.recipe.train.execution
    if checkpoint is not None and wanted == "auto":
        wanted = "compiled" if checkpoint.state["compiled"] else "eager"
    smoothing = setup.recipe.optim.label_smoothing
    training = Training(state.model, state.optimizer, setup.classifier.preprocessing, setup.hardware, smoothing)
    free = checkpoint is None and setup.recipe.train.threads == 0
    prepared = prepare(wanted, training, next(loader.epoch(0)), choose_threads=free)
    state.hardware, state.compile_seconds = prepared.hardware, prepared.seconds
    if prepared.hardware.compiled:
        setup.progress.message(f"step: compiled, ready after {prepared.seconds:.1f} s")
    step = Step(prepared.learn, state.difficulty)
    if checkpoint is not None:
        step.load_state_tensors(checkpoint.tensors["pending"])
    return step


@contextmanager
def _watched(setup: Setup, plan: Plan) -> Iterator[None]:
    """Tells the watcher that training begins, and that it is over, well or not."""
    setup.progress.start(setup.folder.path, plan.steps, plan.steps_per_epoch)
    try:
        yield
    finally:
        setup.progress.finish()


@contextmanager
def _explained(setup: Setup, plan: Plan, state: State) -> Iterator[None]:
    """Turns what stops a run in its tracks into one line that says what to do."""
    try:
        yield
    except LossNotFiniteError as error:
        at = state.step + 1 - error.steps_ago
        setup.log.write("loss not finite", step=at)
        raise TrainingError(
            f"the loss is not finite at step {at} (epoch {plan.epoch_of(at)}), expected a number; "
            f"{_kept(setup)}; try a lower learning rate (--lr, now {setup.recipe.optim.lr:g})"
        ) from error
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory on {setup.hardware.device} with batches of {plan.batch_size} at step {state.step + 1}; "
            f"{_kept(setup)}; try --batch-size {max(1, plan.batch_size // 2)}"
        ) from error
    except ValueError as error:
        if not str(error).startswith("Expected more than 1 value per channel"):  # PyTorch's batch normalisation
            raise
        raise _no_deviation(type(state.model).__name__, plan.batch_size) from error


def _no_deviation(network: str, batch_size: int) -> TrainingError:
    """Returns what to tell of a batch normalisation that was given a single value, which is a user's own network's."""
    which, remedy = "a batch", "set a larger train.batch_size"
    if batch_size > 1:
        which, remedy = "the last batch of an epoch", "set train.drop_last = true, or another train.batch_size"
    return TrainingError(
        f"{network} cannot normalise over {which}: it is a single picture, which has shrunk to 1×1, and one value "
        f"has no deviation; {remedy} (now {batch_size}), and start a new run"
    )


def _kept(setup: Setup) -> str:
    folder = setup.folder
    any_yet = folder.checkpoints.is_dir() and any(folder.checkpoints.iterdir())
    return f"the last checkpoint in {folder.path} is intact" if any_yet else "no checkpoint was due yet"


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or ("memory" in text and "alloc" in text)
