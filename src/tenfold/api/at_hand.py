"""Whether pictures are on this machine already."""

from pathlib import Path

from tenfold.data.cifar import find_cifar
from tenfold.data.cifar_sources import SOURCES
from tenfold.data.store import cache_folder, list_stores
from tenfold.recipes.schema import DataSection


def needs_download(section: DataSection) -> bool:
    """Returns whether pictures would have to be fetched from the network, which no chart and no page is worth."""
    if section.source not in SOURCES or any(store.name == section.source for store in list_stores()):
        return False
    place = Path(section.data_dir).expanduser() if section.data_dir else None
    return find_cifar(SOURCES[section.source], place, cache_folder()) is None
