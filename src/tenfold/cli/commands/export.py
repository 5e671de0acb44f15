"""`tenfold export`: a trained classifier in the formats of other programs."""

from pathlib import Path
from typing import Annotated

from tenfold.cli.options import ForceOption, option, output_file, source_argument


def export(
    source: Annotated[Path, source_argument()],
    file_format: Annotated[
        str,
        option(
            "--format",
            metavar="FORMAT",
            help_text="File format; pth is a plain state_dict, as torch.save writes it",
            default="pth",
        ),
    ] = "pth",
    output: Annotated[Path | None, output_file("the model's name, here")] = None,
    force: ForceOption = False,
) -> None:
    """Writes a classifier for other programs.

    \b
    Examples:
      tenfold export runs/cifar10-tutorial-20260101-120000
      tenfold export runs/mine --format pth --output cifar_net.pth
    """
    from tenfold.api import evaluate as api
    from tenfold.cli.output import wrote

    path = api.export(source, file_format, output, force=force)
    wrote(path, "the weights only; image size, normalization and class names are in the .safetensors of the run")
