"""Training, told in the order in which it happens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import torch

from tenfold.core.clock import Stopwatch
from tenfold.core.errors import TrainingError
from tenfold.core.randomness import derive_seed
from tenfold.data.augment import Augmentation
from tenfold.data.loader import Loader, Order
from tenfold.data.types import Dataset
from tenfold.engine.eager import LossNotFiniteError
from tenfold.engine.execution import Training, prepare
from tenfold.engine.plan import Plan, make_plan
from tenfold.engine.precision import Hardware
from tenfold.engine.progress import Progress
from tenfold.engine.signals import StopRequest
from tenfold.engine.state import Best, Row, State
from tenfold.engine.step import Step
from tenfold.optim.averaging import WeightAverage
from tenfold.optim.build import OptimizerSettings, build_optimizer
from tenfold.recipes.schema import Recipe
from tenfold.runs.checkpoint import Checkpoint
from tenfold.runs.classifier import Classifier
from tenfold.runs.folder import RunFolder
from tenfold.runs.log import Log


@dataclass(frozen=True)
class Setup:
    """What a run is made of.

    Args:
        recipe: complete.
        dataset: its `train` is learnt from, its `val` judged now and then; training does not touch its `test`.
        classifier: any network from normalised pictures to logits, with its preprocessing.
        hardware: see `Hardware`.
        folder: receives checkpoints, metrics and the log.
        progress: is told what happens.
        log: the run's `log.jsonl`.
        save_best: called with the epoch and accuracy whenever the validation accuracy is the best so far.
    """

    recipe: Recipe
    dataset: Dataset
    classifier: Classifier
    hardware: Hardware
    folder: RunFolder
    progress: Progress
    log: Log
    save_best: Callable[[Best], None]


def train(setup: Setup, checkpoint: Checkpoint | None = None) -> State:
    """Trains the model of `setup` to the end of its recipe, or to its target, and returns where the run then stands.

    The model holds its averaged weights then, where the recipe asks for an average, and its last ones otherwise.

    Args:
        setup: its hardware must be active.
        checkpoint: to go on from; the model's present weights otherwise.

    Raises:
        Stopped: when a signal asked for it; all is saved.
        TrainingError: when the loss is not finite or memory runs out; the last checkpoint is intact.
        StorageError: when the disk refuses; the last checkpoint is intact.
        RecipeError: when the recipe does not fit the data.
        RunError: when the checkpoint does not fit.
    """
    recipe, device = setup.recipe, setup.hardware.device
    plan = make_plan(recipe, setup.dataset)
    model = setup.classifier.model.to(device, memory_format=memory_format(recipe)).train()  # type: ignore[call-overload]
    optimizer = build_optimizer(model, OptimizerSettings.of(recipe.optim), setup.hardware.autocast)
    average = WeightAverage(model, recipe.optim.ema)
    state = State(model, optimizer, average, setup.dataset.fingerprint, setup.hardware)
    torch.manual_seed(derive_seed(recipe.train.seed, "layers"))
    if checkpoint is not None:
        state.load(checkpoint)
    loader = _loader(setup, plan)
    step = _prepare_step(setup, state, loader, checkpoint)
    watch = Stopwatch(device, state.seconds)
    log = _Recorder(setup, plan, state, step, watch)

    setup.progress.start(setup.folder.path, plan.steps, plan.steps_per_epoch)
    with StopRequest() as stop, _explained(setup, plan, state):
        if checkpoint is not None:
            log.catch_up()
        while not (plan.over(state.step, watch.elapsed) or log.target_is_reached() or log.patience_is_over()):
            epoch, first = divmod(state.step, plan.steps_per_epoch)
            watch.start()
            for batch in loader.epoch(epoch, start=first):
                optimizer.scale_lr(plan.schedule(plan.done(state.step, watch.elapsed)))
                step(batch)
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


class _Recorder:
    """Writes down what happens in a run: rows, checkpoints, the best model."""

    def __init__(self, setup: Setup, plan: Plan, state: State, step: Step, watch: Stopwatch) -> None:
        self._setup, self._plan, self._state, self._step, self._watch = setup, plan, state, step, watch
        self._saved_at = perf_counter()

    def after_step(self) -> None:
        """Judges, adds a row or saves a checkpoint where that is due in the middle of an epoch."""
        step, plan = self._state.step, self._plan
        if plan.ends_epoch(step):
            return
        judge = plan.evaluation_due(step)
        if judge:
            self._watch.stop()
            self._evaluate()
        elif step % plan.steps_per_epoch % plan.log_every == 0:
            self._add_row({})
        if (judge and self._is_best()) or plan.checkpoint_due(step, perf_counter() - self._saved_at):
            self._watch.stop()
            self.save_checkpoint()
            self.keep_best()
        self._watch.start()

    def after_epoch(self) -> None:
        """Judges the validation split, where there is one, adds a row, saves a checkpoint, keeps the best."""
        self._evaluate()
        self.save_checkpoint()
        self.keep_best()

    def _evaluate(self) -> None:
        """Adds a row with what the validation split says of the present weights, and notes the best."""
        setup, state = self._setup, self._state
        state.check_weights()
        if setup.dataset.val is None:
            self._add_row({})
            return
        with state.average.applied():
            judged = setup.classifier.evaluate(setup.dataset.val)
        self._add_row({"val_loss": judged.loss, "val_accuracy": judged.accuracy})
        if state.best is None or judged.accuracy > state.best.accuracy:
            state.best = Best(judged.accuracy, self._epoch(), state.step)

    def _is_best(self) -> bool:
        """Returns whether no weights before the present ones were judged as good."""
        best = self._state.best
        return best is not None and best.step == self._state.step

    def catch_up(self) -> None:
        """Writes what comes after a checkpoint, in case a kill came in between."""
        self._setup.folder.write_metrics(self._state.rows)
        self.keep_best()

    def keep_best(self) -> None:
        """Saves the model where the present one is the best.

        This comes after the checkpoint, so that the file never holds weights of a future that a resumed run, with
        another schedule or another length, need not reach.
        """
        best = self._state.best
        if best is not None and self._is_best():
            with self._state.average.applied():
                self._setup.save_best(best)

    def save_checkpoint(self) -> None:
        """Saves all that a resumed run needs, and the rows so far."""
        self._state.seconds = self._watch.seconds()
        path = self._state.save(self._setup.folder.checkpoints, self._step)
        self._setup.folder.write_metrics(self._state.rows)
        self._setup.log.write("checkpoint", step=self._state.step, path=path.name)
        self._saved_at = perf_counter()

    def target_is_reached(self) -> bool:
        """Returns whether a judgement of the validation split has reached the accuracy that the recipe aims at."""
        best = self._state.best
        return bool(self._plan.target and best and best.accuracy >= self._plan.target)

    def patience_is_over(self) -> bool:
        """Returns whether the validation accuracy has not improved for as many epochs as the recipe allows."""
        best = self._state.best
        whole_epochs = self._state.step // self._plan.steps_per_epoch  # not the one that a resumed run is in
        return bool(self._plan.patience and best and whole_epochs - best.epoch >= self._plan.patience)

    def _epoch(self) -> int:
        """The epoch, from 1, to which the last step belongs."""
        return self._plan.epoch_of(self._state.step)

    def _add_row(self, judged: Row) -> None:
        state, plan = self._state, self._plan
        tally = self._step.tally()
        row: Row = {
            "epoch": self._epoch(),
            "step": state.step,
            "time_s": round(self._watch.seconds(), 3),
            "lr": self._setup.recipe.optim.lr * plan.schedule(plan.done(state.step - 1, self._watch.elapsed)),
            "train_loss": tally.loss,
            "train_accuracy": tally.accuracy,
            "val_loss": None,
            "val_accuracy": None,
            **judged,
        }
        state.rows.append(row)
        batch = state.step - (self._epoch() - 1) * plan.steps_per_epoch
        self._setup.progress.log({**row, "batch": batch, "steps": plan.steps})


def memory_format(recipe: Recipe) -> torch.memory_format:
    """Returns how a recipe's network and pictures lie in memory."""
    return torch.channels_last if recipe.train.channels_last else torch.contiguous_format


