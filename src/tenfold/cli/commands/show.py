"""`tenfold show`: what the images look like to the training."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tenfold.cli.options import (
    ClassesAreFoldersOption,
    DataDirOption,
    ForceOption,
    LabelsOption,
    SetOption,
    SplitsOption,
    chosen_data,
    data_argument,
    data_option,
    flag,
    option,
    output_file,
    recipe_lines,
    recipe_option,
    seed_option,
    split_option,
)
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tenfold.data.types import Split
    from tenfold.recipes.schema import AugmentSection

_COLUMNS = 8


def show(
    data_source: Annotated[str | None, data_argument("auto")] = None,
    data: Annotated[str | None, data_option("auto")] = None,
    split: Annotated[Literal["train", "val", "test"], split_option("train")] = "train",
    count: Annotated[
        int, option("--count", metavar="N", help_text="Number of images", default=32, min=1, max=400)
    ] = 32,
    seed: Annotated[int, seed_option("0")] = 0,
    augmented: Annotated[bool, flag("--augmented", "Apply the recipe's training augmentation")] = False,
    recipe: Annotated[str, recipe_option("quick")] = "quick",
    settings: SetOption = None,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    output: Annotated[Path, output_file("preview.png")] = Path("preview.png"),
    force: ForceOption = False,
) -> None:
    """Draws a sample of the images with their labels, as PNG or JPEG.

    \b
    Examples:
      tenfold show cifar10
      tenfold show my-photos/ --augmented --set data.augment.shift=4 --output augmented.png
    """
    from tenfold.cli.output import check_image_name, check_outputs
    from tenfold.recipes.load import load_recipe, resolve

    source = chosen_data(data_source, data) or "auto"
    check_image_name("--output", output)
    lines = recipe_lines(
        settings, data_dir=data_dir, labels=labels, splits=splits, classes_are_folders=classes_are_folders
    )
    chosen = resolve(load_recipe(recipe, lines), {"data.source": source})

    from tenfold.api import data as api
    from tenfold.cli.terminal import progress_for

    with progress_for(sys.stderr) as progress:
        dataset = api.dataset_of(chosen.data, progress)
    if split not in dataset.splits():
        raise UsageError(f"{dataset.name} has no split '{split}'; expected {', '.join(dataset.splits())}")
    check_outputs({"--output": output}, force=force)  # what is wrong with the data comes first
    _draw(dataset.splits()[split], dataset.classes, count, seed, chosen.data.augment if augmented else None, output)


def _draw(
    split: "Split",
    classes: tuple[str, ...],
    count: int,
    seed: int,
    augment: "AugmentSection | None",
    output: Path,
) -> None:
    """Writes the image and prints the labels in the same rows."""
    import numpy as np

    from tenfold.cli.output import wrote
    from tenfold.report.plots.image_grids import plot_grid

    indices = np.random.default_rng(seed).permutation(len(split))[:count]
    sample = split.subset(indices)
    names = [classes[label] for label in sample.labels]
    images, titles = sample.images, names
    if augment is not None:
        images, titles = _augmented(split, indices, classes, augment, seed)
    plot_grid(images, titles, output, columns=_COLUMNS)
    print(_label_grid(names))
    wrote(output, f"{len(names)} of {len(split):,} images")


def _augmented(
    split: "Split", indices: "NDArray[np.int64]", classes: tuple[str, ...], augment: "AugmentSection", seed: int
) -> "tuple[NDArray[np.uint8], list[str]]":
    """Returns the images at `indices` as the first augmented epoch shows them, uint8 [N, H, W, 3], and titles."""
    import torch

    from tenfold.data.augment import Augmentation

    height, width = split.images.shape[1:3]
    augmentation = Augmentation(**augment.model_dump())
    augmentation.check((height, width))
    draws = augmentation.draw(len(split), seed=seed, epoch=0 if augmentation.first_epoch else 1)

    def augmented(indices: "NDArray[np.int64]") -> torch.Tensor:
        rows = {name: table[indices] for name, table in draws.items()}
        return augmentation.apply(torch.from_numpy(split.images[indices]).permute(0, 3, 1, 2), rows)

    images, titles = augmented(indices), [classes[label] for label in split.labels[indices]]
    if "partner" in draws:
        partners = draws["partner"][indices].numpy()
        images, weights = augmentation.mix(
            images, augmented(partners), {name: table[indices] for name, table in draws.items()}
        )
        pairs = zip(titles, [classes[label] for label in split.labels[partners]], weights.tolist(), strict=True)
        titles = [f"{weight:.0%} {own}\n{1 - weight:.0%} {partner}" for own, partner, weight in pairs]
    return images.permute(0, 2, 3, 1).contiguous().numpy(), titles


def _label_grid(names: list[str]) -> str:
    """Returns the labels in the rows of the drawing, in aligned columns."""
    from tenfold.core.text import printable

    cells = [printable(name) for name in names]
    width = max(map(len, cells))
    rows = [cells[first : first + _COLUMNS] for first in range(0, len(cells), _COLUMNS)]
    return "\n".join("  ".join(cell.ljust(width) for cell in row).rstrip() for row in rows)
