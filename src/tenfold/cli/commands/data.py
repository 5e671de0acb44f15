"""`tenfold data`: the prepared copies of images in the cache folder."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli.grammar import Command
from tenfold.cli.options import (
    ClassesAreFoldersOption,
    DataDirOption,
    ForceOption,
    LabelsOption,
    SetOption,
    SplitsOption,
    argument,
    chosen_data,
    data_argument,
    data_option,
    flag,
    option,
    output_folder,
    recipe_lines,
    required,
)
from tenfold.core.errors import DataError, RunError, UsageError

if TYPE_CHECKING:
    from tenfold.recipes.schema import DataSection

app = typer.Typer(rich_markup_mode=None)

_COPY_HELP = "Name or key of a prepared copy, see `tenfold data`"


@app.callback(invoke_without_command=True)
def data(context: typer.Context) -> None:
    """Lists and manages prepared copies of images.

    Training decodes images once and keeps the copies in the cache folder. Your own files are never changed.

    \b
    Examples:
      tenfold data
      tenfold data get cifar10
      tenfold data verify cifar10
      tenfold data export cifar10 --output tars
      tenfold data delete my-photos
    """
    if context.invoked_subcommand is not None:
        return
    from tenfold.cli.output import note, render
    from tenfold.core.cache import cache_folder
    from tenfold.core.text import file_size
    from tenfold.data.store.feature_cache import features_bytes, features_folder
    from tenfold.data.store.store import list_stores, list_unfinished
    from tenfold.report.tables.run_tables import listing

    stores, unfinished, features = list_stores(), list_unfinished(), features_bytes()
    if not stores and not unfinished and not features:
        note(f"no images are prepared in {cache_folder()}; prepare some with: tenfold data get cifar10")
        return
    rows: list[list[str | int]] = [
        [store.name, store.key, store.num_images, file_size(store.bytes), str(store.path)] for store in stores
    ]
    render(listing(["name", "key", "images", "size", "path"], rows))
    render(f"{len(stores)} in all, {file_size(sum(store.bytes for store in stores))}")
    for store in unfinished:
        render(f"unfinished: {store.name}, {file_size(store.bytes)} in {store.path}; the next preparation continues it")
    if features:
        render(f"features that frozen networks have computed: {file_size(features)} in {features_folder()}")


@app.command(cls=Command)
def get(
    data_source: Annotated[str | None, data_argument(None)] = None,
    data: Annotated[str | None, data_option(None)] = None,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    settings: SetOption = None,
) -> None:
    """Downloads and prepares images before training.

    \b
    Examples:
      tenfold data get cifar10
      tenfold data get my-photos/ --set data.image_size=64
    """
    section = _section(data_source, data, data_dir, labels, splits, classes_are_folders, settings)
    from tenfold.api import data as api
    from tenfold.cli.terminal import progress_for
    from tenfold.core.text import printable, size_text
    from tenfold.inspect.balance import label_warnings

    with progress_for(sys.stderr) as progress:
        dataset = api.dataset_of(section, progress)
    for note in filter(None, (dataset.layout, *dataset.notes, *label_warnings(dataset))):
        progress.message(note)
    for skipped in dataset.skipped:
        progress.message(printable(f"skipped {skipped.path}: {skipped.reason}"))
    counts = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits().items())
    print(f"{dataset.name}: {counts} images of {size_text(dataset.image_size)} in {len(dataset.classes)} classes")


def _section(
    data_source: str | None,
    data: str | None,
    data_dir: str | None,
    labels: str | None,
    splits: str | None,
    classes_are_folders: bool,
    settings: list[str] | None,
) -> "DataSection":
    """Returns the `[data]` that the options of a command ask for."""
    from tenfold.recipes.load import resolve
    from tenfold.recipes.schema import Recipe

    source = required(chosen_data(data_source, data), "DATA")
    lines = recipe_lines(
        settings, data_dir=data_dir, labels=labels, splits=splits, classes_are_folders=classes_are_folders
    )
    return resolve(resolve(Recipe(), lines), {"data.source": source}).data


@app.command(cls=Command)
def export(
    data_source: Annotated[str | None, data_argument(None)] = None,
    data: Annotated[str | None, data_option(None)] = None,
    file_format: Annotated[
        str, option("--format", metavar="FORMAT", help_text="File format", default="webdataset")
    ] = "webdataset",
    output: Annotated[Path | None, output_folder("the name of the data, here")] = None,
    force: ForceOption = False,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    settings: SetOption = None,
) -> None:
    """Writes prepared images as tar files of WebDataset, for other programs.

    \b
    Examples:
      tenfold data export cifar10 --output cifar10-tars
      tenfold data export my-photos/ --format webdataset --output tars --set data.image_size=64
    """
    from tenfold.api import data as api
    from tenfold.cli.output import wrote
    from tenfold.cli.terminal import progress_for
    from tenfold.core.text import plural
    from tenfold.data.store.cache_key import dataset_name

    section = _section(data_source, data, data_dir, labels, splits, classes_are_folders, settings)
    folder = output or Path(dataset_name(Path(section.source)))
    with progress_for(sys.stderr) as progress:
        count = api.export_dataset(section, file_format, folder, progress, force=force)
    wrote(folder, f"{plural(count, 'tar file')} of WebDataset; read them with --data {folder}")


@app.command(cls=Command)
def delete(
    name: Annotated[str | None, argument("NAME|KEY", _COPY_HELP)] = None,
    everything: Annotated[bool, flag("--all", "Delete every prepared copy, and all features")] = False,
) -> None:
    """Deletes prepared copies, and nothing else.

    \b
    Examples:
      tenfold data delete cifar10
      tenfold data delete --all
    """
    if (name is None) == (not everything):
        raise UsageError("expected either the name of a prepared copy or --all; `tenfold data` lists the names")
    from tenfold.core.text import file_size
    from tenfold.data.store.feature_cache import delete_features, features_folder
    from tenfold.data.store.store import delete_all, delete_store

    deleted = delete_store(name) if name is not None else delete_all()
    for store in deleted:
        print(f"deleted {store.path} ({file_size(store.bytes)})")
    features = delete_features() if everything else 0
    if features:
        print(f"deleted {features_folder()} ({file_size(features)})")
    if not deleted and not features:
        print("there was nothing to delete")


@app.command(cls=Command)
def where() -> None:
    """Prints the cache folder that holds the prepared copies.

    The environment variable TENFOLD_CACHE chooses another folder.

    \b
    Example:
      du -sh "$(tenfold data where)"
    """
    from tenfold.core.cache import cache_folder

    print(cache_folder())


@app.command(cls=Command)
def verify(name: Annotated[str, argument("NAME|KEY", _COPY_HELP)]) -> None:
    """Checks a prepared copy, byte by byte.

    \b
    Example:
      tenfold data verify cifar10
    """
    from tenfold.core.durable import verify_folder
    from tenfold.data.store.store import stores_named

    damaged = 0
    for store in stores_named(name):
        try:
            verify_folder(store.path)
            print(f"{store.path.name}: every file is as it was written")
        except RunError as error:
            damaged += 1
            print(f"{store.path.name}: {error}")
    if damaged:
        copies, them = ("prepared copy is", "it") if damaged == 1 else ("prepared copies are", "them")
        raise DataError(
            f"{damaged} {copies} damaged; delete {them} with: tenfold data delete {name} (prepared again when needed)"
        )
