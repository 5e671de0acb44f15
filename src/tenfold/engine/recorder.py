"""What is written down of a training while it goes on."""

from time import perf_counter

from tenfold.core.clock import Stopwatch
from tenfold.data.loader import Loader
from tenfold.engine.plan import Plan
from tenfold.engine.setup import Setup
from tenfold.engine.state import Best, Row, State
from tenfold.engine.step import Step


class Recorder:
    """Writes down what happens in a run: rows, checkpoints, the best model."""

    def __init__(self, setup: Setup, plan: Plan, state: State, step: Step, watch: Stopwatch, loader: Loader) -> None:
        self._setup, self._plan, self._state, self._step, self._watch = setup, plan, state, step, watch
        self._loader = loader
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
        self._state.seconds, self._state.loading_seconds = self._watch.seconds(), self._loader.seconds
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
