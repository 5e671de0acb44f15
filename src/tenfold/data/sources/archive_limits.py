"""What may come out of an archive: how much, and under which names."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tenfold.core.disk import shown
from tenfold.core.errors import DataError
from tenfold.data.types import Skipped

TOO_LARGE = "holds far more data than pictures of its size would; refused, since it looks like a bomb"
# What the standard library's readers stumble over when a header was made up.
CONFUSED = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Limits:
    """How much may come out of one archive.

    Args:
        member: bytes of one member; a larger one is skipped.
        count: members; more are an error.
        total: bytes of everything together that are always allowed.
        ratio: bytes allowed on top for each byte of the archive; pictures hardly shrink, bombs 1000-fold.
    """

    member: int = 256 << 20
    count: int = 5_000_000
    total: int = 1 << 30
    ratio: int = 200

    def total_for(self, archive: Path) -> int:
        """Returns the bytes that may come out of `archive` in total.

        Raises:
            OSError: when the archive cannot be looked at.
        """
        return self.total + self.ratio * archive.stat().st_size


def first_bytes(archive: Path) -> bytes:
    """Returns the bytes by which the kind of an archive is told.

    Raises:
        OSError: when the archive cannot be read.
    """
    with archive.open("rb") as file:
        return file.read(6)


def size_fault(size: int, limits: Limits) -> str:
    """Returns why a member of `size` bytes is left out, or an empty string."""
    return "" if size <= limits.member else f"{size} bytes large; expected at most {limits.member}"


def check_count(archive: Path, count: int, limits: Limits) -> None:
    """Raises:
    DataError: when `count` members are too many.
    """
    if count > limits.count:
        raise DataError(f"{shown(archive)} holds more than {limits.count} members; split it")


def usable_name(raw: str, fault: str, wanted: Callable[[str], bool], on_skip: Callable[[Skipped], None]) -> str:
    """Returns the member's name as plain text, or an empty string where the member is left out.

    Args:
        raw: the name as the archive has it; bytes that are no UTF-8 as surrogates.
        fault: what else speaks against the member, or an empty string.
        wanted: asked for a harmless name of a member without fault.
        on_skip: told of a member with a fault, and of a name that leads outside.
    """
    if raw.startswith("./"):
        raw = re.sub(r"^(\./+)+", "", raw)
    name = raw if raw.isascii() else raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    slashed = f"/{raw}/".replace("\\", "/")
    if raw.endswith("/"):
        return ""
    if raw.startswith(("/", "\\")) or "/../" in slashed or re.match("[A-Za-z]:", raw):
        fault = "its name leads out of the archive"
    elif "/." in slashed:
        return ""
    if fault:
        on_skip(Skipped(name, fault))
        return ""
    return name if name and wanted(name) else ""
