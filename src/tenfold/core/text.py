"""Text for people: names made safe to show, and numbers with their units."""

import re
import unicodedata
from collections.abc import Sequence

_UNITS = ("B", "kB", "MB", "GB", "TB")


def printable(name: str) -> str:
    """Returns `name` with a replacement character for each control character, line break or invalid UTF-8 byte.

    Example:
        >>> printable("cat\\x1b[2J")
        'cat�[2J'
    """
    return "".join(character if character.isprintable() else "�" for character in name)


def escaped(name: str) -> str:
    """Returns `name` with an escape sequence for each control character, line break or invalid UTF-8 byte.

    Unlike `printable` it loses nothing, so a message can name the exact file.

    Example:
        >>> escaped("a\\nb  c")
        'a\\\\nb  c'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in name
    )


def hyphenated(name: str, kept: str = "._-") -> str:
    """Returns a name with a hyphen for each run of characters that a folder name or a shell would not take as they are.

    Letters and signs of any script stay, in the composed form that systems agree on. Of ASCII only letters, digits and
    `kept` stay.

    Example:
        >>> hyphenated("my photos (2)"), hyphenated("mein O\u0308rdner/猫")
        ('my-photos-2-', 'mein-Ördner-猫')
    """
    composed = unicodedata.normalize("NFC", name)
    return re.sub("\0+", "-", "".join(each if _fits_a_folder(each, kept) else "\0" for each in composed))


def _fits_a_folder(character: str, kept: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in kept
    return unicodedata.category(character)[0] not in "ZC"  # separators, control characters, halves of characters


def one_line(text: str) -> str:
    """Returns `text` as one line: runs of white space become one space, control characters escape sequences.

    Example:
        >>> one_line("first\\n  second\\x1b")
        'first second\\\\x1b'
    """
    return escaped(" ".join(text.split()))


def shortened(name: str, width: int) -> str:
    """Returns a printable name of at most `width` characters (at least 1); a longer name loses its middle.

    Names that share a beginning often differ at the end, so part of the end is kept.

    Example:
        >>> shortened("hippopotamus", 7)
        'hipp…us'
    """
    name = printable(name)
    if len(name) <= width:
        return name
    tail = (width - 1) // 3
    return name[: width - 1 - tail] + "…" + name[len(name) - tail :]


def percent(fraction: float | None, decimals: int = 1) -> str:
    """Returns a fraction as a percentage, or a dash for None.

    Example:
        >>> percent(0.6174), percent(1), percent(None)
        ('61.7 %', '100.0 %', '–')
    """
    return "–" if fraction is None else f"{100 * fraction:.{decimals}f} %"


def mean_text(mean: float, std: float | None, decimals: int = 1) -> str:
    """Returns the mean and standard deviation of fractions as percentages.

    One more decimal is written where the standard deviation would be rounded to zero.

    Args:
        mean: in [0, 1].
        std: standard deviation, at least 0; None for a single value.
        decimals: number of decimals.

    Example:
        >>> mean_text(0.71, 0.01), mean_text(0.9986, 0.0003), mean_text(0.7, None), mean_text(0.9412, 0.0021, 2)
        ('71.0 ± 1.0 %', '99.86 ± 0.03 %', '70.0 %', '94.12 ± 0.21 %')
    """
    if std is None:
        return percent(mean, decimals)
    if 0 < std < 10 ** -(decimals + 2):
        decimals += 1
    return f"{100 * mean:.{decimals}f} ± {100 * std:.{decimals}f} %"


def interval(bounds: tuple[float, float] | None, decimals: int = 1) -> str:
    """Returns an interval of fractions as percentages within 0 and 100 %, or a dash for None.

    Example:
        >>> interval((0.6079, 0.6269)), interval((0.9, 1.2)), interval(None)
        ('60.8–62.7 %', '90.0–100.0 %', '–')
    """
    if bounds is None:
        return "–"
    return f"{100 * max(bounds[0], 0.0):.{decimals}f}–{percent(min(bounds[1], 1.0), decimals)}"


def count(number: int) -> str:
    """Returns an integer with a comma between thousands.

    Example:
        >>> count(10000)
        '10,000'
    """
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Returns a count with its noun, in the plural unless the count is 1.

    Example:
        >>> plural(1, "test image"), plural(1200, "step")
        ('1 test image', '1,200 steps')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def epochs_text(epochs: float) -> str:
    """Returns a number of epochs with up to two decimals.

    Example:
        >>> epochs_text(1.0), epochs_text(31.25), epochs_text(1 / 3)
        ('1 epoch', '31.25 epochs', '0.33 epochs')
    """
    number = f"{epochs:,.2f}".rstrip("0").rstrip(".")
    return f"{number} epoch{'' if number == '1' else 's'}"


def size_text(size: Sequence[int]) -> str:
    """Returns an image size as people write it, width first.

    Args:
        size: height and width in pixels.

    Example:
        >>> size_text((480, 640))
        '640×480'
    """
    height, width = size
    return f"{width}×{height}"


def file_size(num_bytes: int) -> str:
    """Returns a number of bytes in kB, MB, GB or TB, powers of 1000.

    Example:
        >>> file_size(170_498_071), file_size(512)
        ('170.5 MB', '512 B')
    """
    size, unit = float(num_bytes), 0
    while size >= 999.95 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{num_bytes} B"


def duration(seconds: float | None) -> str:
    """Returns a time in seconds, minutes or hours, or a dash for None.

    Example:
        >>> duration(4.25), duration(95), duration(7384), duration(None)
        ('4.2 s', '1 min 35 s', '2 h 3 min', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def natural_key(name: str) -> tuple[object, ...]:
    """Returns a key for natural sorting: numbers by value, upper case beside lower case.

    Example:
        >>> sorted(["b10", "b9", "A"], key=natural_key)
        ['A', 'b9', 'b10']
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    numbers = [(len(digits.lstrip("0")), digits.lstrip("0")) for digits in parts[1::2]]
    key: list[object] = [*parts]
    key[1::2] = numbers
    # Text and numbers alternate, so equal types are compared; the name itself decides between "1" and "01".
    return (tuple(key), name)
