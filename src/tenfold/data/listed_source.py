"""What `--data` names by path: checked, its files listed, and a digest of everything that decides its images."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tenfold.core.disk import expanded
from tenfold.data.request import BUILT_IN, DataRequest
from tenfold.data.sources.address import fetched, is_address
from tenfold.data.sources.class_folders import FolderListing, check_source, list_folder
from tenfold.data.sources.containers import content_files
from tenfold.data.sources.label_files import files_on_disk, labels_key
from tenfold.data.sources.layout import LAYOUT_VERSION
from tenfold.data.sources.webdataset import is_pattern
from tenfold.data.store.cache_key import archive_digest, folder_digest
from tenfold.data.types import ProgressCallback


def on_disk(request: DataRequest, progress: ProgressCallback) -> DataRequest:
    """Returns the request with the file that its source names; an address is downloaded on its first use.

    Raises:
        DataError, DownloadError, StorageError: see `fetched`.
    """
    if not is_address(request.source):
        return request
    return replace(request, source=str(fetched(request.source, progress)))


class ListedSource(NamedTuple):
    """A folder or a file of images.

    Args:
        path: its path.
        listing: the files of a folder; None for a file.
        digest: hex digest of its content and of how it is read.
    """

    path: Path
    listing: FolderListing | None
    digest: str


def listed_source(request: DataRequest) -> ListedSource:
    """Lists the files of a request's source; no image is opened.

    Raises:
        DataError: when there is no such source.
        StorageError: when it cannot be read.
    """
    path = expanded(request.source)
    check_source(path, BUILT_IN)
    listing = list_folder(path) if path.is_dir() else None
    content = folder_digest(listing) if listing else "" if is_pattern(path) else archive_digest(path)
    names = [file.path for file in listing.files] if listing else []
    others = [*files_on_disk(path, names, request.rules.labels), *content_files(path, names)]
    files = [archive_digest(file) for file in others]
    text = json.dumps(
        [LAYOUT_VERSION, content, labels_key(request.labels, path), files, request.splits, request.classes_are_folders]
    )
    return ListedSource(path, listing, hashlib.sha256(text.encode()).hexdigest())
