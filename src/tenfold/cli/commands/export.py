"""`tenfold export`: a trained classifier in the formats of others."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    source: Annotated[Path, typer.Argument(metavar="RUN|MODEL", help="A run folder or a model file.")],
    file_format: Annotated[
        str, typer.Option("--format", help="pth: a plain state_dict, as torch.save writes it.")
    ] = "pth",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="A new file.  [default: the model's name, here]"),
    ] = None,
) -> None:
    """Writes a classifier for other programs.

    \b
    Examples:
      tenfold export runs/cifar10-tutorial-20260101-120000
      tenfold export runs/mine --format pth --out cifar_net.pth
    """
    from tenfold.api import evaluate as api

    print(f"wrote {api.export(source, file_format, out)}")
