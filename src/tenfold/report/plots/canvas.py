"""Paper, ink and colours of every chart, and the way to a file.

Colours are close to those of M. Okabe and K. Ito (jfly.uni-koeln.de/color), which people with any kind of
colour vision can tell apart. Only matplotlib's object interface is used: nothing global changes, and no display
is needed.
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

PAPER = "#ffffff"
INK = "#24292f"
QUIET = "#6b747d"
GRID = "#e6e9ec"
BLUE = "#0072B2"
WARM = "#C84B00"
GREEN = "#00795A"
DOTS_PER_INCH = 150

_OTHER_SCRIPTS = (
    *(f"Noto Sans CJK {place}" for place in ("SC", "JP", "KR")),
    *("Microsoft YaHei", "Hiragino Sans", "WenQuanYi Micro Hei", "Arial Unicode MS"),
)


@cache
def _fonts() -> list[str]:
    """Returns the font that comes with matplotlib, then those installed here that know other scripts."""
    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in installed)]


def style() -> dict[Any, Any]:
    """Returns the settings of every chart."""
    return {
        "text.usetex": False,  # a user's own settings may ask for LaTeX
        "text.parse_math": False,  # a class may be called $x$
        "font.family": _fonts(),
        "font.size": 9,
        "text.color": INK,
        "figure.facecolor": PAPER,
        "axes.facecolor": PAPER,
        "axes.edgecolor": QUIET,
        "axes.labelcolor": QUIET,
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
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "legend.frameon": False,
    }


@contextmanager
def chart(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yields an empty figure and writes it as a PNG when the block ends without an error.

    Args:
        path: where; its folder must exist.
        width: in inches.
        height: in inches.

    Raises:
        StorageError: when the disk refuses.
    """
    with matplotlib.rc_context(style()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box is drawn, which is enough
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
        FigureCanvasAgg(figure)
        yield figure
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 4})
    durable.write_bytes(path, buffer.getvalue())
