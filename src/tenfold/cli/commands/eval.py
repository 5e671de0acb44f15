"""`tenfold eval`: how good a saved classifier is on labelled pictures."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from tenfold.core.errors import UsageError


def evaluate(
    source: Annotated[Path | None, typer.Argument(metavar="RUN|MODEL", help="A run folder or a model file.")] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="Other pictures than the run's own; see: tenfold train."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="FOLDER", help="Where a copy of CIFAR lies.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A plain state_dict, .pth; needs --model.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The network that --weights belong to, e.g. tutorial.")
    ] = None,
    split: Annotated[Literal["test", "val", "train"], typer.Option(help="Which pictures.")] = "test",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    views: Annotated[
        Literal["plain", "mirror", "shifts"] | None,
        typer.Option(help="Views of each picture to average over; as trained by default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Judges a classifier on labelled pictures.

    Prints the accuracy with its 95 % interval, the classes one by one, and what is confused most.

    \b
    Examples:
      tenfold eval runs/cifar10-quick-20260101-120000
      tenfold eval runs/mine/best.safetensors --data my-photos/
      tenfold eval runs/mine --views shifts
      tenfold eval --weights cifar_net.pth --model tutorial --data cifar10
    """
    chosen = one_source(source, weights, model)

    import sys

    from tenfold.api import evaluate as api
    from tenfold.cli.output import confusion_lines, show
    from tenfold.cli.terminal import progress_for
    from tenfold.report.tables.run_tables import accuracy_line, class_table, plain_line

    progress = progress_for(sys.stderr)
    try:
        result = api.evaluate(
            chosen,
            data=data,
            data_dir=data_dir,
            device=device,
            split=split,
            model=model,
            views=views,
            progress=progress,
        )
    finally:
        progress.finish()
    if as_json:
        import json

        print(json.dumps(result.to_json(), ensure_ascii=False, indent=2))
        return
    show(
        accuracy_line(result.accuracy, result.interval, result.total, f"{split} pictures"),
        *plain_line(result),
        class_table(result.per_class),
    )
    if confused := confusion_lines(result):
        show("most frequent confusions:", *(f"  {line}" for line in confused))


def one_source(source: Path | None, weights: Path | None, model: str | None) -> Path:
    """Returns the one file or folder that is meant.

    Args:
        source: a run folder or model file.
        weights: a plain state_dict.
        model: the network of `weights`.

    Raises:
        UsageError: when there is none, or both, or the network of plain weights is not named.
    """
    if source is not None and weights is not None:
        raise UsageError(f"both {source} and --weights {weights} were given; expected one of them")
    if weights is not None and model is None:
        raise UsageError(f"--weights {weights} says nothing of its network; add --model, e.g. --model tutorial")
    chosen = source or weights
    if chosen is None:
        raise UsageError(
            "nothing to use was given; expected a run folder, a model file, or --weights FILE --model NAME"
        )
    return chosen
