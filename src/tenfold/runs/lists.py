"""The lists of doubted labels that a run goes by: kept beside it, so that it can be repeated after they were edited."""

from pathlib import Path

from tenfold.core import durable
from tenfold.core.disk import translated
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe

LISTS = ("exclude", "relabel")
"""Keys of `[data]` that name a list, and names of the copies without `.csv`."""


def keep_lists(recipe: Recipe, folder: Path) -> Recipe:
    """Copies the lists that a recipe names into a run's or a sweep's folder, and returns the recipe that names those.

    A copy that is there already is taken as it is: of a run that goes on, what was listed at its start counts, and a
    folder that was moved is asked for its own copies.

    Args:
        recipe: complete.
        folder: that keeps the copies, `exclude.csv` and `relabel.csv`.

    Raises:
        StorageError: when a list cannot be read, or the disk refuses.
    """
    named = {key: getattr(recipe.data, key) for key in LISTS if getattr(recipe.data, key)}
    kept = {key: folder.absolute() / f"{key}.csv" for key in named}
    for key, copy in kept.items():
        if not copy.is_file():
            original = Path(named[key]).expanduser()
            with translated("read", original):
                content = original.read_bytes()
            durable.write_bytes(copy, content)
    return resolve(recipe, {f"data.{key}": str(copy) for key, copy in kept.items()})
