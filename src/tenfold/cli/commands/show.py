"""`tenfold show`: what the images look like to the training."""

import sys
from pathlib import Path
from typing import Annotated, Literal

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

_COLUMNS = 8
_PLAIN, _ROWS, _MAX_ROWS = 32, 6, 50  # images by default, with --augmented, and at most with --augmented


def show(
    data_source: Annotated[str | None, data_argument("auto")] = None,
    data: Annotated[str | None, data_option("auto")] = None,
    split: Annotated[Literal["train", "val", "test"], split_option("train")] = "train",
    count: Annotated[
        int | None,
        option(
            "--count", metavar="N", help_text=f"Number of images (default: {_PLAIN}, augmented {_ROWS})", min=1, max=400
        ),
    ] = None,
    seed: Annotated[int, seed_option("0")] = 0,
    augmented: Annotated[bool, flag("--augmented", "Show 7 augmented versions beside each image")] = False,
    recipe: Annotated[str, recipe_option("auto")] = "auto",
    settings: SetOption = None,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    output: Annotated[Path, output_file("preview.png")] = Path("preview.png"),
    force: ForceOption = False,
) -> None:
    """Draws a sample of the images with their labels, as PNG or JPEG.

    With `--augmented` each row is one image: as evaluation sees it, then as training with the recipe would show it.

    \b
    Examples:
      tenfold show cifar10
      tenfold show my-photos/ --augmented --set data.augment.trivial=true --output augmented.png
    """
    import numpy as np

    from tenfold.cli.output import check_image_name, check_outputs, wrote
    from tenfold.recipes.auto import AUTO, early_recipe
    from tenfold.recipes.load import load_recipe, resolve

    source = chosen_data(data_source, data) or "auto"
    check_image_name("--output", output)
    if augmented and count is not None and count > _MAX_ROWS:
        raise UsageError(f"--count is {count}; expected at most {_MAX_ROWS} with --augmented, one row each")
    lines = recipe_lines(
        settings, data_dir=data_dir, labels=labels, splits=splits, classes_are_folders=classes_are_folders
    )
    if recipe == AUTO:  # a mistake is reported before torch is imported
        early_recipe(lines)
    else:
        load_recipe(recipe, lines)

    from tenfold.api import data as api
    from tenfold.api.auto_recipe import chosen_recipe
    from tenfold.api.preview import augmented_preview, preview
    from tenfold.api.weights import with_weights
    from tenfold.cli.terminal import progress_for
    from tenfold.core.text import plural
    from tenfold.report.plots.canvas import DARK, GRAY
    from tenfold.report.plots.image_grids import plot_grid

    with progress_for(sys.stderr) as progress:
        name = str(chosen_recipe(recipe, source, lines, progress, runs="runs", name=None).recipe)
        chosen = with_weights(resolve(load_recipe(name, lines), {"data.source": source}), progress)
        dataset = api.dataset_of(chosen.data, progress)
    if split not in dataset.splits():
        raise UsageError(f"{dataset.name} has no split '{split}'; expected {', '.join(dataset.splits())}")
    check_outputs({"--output": output}, force=force)  # what is wrong with the data comes first
    images = dataset.splits()[split]
    indices = np.random.default_rng(seed).permutation(len(images))[: count or (_ROWS if augmented else _PLAIN)]
    names = [dataset.classes[label] for label in images.labels[indices]]
    if augmented:
        found = augmented_preview(dataset, images, indices, chosen.data.augment, seed)
        colors = [DARK, *[GRAY] * (_COLUMNS - 1)] * len(indices)
    else:
        found, colors = preview(dataset, images, indices), None
    plot_grid(found.images, found.titles, output, _COLUMNS, colors)
    print(_label_grid(names, 1 if augmented else _COLUMNS))
    wrote(output, f"{len(names)} of {plural(len(images), 'image')}")


def _label_grid(names: list[str], columns: int) -> str:
    """Returns the labels in the rows of the drawing, in aligned columns."""
    from tenfold.core.text import printable

    cells = [printable(name) for name in names]
    width = max(map(len, cells))
    rows = [cells[first : first + columns] for first in range(0, len(cells), columns)]
    return "\n".join("  ".join(cell.ljust(width) for cell in row).rstrip() for row in rows)
