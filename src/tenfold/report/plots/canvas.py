"""Colors and style of every chart, and saving a figure as PNG.

The colors are close to those of M. Okabe and K. Ito (jfly.uni-koeln.de/color), which people with any kind of color
vision can distinguish. Only matplotlib's object interface is used: no global setting changes, and no display is needed.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from tenfold.core import durable

WHITE = "#ffffff"
DARK = "#24292f"
GRAY = "#6b747d"
GRID = "#e6e9ec"
BLUE = "#0072B2"
ORANGE = "#C84B00"
GREEN = "#00795A"
DPI = 150
JPEG_SUFFIXES = (".jpg", ".jpeg")

_FALLBACK_FONTS = (
    *(f"Noto Sans CJK {region}" for region in ("SC", "JP", "KR")),
    *("Microsoft YaHei", "Hiragino Sans", "WenQuanYi Micro Hei", "Arial Unicode MS"),
)


@cache
def _fonts() -> list[str]:
    """Returns matplotlib's own font, then the installed fonts with other scripts."""
    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed)]


def style() -> dict[Any, Any]:
    """Returns the matplotlib settings of every chart."""
    return {
        "text.usetex": False,  # a user's own settings may ask for LaTeX
        "text.parse_math": False,  # a class may be called $x$
        "font.family": _fonts(),
        "font.size": 9,
        "text.color": DARK,
        "figure.facecolor": WHITE,
        "axes.facecolor": WHITE,
        "axes.edgecolor": GRAY,
        "axes.labelcolor": GRAY,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.grid": False,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": GRAY,
        "ytick.color": GRAY,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "legend.frameon": False,
    }


@contextmanager
def chart(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yields an empty figure and writes it when the block ends without an error: as JPEG if the path says so, else PNG.

    Args:
        path: of the PNG or JPEG; its folder must exist.
        width: in inches.
        height: in inches.

    Raises:
        StorageError: when the file cannot be written.
    """
    with matplotlib.rc_context(style()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box is drawn, which is enough
        figure = Figure(figsize=(width, height), dpi=DPI)
        FigureCanvasAgg(figure)
        yield figure
        buffer = io.BytesIO()
        if path.suffix.lower() in JPEG_SUFFIXES:
            figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": 92})
        else:
            figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 4})
    durable.write_bytes(path, buffer.getvalue())
