"""The page that a run, or a family of runs, is read on."""

from pathlib import Path

from torch import nn

from tenfold.api.data import dataset_of, needs_download
from tenfold.core.errors import TenfoldError, UsageError
from tenfold.core.progress import Progress, Silent
from tenfold.data.types import Dataset
from tenfold.recipes.load import load_recipe, resolve
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder


def report(
    path: str | Path,
    *,
    data: str | Path | Dataset | None = None,
    model: nn.Module | None = None,
    progress: Progress | None = None,
) -> Path:
    """Writes the page of a run, or of a sweep, as one HTML file and returns where it is.

    Pictures that are gone, or a network that cannot be built, leave their place to a sentence that says why.

    Args:
        path: a finished run folder, or the folder of a sweep or of several seeds.
        data: where the run's pictures lie now, as `--data` takes it, or a `Dataset`; where its recipe says by default.
        model: the network, where it is your own.
        progress: is told when pictures have to be prepared; silent by default.

    Raises:
        RunError: when there is no such run, or it is not finished or damaged.
        UsageError: when `data` or `model` is given for a sweep.
        StorageError: when the disk refuses.

    Example:
        >>> from tenfold.api import report
        >>> report("runs/cifar10-quick-20260101-120000")  # doctest: +SKIP
        PosixPath('runs/cifar10-quick-20260101-120000/report.html')
    """
    if SweepFolder.is_sweep(Path(path)):
        if data is not None or model is not None:
            raise UsageError(f"{path} is a sweep, whose page has no pictures; expected no data and no model for it")
        return _report_family(SweepFolder.open(Path(path)))
    from tenfold.report.page.run_page import write_page  # it brings matplotlib, which no other command should wait for

    folder = RunFolder.open(Path(path))
    found = data if isinstance(data, Dataset) else _pictures(folder, data, progress or Silent())
    if isinstance(found, str):
        return write_page(folder, None, model=model, why_no_data=found)
    return write_page(folder, found, model=model)


def _report_family(folder: SweepFolder) -> Path:
    from tenfold.report.page.family import write_family_page

    return write_family_page(folder)


def _pictures(folder: RunFolder, data: str | Path | None, progress: Progress) -> Dataset | str:
    """Returns the pictures of a run, or why they are not to be had."""
    recipe = load_recipe(folder.recipe)
    if data is not None:
        return dataset_of(resolve(recipe, {"data.source": str(data)}).data, progress)
    try:
        if needs_download(recipe.data):
            return f"{recipe.data.source} is not on this machine; get it with: tenfold data get {recipe.data.source}"
        pictures = dataset_of(recipe.data, progress)
    except TenfoldError as error:
        return str(error)
    known = folder.read_summary().get("dataset", {}).get("fingerprint")
    if known and pictures.fingerprint != known:
        return f"{recipe.data.source} holds other pictures now than those of the run"
    return pictures
