"""The page of a run or a sweep."""

from pathlib import Path

from torch import nn

from tenfold.api.data import DataSource, dataset_of, in_memory, needs_download, recorded_section
from tenfold.api.runs import RunSource, path_of
from tenfold.core.disk import display_path
from tenfold.core.errors import DataError, TenfoldError, UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.data.types import Dataset
from tenfold.recipes.load import load_recipe
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.sweep_folder import SweepFolder


def report(
    path: RunSource,
    *,
    data: DataSource | None = None,
    model: nn.Module | None = None,
    progress: Progress | None = None,
) -> Path:
    """Writes the page of a run or a sweep as one HTML file.

    If the images are gone or the network cannot be built, a sentence on the page says why they are missing. The page of
    an unfinished run has its curves so far and the command that goes on with it.

    Args:
        path: a run folder, or the folder of a sweep or of several seeds.
        data: where the images of the run are now, or the images themselves, as for `train`; as the recipe says by
            default.
        model: the network, if it is your own.
        progress: receives messages; shown in notebooks and silent elsewhere by default.

    Returns:
        The path of the page.

    Raises:
        RunError: when there is no such run, or it is damaged.
        UsageError: when `data` or `model` is given for a sweep.
        StorageError: when the page cannot be written.

    Example:
        >>> from tenfold.api.report import report
        >>> report("runs/cifar10-quick-20260101-120000")  # doctest: +SKIP
        PosixPath('runs/cifar10-quick-20260101-120000/report.html')
    """
    path = path_of(path, "run", "sweep")
    if SweepFolder.is_sweep(path):
        if data is not None or model is not None:
            raise UsageError(f"{path} is a sweep, whose page shows no images; expected no data and no model")
        from tenfold.report.page.sweep_page import write_sweep_page

        return write_sweep_page(SweepFolder.open(path))
    from tenfold.report.page.run_page import write_page  # imports matplotlib, which other commands do without
    from tenfold.report.page.unfinished_page import write_unfinished_page

    folder = RunFolder.open(path)
    if not folder.is_finished:
        return write_unfinished_page(folder)
    found = _dataset(folder, data, progress or default_progress())
    if isinstance(found, str):
        return write_page(folder, None, model=model, why_no_data=found)
    return write_page(folder, found, model=model)


def _dataset(folder: RunFolder, data: DataSource | None, progress: Progress) -> Dataset | str:
    """Returns the dataset of a run, or the reason why it is not available.

    Raises:
        DataError: when `data` is given and missing, or does not hold the images of the run.
    """
    section = load_recipe(folder.recipe).data
    known = folder.read_summary().get("dataset", {}).get("fingerprint")
    if (given := in_memory(data, section)) is not None:
        return given
    if data is not None:
        dataset = dataset_of(recorded_section(section, folder.path, str(data)), progress)
        if known and dataset.fingerprint != known:
            raise DataError(
                f"{data} holds other images than {display_path(folder.path)} was trained on; expected those"
            )
        return dataset
    try:
        if needs_download(section):
            return f"{section.source} is not on this machine; get it with: tenfold data get {section.source}"
        dataset = dataset_of(recorded_section(section, folder.path), progress)
    except TenfoldError as error:
        return str(error)
    if known and dataset.fingerprint != known:
        return f"{section.source} has changed since the run: it holds other images now"
    return dataset
