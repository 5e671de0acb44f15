"""What charts and tables look like: the pixels of a PNG, the text of a renderable."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console


def pixels_of(path: Path) -> np.ndarray:
    """Returns the pixels of a PNG, uint8 [H, W, 3]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def shows_color(path: Path, color: str) -> bool:
    """Returns whether any pixel of a PNG has a color, up to antialiasing.

    Args:
        path: of the PNG.
        color: as `#rrggbb`.
    """
    expected = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(pixels_of(path).astype(int) - expected).sum(2) < 12).any())


def text_of(*renderables: Any, width: int = 400) -> str:
    """Returns what a console without colors prints."""
    console = Console(width=width, color_system=None, highlight=False, markup=False)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    return captured.get()


def lines_of(*renderables: Any, width: int = 200) -> list[str]:
    """Returns the printed lines that are not empty, with single spaces."""
    return [" ".join(line.split()) for line in text_of(*renderables, width=width).splitlines() if line.strip()]
