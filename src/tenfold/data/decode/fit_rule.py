"""The values of `data.fit`, without the libraries that fitting needs: recipes check them."""

from typing import NamedTuple

from tenfold.core.errors import DataError
from tenfold.core.text import escaped

FITS = ("crop", "pad", "stretch")

_FILTERS = ("bicubic", "bilinear", "lanczos")


class Fit(NamedTuple):
    """How images are brought to a size.

    Args:
        kind: `crop`, `pad` or `stretch`, see `fit_image`.
        fraction: of the sides of the largest centered crop that a network is shown, in (0, 1].
        resample: name of the filter of the resizing.
    """

    kind: str
    fraction: float = 1.0
    resample: str = "bicubic"


def parse_fit(text: str) -> Fit:
    """Returns what a value of `data.fit` means.

    Args:
        text: `crop`, `pad`, `stretch`, `crop:0.875`, or one of these with a filter, such as `crop:0.95:bilinear`.

    Raises:
        DataError: when it is none of these.

    Example:
        >>> parse_fit("crop:0.875").fraction
        0.875
    """
    kind, *options = text.split(":") if isinstance(text, str) else ("",)
    fit = Fit(kind)
    if kind == "crop" and options and options[0] not in _FILTERS:
        fit = fit._replace(fraction=_number(options.pop(0)))
    if options and options[0] in _FILTERS:
        fit = fit._replace(resample=options.pop(0))
    if options or kind not in FITS or not 0 < fit.fraction <= 1:
        raise DataError(
            f"fit is '{escaped(str(text))}'; expected {', '.join(FITS)}, or crop:0.875 for that fraction of the sides, "
            f"and a filter if it is not bicubic: crop:0.95:bilinear"
        )
    return fit


def stored_size(size: tuple[int, int], fit: str) -> tuple[int, int]:
    """Returns the size in which images are stored for a network: with a margin for random crops.

    Args:
        size: height and width of the network's input, in pixels.
        fit: a value of `data.fit`.

    Raises:
        DataError: when `fit` is invalid.

    Example:
        >>> stored_size((224, 224), "crop:0.875"), stored_size((224, 224), "pad")
        ((256, 256), (224, 224))
    """
    fraction = parse_fit(fit).fraction
    return round(size[0] / fraction), round(size[1] / fraction)


def network_size(stored: tuple[int, int], fit: str) -> tuple[int, int]:
    """Returns the size of a network's input for images of a stored size: the inverse of `stored_size`.

    Raises:
        DataError: when `fit` is invalid.

    Example:
        >>> network_size((256, 256), "crop:0.875")
        (224, 224)
    """
    fraction = parse_fit(fit).fraction  # below 1, so that what rounding moved a stored side by comes to below a half
    return max(1, round(stored[0] * fraction)), max(1, round(stored[1] * fraction))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
