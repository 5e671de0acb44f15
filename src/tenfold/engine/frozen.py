"""Training with frozen layers: features of the training images are computed once, and the head is fitted to them."""

from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.engine.agreement import agree
from tenfold.engine.head import fit_head
from tenfold.engine.head_first import HEAD_THEN_ALL, head_alone
from tenfold.engine.loop import Trained
from tenfold.engine.plan import make_plan
from tenfold.engine.precision import choose_hardware
from tenfold.engine.recording import clear_errors, evaluate_now, save_checkpoint, shown_progress
from tenfold.engine.repeat import record_execution
from tenfold.engine.running_metrics import RunningMetrics
from tenfold.engine.setup import Setup, memory_format, training_loader
from tenfold.engine.shown import show_images, shown_batches
from tenfold.engine.signals import StopRequest
from tenfold.engine.state import State
from tenfold.engine.times import RunTimes
from tenfold.optim.averaging import WeightEMA
from tenfold.optim.build import CombinedOptimizer
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import Classifier
from tenfold.runs.checkpoint import Checkpoint


def train_head(setup: Setup, checkpoint: Checkpoint | None = None) -> Trained:
    """Fits the head of `setup`'s model to features of the training images; the other layers stay as they are.

    Args:
        setup: its hardware must be active. `train.duration` is how often each image is shown, with its augmentation.
        checkpoint: of a run that is resumed; features are in the cache folder, so nothing else of it is needed.

    Raises:
        Stopped: when a signal asked for it; the features so far are saved.
        TrainingError: when memory runs out; see `train`.
        ModelError: when the network does not end in one linear layer.
        RunError: when the checkpoint does not fit.
    """
    recipe, hardware = setup.recipe, setup.hardware
    plan = make_plan(recipe, setup.dataset)
    model = setup.classifier.model.to(hardware.device, memory_format=memory_format(recipe))  # type: ignore[call-overload]
    loader = training_loader(recipe, setup.dataset, hardware)
    times = RunTimes(hardware.device, loader, setup.log.seconds)
    no_optimizer, metrics = CombinedOptimizer(()), RunningMetrics(processes=setup.processes)
    average, fingerprint = WeightEMA(model, 0.0), setup.dataset.fingerprint
    state = State(model, no_optimizer, average, times, fingerprint, metrics, processes=setup.processes)
    if checkpoint is not None:
        state.load(checkpoint)
        state.rows, state.best = [], None
    setup = record_execution(setup, hardware)
    with StopRequest() as stop, shown_progress(setup, plan), clear_errors(setup, plan, state):
        times.start_training()
        shown, state.step = show_images(setup, plan, loader, stop)
        fitted = fit_head(setup, shown, plan.class_weights)
        times.pause_training()
        evaluate_now(setup, plan, state, fitted.metrics)
        save_checkpoint(setup, state)
        agree(setup.processes, stop, times)
        if stop.due:
            raise stop.error(f"stopped after the head was fitted; resume with: {setup.folder.resume_command()}")
    return Trained(setup, state, fitted)


def prepare_features(classifier: Classifier, recipe: Recipe, dataset: Dataset, progress: Progress) -> None:
    """Computes the features that runs of `recipe` need, for several processes that would each compute them.

    Args:
        classifier: of the recipe, not trained yet.
        recipe: complete; its runs begin with a head, or fit nothing else.
        dataset: see `Dataset`.
        progress: is notified of what happens.

    Raises:
        TenfoldError: see `train_head`.
    """
    recipe = head_alone(recipe) if recipe.train.layers == HEAD_THEN_ALL else recipe
    hardware = choose_hardware(recipe.train)
    with hardware.active():
        classifier.model.to(hardware.device)
        plan, loader = make_plan(recipe, dataset), training_loader(recipe, dataset, hardware)
        for _ in shown_batches(classifier, plan, loader, hardware, progress):
            pass
