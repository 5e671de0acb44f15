"""`tenfold show`: what the pictures look like to the training."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tenfold.data.types import Split
    from tenfold.recipes.schema import AugmentSection

_COLUMNS = 8


def show(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="shapes, cifar10, cifar100, auto, or a folder or archive.")
    ] = "auto",
    split: Annotated[Literal["train", "test", "val"], typer.Option(help="Which pictures.")] = "train",
    count: Annotated[int, typer.Option(min=1, max=400, metavar="N", help="How many.")] = 32,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another seed shows others.")] = 0,
    augmented: Annotated[
        bool, typer.Option("--augmented", help="Changed as the recipe changes them in training.")
    ] = False,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Whose preparation to show.")] = "quick",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe, e.g. data.fit=pad."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="FOLDER", help="Where a copy of CIFAR lies.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The picture to write, a PNG.")] = Path(
        "preview.png"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
) -> None:
    """Draws a sample of the pictures with their labels.

    \b
    Examples:
      tenfold show cifar10
      tenfold show my-photos/ --augmented --set data.augment.shift=4 --out augmented.png
    """
    from tenfold.cli.output import refuse_existing
    from tenfold.recipes.load import load_recipe, resolve

    if not force:
        refuse_existing(out, "choose another name with --out, or add --force")
    chosen = resolve(
        load_recipe(recipe, settings or []),
        {"data.source": data} | ({"data.data_dir": data_dir} if data_dir is not None else {}),
    )

    from tenfold.api import data as api
    from tenfold.cli.terminal import progress_for

    progress = progress_for(sys.stderr)
    try:
        dataset = api.dataset_of(chosen.data, progress)
    finally:
        progress.finish()
    if split not in dataset.splits():
        raise UsageError(f"{dataset.name} has no split '{split}'; expected {', '.join(dataset.splits())}")
    _draw(dataset.splits()[split], dataset.classes, count, seed, chosen.data.augment if augmented else None, out)


def _draw(
    split: "Split",
    classes: tuple[str, ...],
    count: int,
    seed: int,
    augment: "AugmentSection | None",
    out: Path,
) -> None:
    """Writes the PNG and prints the labels in the same rows."""
    import numpy as np

    from tenfold.report.plots.run_charts import plot_grid

    order = np.random.default_rng(seed).permutation(len(split))[:count]
    sample = split.subset(order)
    names = [classes[label] for label in sample.labels]
    images, titles = sample.images, names
    if augment is not None:
        images, titles = _augmented(split, order, classes, augment, seed)
    plot_grid(images, titles, out, columns=_COLUMNS)
    print(_label_grid(names))
    print(f"\n{len(names)} of {len(split):,} pictures drawn in {out}")


def _augmented(
    split: "Split", order: "NDArray[np.int64]", classes: tuple[str, ...], augment: "AugmentSection", seed: int
) -> "tuple[NDArray[np.uint8], list[str]]":
    """Returns the pictures at `order`, uint8 [N, H, W, 3], as the first epoch of training that changes them shows
    them, and titles."""
    import torch

    from tenfold.data.augment import Augmentation

    def gather(places: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(split.images[places.numpy()]).permute(0, 3, 1, 2)

    height, width = split.images.shape[1:3]
    augmentation = Augmentation(**augment.model_dump())
    augmentation.check((height, width))
    draws = augmentation.draw(len(split), seed=seed, epoch=0 if augmentation.first_epoch else 1)
    images, share = augmentation.prepare(torch.from_numpy(order), gather, draws)
    titles = [classes[label] for label in split.labels[order]]
    if share is not None:
        partners = [classes[label] for label in split.labels[draws["partner"][order]]]
        mixed = zip(titles, partners, share.tolist(), strict=True)
        titles = [f"{part:.0%} {own}\n{1 - part:.0%} {partner}" for own, partner, part in mixed]
    return images.permute(0, 2, 3, 1).contiguous().numpy(), titles


def _label_grid(names: list[str]) -> str:
    """Returns the labels in rows as the picture has them, in columns that line up."""
    from tenfold.core.text import printable

    cells = [printable(name) for name in names]
    width = max(map(len, cells))
    rows = [cells[first : first + _COLUMNS] for first in range(0, len(cells), _COLUMNS)]
    return "\n".join("  ".join(cell.ljust(width) for cell in row).rstrip() for row in rows)
