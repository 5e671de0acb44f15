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
