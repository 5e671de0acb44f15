"""Captions of training curves: which loss and which images they show, where that is not plain."""

from collections.abc import Mapping, Sequence

from tenfold.core.text import percent
from tenfold.recipes.schema import Recipe

Row = Mapping[str, float | int | str | None]


def curve_notes(recipe: Recipe, rows: Sequence[Row]) -> tuple[str, ...]:
    """Returns sentences on what the training curves of a run show where that is not plain.

    Args:
        recipe: of the run.
        rows: of `metrics.csv`.
    """
    augment, smoothing = recipe.data.augment, recipe.optim.label_smoothing
    mixing = " and ".join(name for name in ("mixup", "cutmix") if getattr(augment, name))
    has_objective = any(row.get("train_objective") not in (None, "") for row in rows)
    notes = []
    if rows and rows[0].get("step") == 0:
        notes.append("Step 0 is the head alone, trained on images without augmentation.")
    if mixing:
        notes.append(
            f"With {mixing}, training loss and accuracy are of mixed images, which are harder than those of the "
            "validation and test split."
        )
    if has_objective:
        notes.append(
            "Objective: the loss that training minimizes"
            + (f", with label smoothing {smoothing:g}" if smoothing else "")
            + (" and mixed labels" if mixing and smoothing else ", with mixed labels" if mixing else "")
            + "; train and validation are the plain cross-entropy."
        )
    elif smoothing and rows:  # of a version that did not record the plain loss
        notes.append(
            f"The training loss includes label smoothing {smoothing:g}, the validation loss does not: the two cannot "
            "be compared."
        )
    if recipe.data.pruning:
        notes.append(
            "From the second epoch on, training loss and accuracy are of harder images: the "
            f"{percent(recipe.data.pruning, 0)} with the lowest losses are used six times less often."
        )
    return tuple(notes)
