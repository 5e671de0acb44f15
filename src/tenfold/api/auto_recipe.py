"""Chooses a recipe by the size of the images, where the user leaves the choice open."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from tenfold.api.data import DataSource, request_of
from tenfold.api.prepare import Preparation, check_early, is_futile_to_vary
from tenfold.core.errors import DataError
from tenfold.core.progress import Progress
from tenfold.core.text import size_text
from tenfold.data.arrays import images_of
from tenfold.data.build import BUILT_IN
from tenfold.data.in_memory import split_pairs
from tenfold.data.own_size import typical_size
from tenfold.data.request import DataRequest
from tenfold.data.sources.shapes import SIZE
from tenfold.data.types import Dataset
from tenfold.experiments.sweep.values import RECIPE_KEY
from tenfold.recipes.auto import AUTO, LARGE, MAX_SMALL_SIDE, SMALL, TUNED, early_recipe
from tenfold.recipes.load import key_of
from tenfold.recipes.schema import NOT_FOR_A_HEAD, Recipe

_Size = tuple[int, int]
"""Height and width in pixels."""


class Chosen(NamedTuple):
    """What to train.

    Args:
        recipe: name, file or folder, or a recipe; never `auto`.
        name: what run folders call it.
        seconds: that downloading the data took; 0 if nothing was downloaded now.
    """

    recipe: str | Path | Recipe
    name: str
    seconds: float = 0.0


def chosen_recipe(
    recipe: str | Path | Recipe,
    data: DataSource | None,
    overrides: Sequence[str],
    progress: Progress,
    *,
    runs: str | Path,
    name: str | None,
    varied: Collection[str] = (),
    has_network: bool = False,
) -> Chosen:
    """Returns what the recipe `auto` becomes for some data, and reports it; another recipe stays as it is.

    What is wrong with the data is left to those who prepare them.

    Args:
        recipe: name, file or folder, or a recipe.
        data: as for `train`.
        overrides: `"section.key=value"` each.
        progress: receives the choice, and the progress of a download.
        runs: folder for run folders.
        name: run folder name, if it was given; checked before anything is downloaded.
        varied: keys that the trials of a sweep change.
        has_network: whether the network is another than the recipe's.

    Raises:
        RecipeError: when no recipe accepts the overrides.
        TenfoldError: see `check_early`, and `typical_size` about an address.
    """
    if recipe == AUTO and has_network:
        recipe = SMALL
    if recipe != AUTO:
        return Chosen(recipe, "recipe" if isinstance(recipe, Recipe) else Path(recipe).stem)
    early, seconds = early_recipe(overrides), 0.0
    unfit = _not_for_a_head(early, [key_of(line) for line in overrides], varied)
    check_early(early, Path(runs), name, check_network=False)
    own_key = next((key for key in (*map(key_of, overrides), *varied) if key.startswith("model.")), None)
    if own_key is not None and not early.model.pretrained:
        choice, reason = SMALL, f"{own_key} is {'varied' if own_key in varied else 'set'}"
    else:
        source = str(data) if isinstance(data, str | Path) else early.data.source
        request = request_of(early.data.model_copy(update={"source": source, "fit": "crop"}))  # `weights` is no fit yet
        if isinstance(data, str | Path | None):
            own_size, seconds = _size_of_source(request, progress)
        else:
            own_size = _size_in_memory(data)
        choice, reason = _choice(own_size, request.size)
        if choice == LARGE and unfit:
            choice, reason = SMALL, unfit
    if reason and RECIPE_KEY not in varied:
        other = SMALL if choice == LARGE else TUNED if unfit else LARGE
        progress.message(f"recipe: {choice}, because {reason} (another: --recipe {other})")
    return Chosen(choice, choice, seconds)


def _not_for_a_head(early: Recipe, keys: Sequence[str], varied: Collection[str]) -> str:
    """Returns why the head of `photo` cannot be fitted as asked, or empty where it can or other layers are asked for.

    Args:
        early: recipe with the user's overrides.
        keys: that the user set.
        varied: keys that the trials of a sweep change.
    """
    if "train.layers" in {*keys, *varied}:
        return ""
    for key in varied:
        if key in NOT_FOR_A_HEAD:
            return f"{key} is varied, which {LARGE} cannot obey"
        if is_futile_to_vary(key):
            return f"{key} is varied, which has no effect on {LARGE}"
    refused = (key for key in keys if key in NOT_FOR_A_HEAD and attrgetter(key)(early))
    return next((f"{key} is set, which {LARGE} cannot obey" for key in refused), "")


def _choice(own: _Size | None, asked: _Size | None) -> tuple[str, str]:
    """Returns the recipe for images of their own size and of the size that the user asks for, and the reason."""
    if own is None:  # preparing them will say why
        return SMALL, ""
    if min(own) <= MAX_SMALL_SIDE:
        return SMALL, f"the images are small, {size_text(own)}"
    if asked is not None and min(asked) <= MAX_SMALL_SIDE:
        return SMALL, f"data.image_size is {size_text(asked)}"
    return LARGE, f"the images are photos of about {size_text(own)}"


def _size_of_source(request: DataRequest, progress: Progress) -> tuple[_Size | None, float]:
    """Returns the typical size of the images of a source, and the seconds of a download."""
    if request.source in BUILT_IN:
        return (SIZE, SIZE), 0.0  # CIFAR's images too
    preparation = Preparation(progress)
    size = typical_size(request, preparation)
    return size, preparation.seconds()


def _size_in_memory(data: object) -> _Size | None:
    """Returns the size of images in memory by the first of them; None where they are something else."""
    if isinstance(data, Dataset):
        return data.image_size
    with suppress(DataError, LookupError, TypeError, ValueError):
        (images, _), *_ = split_pairs(data).values()
        height, width = images_of(images[:1], "images").shape[1:3]
        return height, width
    return None
