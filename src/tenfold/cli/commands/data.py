"""`tenfold data`: the prepared copies of pictures in the cache folder."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.core.errors import DataError, RunError, UsageError

if TYPE_CHECKING:
    from tenfold.data.store.store import StoreInfo

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def data(context: typer.Context) -> None:
    """Lists and manages prepared copies of pictures.

    Training prepares pictures once and keeps the copies in the cache folder. Your own files are only read.

    \b
    Examples:
      tenfold data
      tenfold data get cifar10
      tenfold data verify cifar10
      tenfold data delete my-photos
    """
    if context.invoked_subcommand is not None:
        return
    from tenfold.cli.output import narrate, show
    from tenfold.data.store.store import cache_folder, list_stores
    from tenfold.report.tables.run_tables import file_size, listing

    stores = list_stores()
    if not stores:
        narrate(f"no pictures are prepared in {cache_folder()}; tenfold data get cifar10 prepares some")
        return
    rows: list[list[str | int]] = [
        [store.name, store.key, store.pictures, file_size(store.bytes), str(store.path)] for store in stores
    ]
    show(listing(["name", "key", "pictures", "size", "where"], rows))
    show(f"{len(stores)} in all, {file_size(sum(store.bytes for store in stores))}")


@app.command()
def get(
    source: Annotated[
        str, typer.Argument(metavar="DATA", help="shapes, cifar10, cifar100, auto, or a folder or archive.")
    ],
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="FOLDER", help="Where a copy of CIFAR lies.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="How to prepare, e.g. data.image_size=64."),
    ] = None,
) -> None:
    """Downloads and prepares pictures ahead of training.

    \b
    Examples:
      tenfold data get cifar10
      tenfold data get my-photos/ --set data.image_size=64
    """
    from tenfold.recipes.load import resolve
    from tenfold.recipes.schema import Recipe

    flags = {"data.source": source} | ({"data.data_dir": data_dir} if data_dir is not None else {})
    section = resolve(resolve(Recipe(), settings or []), flags).data

    from tenfold.api import data as api
    from tenfold.cli.terminal import progress_for
    from tenfold.core.text import printable

    progress = progress_for(sys.stderr)
    try:
        dataset = api.dataset_of(section, progress)
    finally:
        progress.finish()
    for note in dataset.notes:
        progress.message(note)
    for skipped in dataset.skipped:
        progress.message(printable(f"skipped {skipped.path}: {skipped.reason}"))
    counts = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits().items())
    height, width = dataset.image_size
    print(f"{dataset.name}: {counts} pictures of {height}×{width} in {len(dataset.classes)} classes")


@app.command()
def delete(
    name: Annotated[str | None, typer.Argument(metavar="NAME|KEY", help="As `tenfold data` lists it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete every prepared copy.")] = False,
) -> None:
    """Deletes prepared copies, and nothing else.

    \b
    Examples:
      tenfold data delete cifar10
      tenfold data delete --all
    """
    if (name is None) == (not everything):
        raise UsageError("expected either the name of a prepared copy or --all; `tenfold data` lists the names")
    from tenfold.data.store.store import delete_all, delete_store
    from tenfold.report.tables.run_tables import file_size

    deleted = delete_store(name) if name is not None else delete_all()
    for store in deleted:
        print(f"deleted {store.path} ({file_size(store.bytes)})")
    if not deleted:
        print("there was nothing to delete")


@app.command()
def where() -> None:
    """Prints where prepared copies lie.

    The variable TENFOLD_CACHE chooses another folder.

    \b
    Example:
      du -sh "$(tenfold data where)"
    """
    from tenfold.data.store.store import cache_folder

    print(cache_folder())


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="NAME|KEY", help="As `tenfold data` lists it.")],
) -> None:
    """Checks a prepared copy, byte by byte.

    \b
    Example:
      tenfold data verify cifar10
    """
    from tenfold.core.durable import verify_folder

    damaged = 0
    for store in _stores_named(name):
        try:
            verify_folder(store.path)
            print(f"{store.path.name}: every file is as it was written")
        except RunError as error:
            damaged += 1
            print(f"{store.path.name}: {error}")
    if damaged:
        raise DataError(
            f"{damaged} prepared copy is damaged; tenfold data delete {name}, and it is made anew when needed"
        )


def _stores_named(name: str) -> "list[StoreInfo]":
    """Returns the stores of this name or key.

    Raises:
        DataError: when there is none; it names those that exist.
    """
    from tenfold.core.registry import did_you_mean
    from tenfold.data.store.store import list_stores

    stores = list_stores()
    chosen = [store for store in stores if name in (store.name, store.key, store.path.name)]
    if not chosen:
        names = sorted({store.name for store in stores})
        raise DataError(
            f"nothing prepared is called '{name}'{did_you_mean(name, names)} (known: {', '.join(names) or 'none'})"
        )
    return chosen
