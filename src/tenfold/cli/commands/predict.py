"""`tenfold predict`: what a saved classifier sees in pictures."""

import csv
import io
import json
import os
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tenfold.cli.commands.eval import one_source
from tenfold.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from tenfold.deploy.predictor import Prediction


def predict(
    source: Annotated[Path, typer.Argument(metavar="RUN|MODEL", help="A run folder or a model file.")],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILES", help="Pictures, folders and quoted patterns.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A plain state_dict, .pth, in the place of RUN; needs --model."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The network that --weights belong to, e.g. tutorial.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="How many classes to name for each picture.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    as_csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a new file; - prints it.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    views: Annotated[
        Literal["plain", "mirror", "shifts"] | None,
        typer.Option(help="Views of each picture to average over; as trained by default."),
    ] = None,
) -> None:
    """Names what pictures show.

    A picture that cannot be read is reported, and the others go on; the exit code is then 1.

    \b
    Examples:
      tenfold predict runs/cifar10-quick-20260101-120000 cat.jpg
      tenfold predict runs/mine photos/ --csv labels.csv
      tenfold predict runs/mine/best.safetensors "photos/**/*.png" --top 3
      tenfold predict --weights cifar_net.pth --model tutorial cat.jpg
    """
    names = files or []
    if weights is not None:
        # Plain weights take the model's place, and so the first word is a picture already.
        names = [str(source), *names]
    chosen = one_source(None if weights is not None else source, weights, model)
    _check_output(as_json, as_csv)
    pictures = find_pictures(names)

    from tenfold.api import evaluate as api

    predictions = list(api.load(chosen, device=device, model=model, views=views).predict_all(pictures))
    if as_json:
        print(json.dumps([_as_dict(p) for p in predictions], ensure_ascii=False, indent=2))
    elif as_csv is not None:
        _write_csv(as_csv, predictions, top)
    else:
        _print_table(predictions, top)
    _report_unreadable(predictions)


def find_pictures(files: Sequence[str]) -> list[Path]:
    """Returns the pictures that files, folders (searched to the bottom) and patterns stand for, in order.

    Hidden files are left out of folders, and links to folders are not followed. A file that is named
    itself is taken as it is: whoever reads it says what is wrong with it.

    Args:
        files: as on the command line.

    Raises:
        UsageError: when there are none.
        DataError: when a folder or pattern holds no picture.
    """
    if not files:
        raise UsageError("no pictures were given; expected files, folders or quoted patterns after the model")
    found = [picture for name in files for picture in _expand(name)]
    return list(dict.fromkeys(found))


def _expand(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return _in_folder(path)
    if path.exists() or not any(mark in name for mark in "*?["):
        return [path]
    matches = sorted(map(Path, glob(name, recursive=True)), key=_natural)  # noqa: PTH207
    pictures = [match for match in matches if match.is_file() and _is_picture(match)]
    if not pictures:
        raise DataError(f"no picture matches {name}; expected {_accepted()}")
    return pictures


def _in_folder(folder: Path) -> list[Path]:
    pictures: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        pictures += [Path(parent, name) for name in names if not name.startswith(".")]
    pictures = sorted(filter(_is_picture, pictures), key=_natural)
    if not pictures:
        raise DataError(f"{folder} holds no pictures; expected {_accepted()}")
    return pictures


def _is_picture(path: Path) -> bool:
    from tenfold.data.decode.decode import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def _accepted() -> str:
    from tenfold.data.decode.decode import SUFFIXES

    return "files ending in " + ", ".join(sorted(SUFFIXES))


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Returns a key that puts 2.png before 10.png."""
    import re

    parts = re.split(r"([0-9]+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


def _check_output(as_json: bool, as_csv: str | None) -> None:
    from tenfold.cli.output import refuse_existing

    if as_json and as_csv is not None:
        raise UsageError("--json and --csv were both given; expected one of them")
    if as_csv not in (None, "-"):
        refuse_existing(Path(str(as_csv)), "choose another name for --csv")


def _as_dict(prediction: "Prediction") -> dict[str, object]:
    from dataclasses import asdict

    entry = {**asdict(prediction), "path": _decodable(prediction.path)}
    return {key: value for key, value in entry.items() if key != "error" or value is not None}


def _write_csv(target: str, predictions: "Sequence[Prediction]", top: int) -> None:
    """Writes a row for each picture: path, label and probability of each of the `top` classes, error."""
    ranks = [""] + [f"_{rank}" for rank in range(2, top + 1)]
    header = ["path", *(f"{column}{rank}" for rank in ranks for column in ("label", "probability")), "error"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for prediction in predictions:
        cells = [cell for name, p in _best(prediction, top) for cell in (name, f"{p:.6f}")]
        cells += [""] * (len(header) - 2 - len(cells))
        writer.writerow([_decodable(prediction.path), *cells, prediction.error or ""])
    if target == "-":
        print(text.getvalue(), end="")
        return
    from tenfold.cli.output import narrate
    from tenfold.core.durable import write_text

    write_text(Path(target), text.getvalue())
    narrate(f"wrote {target} ({len(predictions):,} pictures)")


def _print_table(predictions: "Sequence[Prediction]", top: int) -> None:
    from tenfold.cli.output import show
    from tenfold.report.tables.run_tables import listing, percent, prediction_table

    read = [prediction for prediction in predictions if prediction.error is None]
    if read and top == 1:
        show(prediction_table([(p.path, p.label or "", p.probability) for p in read]))
    elif read:
        cells = [[p.path, ", ".join(f"{name} {percent(share)}" for name, share in _best(p, top))] for p in read]
        show(listing(["picture", "labels"], cells))


def _report_unreadable(predictions: "Sequence[Prediction]") -> None:
    """Names each picture that could not be read, and ends with exit code 1 if there is one."""
    from tenfold.cli.output import narrate
    from tenfold.core.text import printable

    broken = [prediction for prediction in predictions if prediction.error is not None]
    for prediction in broken:
        reason = str(prediction.error)
        narrate(f"tenfold: error: {printable(reason if prediction.path in reason else f'{prediction.path}: {reason}')}")
    if broken:
        narrate(f"{len(broken):,} of {len(predictions):,} pictures could not be read")
        raise typer.Exit(1)


def _best(prediction: "Prediction", top: int) -> list[tuple[str, float]]:
    return list(prediction.probabilities.items())[:top]


def _decodable(path: str) -> str:
    """Returns a path as text that UTF-8 can hold, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
