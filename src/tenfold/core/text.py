"""Names as they came from folders and files, made fit for a screen or a picture."""


def printable(name: str) -> str:
    """Returns `name` with a replacement sign for each control sign, newline or byte that is no UTF-8.

    Example:
        >>> printable("cat\\x1b[2J")
        'cat�[2J'
    """
    return "".join(sign if sign.isprintable() else "�" for sign in name)


def shortened(name: str, width: int) -> str:
    """Returns a printable name of at most `width` signs (at least 1); a longer one loses its middle.

    Names that share a beginning often differ at the end, so some of the end is kept.

    Example:
        >>> shortened("hippopotamus", 7)
        'hipp…us'
    """
    name = printable(name)
    if len(name) <= width:
        return name
    tail = (width - 1) // 3
    return name[: width - 1 - tail] + "…" + name[len(name) - tail :]


def percent(share: float | None, decimals: int = 1) -> str:
    """Returns a share in percent, or a dash for none.

    Example:
        >>> percent(0.6174), percent(1), percent(None)
        ('61.7 %', '100.0 %', '–')
    """
    return "–" if share is None else f"{100 * share:.{decimals}f} %"


def count(number: int) -> str:
    """Returns a whole number with commas.

    Example:
        >>> count(10000)
        '10,000'
    """
    return f"{number:,}"


def interval(ends: tuple[float, float] | None, decimals: int = 1) -> str:
    """Returns an interval of shares in percent, or a dash for none.

    Example:
        >>> interval((0.6079, 0.6269))
        '60.8 – 62.7 %'
    """
    return "–" if ends is None else f"{100 * ends[0]:.{decimals}f} – {100 * ends[1]:.{decimals}f} %"


def duration(seconds: float | None) -> str:
    """Returns a time in the units that suit it, or a dash for none.

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