def _loader(setup: Setup, plan: Plan) -> Loader:
    train, dataset = setup.recipe.train, setup.dataset
    augmentation = Augmentation(**setup.recipe.data.augment.model_dump())
    augmentation.check(dataset.image_size)
    by_class = bool((dataset.train.labels[1:] >= dataset.train.labels[:-1]).all())
    order = Order(len(dataset.train), plan.batch_size, train.seed, train.shuffle, train.drop_last, mixed=by_class)
    return Loader(dataset.train, order, augmentation, setup.hardware.device, memory_format(setup.recipe))


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
    step = Step(prepared.learn)
    if checkpoint is not None:
        step.load_state_tensors(checkpoint.tensors["pending"])
    return step


@contextmanager
def _explained(setup: Setup, plan: Plan, state: State) -> Iterator[None]:
    """Turns what stops a run in its tracks into one line that says what to do; tells the watcher that it is over."""
    try:
        yield
    except LossNotFiniteError as error:
        at = state.step + 1 - error.steps_ago
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
    finally:
        setup.progress.finish()


def _kept(setup: Setup) -> str:
    folder = setup.folder
    any_yet = folder.checkpoints.is_dir() and any(folder.checkpoints.iterdir())
    return f"the last checkpoint in {folder.path} is intact" if any_yet else "no checkpoint was due yet"


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or ("memory" in text and "alloc" in text)
