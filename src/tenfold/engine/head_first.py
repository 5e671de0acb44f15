"""A head that is fitted before all layers are trained, and stays the model where they bring nothing better."""

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

from tenfold.core.text import percent
from tenfold.engine.head import FittedHead, fit_head
from tenfold.engine.plan import Plan, make_plan
from tenfold.engine.recording import evaluate_now, save_checkpoint
from tenfold.engine.setup import Setup, training_loader
from tenfold.engine.shown import show_images
from tenfold.engine.signals import StopRequest
from tenfold.engine.state import State
from tenfold.recipes.durations import Duration
from tenfold.recipes.schema import AugmentSection, Recipe

HEAD_THEN_ALL = "head-then-all"
HEAD_EPOCHS = 2
"""How often each image is shown to the head before all layers are trained: the image and its mirror image."""

FITTED = "head fitted"
"""Event of the log, with `FittedHead.to_json`: a resumed run does not fit the head again."""


def start_from_head(setup: Setup, plan: Plan, state: State, stop: StopRequest) -> FittedHead | None:
    """Fits the head to each training image and its mirror image, and records it as epoch 0, the best so far.

    Nothing happens unless `train.layers` is `head-then-all`.

    Args:
        setup: of the run.
        plan: of the run.
        state: before the first step; its average starts from the fitted head.
        stop: whether a signal asked for a stop.

    Raises:
        Stopped: when one did; the features so far are saved.
        ModelError: when the network does not end in one linear layer.
    """
    if setup.recipe.train.layers != HEAD_THEN_ALL:
        return None
    started, alone = perf_counter(), replace(setup, recipe=head_alone(setup.recipe))
    shorter = make_plan(alone.recipe, setup.dataset)
    loader = training_loader(alone.recipe, setup.dataset, setup.hardware)
    shown, _ = show_images(alone, shorter, loader, stop)
    head = fit_head(alone, shown, shorter.class_weights, calibrated=True)
    setup.log.write(FITTED, seconds=round(perf_counter() - started, 3), **head.to_json())
    state.average.restart()
    evaluate_now(setup, plan, state, head.metrics)
    setup.progress.message(f"head alone: validation accuracy {percent(outcome(state)['val_accuracy'])}")
    save_checkpoint(setup, state)
    return head


def head_alone(recipe: Recipe) -> Recipe:
    """Returns the recipe of the head alone: two epochs, which show each image and its mirror image."""
    mirrored = {"augment": AugmentSection(flip="alternating"), "pruning": 0.0}
    short = {"layers": "head", "duration": Duration(HEAD_EPOCHS, "epochs"), "min_steps": 0, "drop_last": False}
    sections = {
        "data": recipe.data.model_copy(update=mirrored),
        "optim": recipe.optim.model_copy(update={"label_smoothing": 0.0}),
        "train": recipe.train.model_copy(update=short),
    }
    return recipe.model_copy(update=sections)


def report_outcome(setup: Setup, state: State) -> None:
    """Says in one line whether the head alone or all layers are the model, where both were trained."""
    if setup.recipe.train.layers == HEAD_THEN_ALL:
        setup.progress.message(outcome_text(outcome(state), setup.recipe.train.monitor))


def outcome(state: State) -> dict[str, Any]:
    """Returns the part of `summary.json` on what all layers brought.

    Args:
        state: at the end of training.

    Returns:
        `kept`, whether the head alone is the model; `val_accuracy` of the head alone; `all_layers`, the validation
        accuracy that was chosen afterwards, or the highest where none was; None where the head ended the training.
    """
    alone, *later = (row["val_accuracy"] for row in state.rows if row["val_accuracy"] is not None)
    best = state.best
    kept = best is None or best.step == 0
    chosen = max(later, default=None) if best is None or kept else best.accuracy
    return {"kept": kept, "val_accuracy": alone, "all_layers": chosen}


def outcome_text(found: Mapping[str, Any], monitor: str) -> str:
    """Returns the outcome in one line.

    Args:
        found: from `outcome`.
        monitor: figure that chose.

    Example:
        >>> outcome_text({"kept": True, "val_accuracy": 0.96, "all_layers": None}, "accuracy")
        'the head alone is kept, which ended the training (validation accuracy 96.0 %)'
    """
    alone, later = (None if found[key] is None else percent(found[key]) for key in ("val_accuracy", "all_layers"))
    if later is None:
        return f"the head alone is kept, which ended the training (validation accuracy {alone})"
    if found["kept"]:
        return (
            f"the head alone is kept: no epoch of all layers was better by train.monitor = {monitor} "
            f"(validation accuracy {alone}, then at most {later})"
        )
    return (
        f"all layers are kept: better than the head alone by train.monitor = {monitor} "
        f"(validation accuracy {alone}, then {later})"
    )
