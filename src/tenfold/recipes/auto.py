"""The recipe `auto`, which is not a file: by the size of the images it is one of two others."""

from collections.abc import Sequence

from tenfold.core.errors import RecipeError
from tenfold.recipes.load import AUTO as AUTO
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe

SMALL = "quick"
"""Recipe for small images."""

LARGE = "photo"
"""Recipe for larger ones."""

TUNED = "photo-tuned"
"""Recipe for larger images where a budget leaves time to train all layers after the head."""

MAX_SMALL_SIDE = 64
"""Largest size of small images in pixels: the smaller one of their median height and their median width."""

TITLE = f"The default: {SMALL} for images of up to {MAX_SMALL_SIDE} pixels, {LARGE} for larger ones"

EXPLANATION = f"""\
{TITLE}.

The size is the smaller one of the median height and the median width of a sample of the images; only the starts of
files are read.
Other reasons for {SMALL}:
- the data is built in;
- data.image_size is at most {MAX_SMALL_SIDE};
- the network is decided otherwise: by a key of [model] other than model.pretrained = true, by --from, or by your
  own network in Python;
- a sweep varies a key that has no effect on {LARGE}, such as optim.lr;
- a key is set that {LARGE} cannot obey, such as data.augment.mixup, and train.layers is not.

Within a --budget on larger images, {TUNED} is trained where the time is enough.

Training begins with a line that says the choice and its reason. The run folder has the name of the recipe
that was chosen, and holds it complete. Another one: --recipe {SMALL}, --recipe {LARGE}, or see `tenfold recipes`.
"""


def early_recipe(overrides: Sequence[str]) -> Recipe:
    """Returns one of the recipes that `auto` may become with the user's overrides, before an image is looked at.

    Args:
        overrides: `"section.key=value"` each.

    Raises:
        RecipeError: when none of them accepts the overrides; the message is that of the first.

    Example:
        >>> early_recipe(["train.seed=3"]).train.seed
        3
    """
    try:
        return load_recipe(SMALL, overrides)
    except RecipeError:
        try:
            return load_recipe(LARGE, overrides)
        except RecipeError:
            pass
        raise
