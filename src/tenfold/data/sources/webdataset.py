"""WebDataset: tar files whose members belong together by name, `0001.jpg` with `0001.cls` or `0001.json`.

A member's key is its path up to the first dot of its file name, and what follows is its kind. `cls` holds the class, a
number or a name; in `json`, an object, the class is under `label` or a similar name. https://github.com/webdataset
"""

import json
import re
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import IO

from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import DataError
from tenfold.core.text import escaped, one_line
from tenfold.data.decode.decode import is_image_name
from tenfold.data.sources.label_table import LABEL_COLUMNS, named_class, role_of_path
from tenfold.data.sources.layout import FilePart, Placed
from tenfold.data.sources.rules import split_role

TAR = ".tar"
CLASSES_FILE = "classes.txt"
"""Names of numeric classes, one a line, beside the tar files; `tenfold data export` writes it."""

_LABEL_FIELDS = ("label", "cls", *LABEL_COLUMNS)
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAX_FILES = 100_000
_PEEKED = 16
"""Number of members that are looked at to tell a WebDataset from an archive of class folders."""

_BLOCK = 512
"""Bytes of a header of a tar file; one of zeros marks the end."""

_BROKEN = (tarfile.TarError, EOFError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


class TarImages:
    """The images of tar files.

    Args:
        root: a file, a pattern of files, or the folder that holds `files`.
        files: paths in the folder; empty for a file or a pattern.
        columns: the fields of JSON members that the user names, by `label` and `group`.
        names: of numeric classes; empty to take those of `classes.txt`, if there is one.

    Raises:
        DataError: when a file is missing or damaged, or holds no image with a class.

    Attributes:
        text: how they were understood.
        parts: where each image is, by path.
    """

    def __init__(self, root: Path, files: Sequence[str], columns: Mapping[str, str], names: Sequence[str] = ()) -> None:
        paths = pattern_files(root) if is_pattern(root) else [root]
        self._paths = {file: root / file for file in files} if files else {path.name: path for path in paths}
        folder = root if files else paths[0].parent
        self._names = () if names else _class_names(folder / CLASSES_FILE)
        self._columns = columns
        self.parts: dict[str, FilePart] = {}
        roles = {file: role_of_path(file) or split_role(file.rpartition("/")[2]) for file in self._paths}
        self._images = [
            image
            for file in self._paths
            for image in self._samples(file, roles[file] if any(roles.values()) else "train")
        ]
        if not any(image.class_name for image in self._images):
            raise DataError(
                f"{escaped(str(root))} holds {len(self._images)} images and no class of any; expected WebDataset: "
                "0001.jpg with 0001.cls, or with 0001.json that has a label"
            )
        named = sorted({role for role in roles.values() if role}) or ["train"]
        self.text = f"WebDataset in {len(self._paths)} tar files for {', '.join(named)}"

    def images(self) -> list[Placed]:
        """Returns every image; its path is its file and its name there."""
        return self._images

    def read(self, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yields the path of each of these images and the bytes of its file, in the order of the tar files."""
        wanted = frozenset(paths)
        for path in self._paths.values():
            with storage_errors("read", path), path.open("rb") as stream:
                for name in (image.path for image in self._images if image.path in wanted):
                    if (member := self.parts[name]).path == path:
                        yield name, _content(stream, member)

    def _samples(self, file: str, split: str) -> Iterator[Placed]:
        path = self._paths[file]
        with storage_errors("read", path), path.open("rb") as stream:
            for key, kinds in _grouped(path, stream).items():
                image = next((kind for kind in kinds if is_image_name(f"x.{kind}") and "." not in kind), None)
                if image is None:
                    continue
                name = f"{file}/{key}.{image}"
                self.parts[name] = kinds[image]
                texts = {kind: _content(stream, place) for kind, place in kinds.items() if kind in ("cls", "json")}
                label, group = self._label_and_group(texts, name)
                yield Placed(name, split, label and named_class(label, self._names, escaped(name)), group)

    def _label_and_group(self, texts: Mapping[str, bytes], name: str) -> tuple[str, str]:
        """Returns the class as it is written, or an empty text, and the group."""
        fields: object = {}
        try:
            written = texts.get("cls", b"").decode().strip()
            fields = json.loads(texts["json"]) if "json" in texts else {}
        except ValueError as error:
            raise DataError(f"{escaped(name)} has a class that cannot be read: {one_line(str(error))[:100]}") from None
        if not isinstance(fields, dict):
            raise DataError(f"{escaped(name)} has a .json that is no object; expected one with a label")
        known = [self._columns["label"]] if "label" in self._columns else _LABEL_FIELDS
        found = next((fields[field] for field in known if fields.get(field) is not None), "")
        if "label" in self._columns and found == "":
            raise DataError(f"{escaped(name)} has no field '{escaped(known[0])}' in its .json, which --labels names")
        own = str(found) if "label" in self._columns or not written else written
        return own, str(fields.get(self._columns.get("group", "group")) or "")


def is_webdataset(path: Path) -> bool:
    """Returns whether a file is a tar file with classes beside images; only its first members are looked at."""
    if not path.name.casefold().endswith(TAR) or not path.is_file():
        return False
    try:
        with tarfile.open(path, "r:") as tar:
            names = [member.name.removeprefix("./") for member in islice(tar, _PEEKED) if member.isfile()]
    except (*_BROKEN, OSError):
        return False
    kinds = {_key_and_kind(name)[1] for name in names}
    in_folders = any("/" in name for name in names)  # which may be classes, with a .json of something else
    return "cls" in kinds or ("json" in kinds and not in_folders and any(map(is_image_name, names)))


def is_pattern(path: Path) -> bool:
    """Returns whether a path is a pattern of tar files, such as `train-{000..009}.tar`."""
    return path.name.casefold().endswith(TAR) and _BRACES.search(path.name) is not None and not path.exists()


def pattern_files(path: Path) -> list[Path]:
    """Returns the files of a pattern in order.

    Raises:
        DataError: when one of them is missing, or they are too many.
    """
    ranges = [(int(first), int(last), len(first)) for first, last in _BRACES.findall(path.name)]
    total = 1
    for first, last, _ in ranges:
        total *= max(0, last - first + 1)
    if not 0 < total <= _MAX_FILES:
        raise DataError(f"{escaped(str(path))} names {total:,} files; expected 1 to {_MAX_FILES:,}")
    template = _BRACES.sub("{}", path.name.replace("{}", "{{}}"))
    choices = [[f"{number:0{width}}" for number in range(first, last + 1)] for first, last, width in ranges]
    found = [path.with_name(template.format(*numbers)) for numbers in product(*choices)]
    if missing := next((file for file in found if not file.is_file()), None):
        raise DataError(f"{display_path(missing)} does not exist, which {escaped(str(path))} names")
    return found


def _grouped(path: Path, stream: IO[bytes]) -> dict[str, dict[str, FilePart]]:
    """Returns the members of each key by kind; of two with one name the first counts."""
    samples: dict[str, dict[str, FilePart]] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                if member.size < 0:
                    raise tarfile.ReadError("a member has a negative size")
                if member.isreg() and not member.issparse():
                    key, kind = _key_and_kind(member.name)
                    samples.setdefault(key, {}).setdefault(kind, FilePart(path, member.offset_data, member.size))
            stream.seek(tar.offset)
            if stream.read(_BLOCK) != bytes(_BLOCK):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError("its end mark is missing")
    except _BROKEN as error:
        raise DataError(
            f"{display_path(path)} cannot be read as a tar file: {one_line(str(error))[:100]}; it is damaged or cut "
            "short, so fetch it again"
        ) from None
    return samples


def _key_and_kind(name: str) -> tuple[str, str]:
    folder, slash, file = name.removeprefix("./").rpartition("/")
    key, _, kind = file.partition(".")
    return f"{folder}{slash}{key}", kind.casefold()


def _content(stream: IO[bytes], member: FilePart) -> bytes:
    stream.seek(member.start)
    return stream.read(member.size)


def _class_names(path: Path) -> Sequence[str]:
    if not path.is_file():
        return ()
    with storage_errors("read", path):
        return path.read_text("utf-8").split("\n")[:-1]
