"""Where Tenfold keeps files that it can make or download again."""

import os
from pathlib import Path

import platformdirs

from tenfold.core.errors import StorageError


def cache_folder() -> Path:
    """Returns the cache folder: prepared images, downloads and compiled programs. It may not exist yet.

    The environment variable `TENFOLD_CACHE` sets it; the default is the user's cache folder of the operating system.

    Raises:
        StorageError: when there is no default because HOME is not set.
    """
    folder = Path(os.environ.get("TENFOLD_CACHE") or platformdirs.user_cache_dir("tenfold", appauthor=False))
    try:
        folder = folder.expanduser()
    except RuntimeError:
        folder = Path("~")
    if folder.parts[:1] == ("~",):
        raise StorageError(
            "there is no home folder for the cache of prepared images; "
            "set HOME, or set TENFOLD_CACHE to a writable folder"
        )
    return folder.absolute()
