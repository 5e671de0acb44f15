"""`tenfold predict`: the class of each image, by a saved classifier."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli.commands.eval import one_source
from tenfold.cli.options import (
    CsvOption,
    ForceOption,
    JsonOption,
    ModelOption,
    RayOption,
    ViewsOption,
    WeightsOption,
    argument,
    device_option,
    option,
    source_argument,
)
from tenfold.cli.reject import unsure_threshold

if TYPE_CHECKING:
    from tenfold.deploy.predictor import Prediction


_NO_TEMPERATURE = "the model has no temperature; validation images give one to the best (--set data.val_fraction=0.1)"
_NAMES_SHOWN = 3
_OTHER_VIEWS = "a temperature belongs to the views as trained; leave --views out"


def predict(
    source: Annotated[Path, source_argument()],
    files: Annotated[list[str] | None, argument("IMAGE", "Image files, folders and quoted patterns")] = None,
    weights: WeightsOption = None,
    model: ModelOption = None,
    top: Annotated[
        int, option("--top", metavar="K", help_text="Number of classes to list for each image", default=1, min=1)
    ] = 1,
    as_json: JsonOption = None,
    as_csv: CsvOption = None,
    device: Annotated[str, device_option("auto")] = "auto",
    ray: RayOption = None,
    views: ViewsOption = None,
    reject_below: Annotated[
        str | None, option("--reject-below", metavar="P", help_text="Answer 'unsure' below this probability, as in 0.7")
    ] = None,
    reject_errors: Annotated[
        str | None,
        option("--reject-errors", metavar="FRACTION", help_text="Answer 'unsure' so that of the others 2% are wrong"),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Predicts the class of images.

    Probabilities are calibrated where the run fitted a temperature, as all with validation images do; a line on
    standard error says where they are not. Files of other kinds in a folder are skipped and counted. An image that
    cannot be read is reported, and the others are still predicted; the exit code is then 1.

    --reject-errors 2% reads the probability off the validation or test predictions of the run.

    \b
    Examples:
      tenfold predict runs/cifar10-quick-20260101-120000 cat.jpg
      tenfold predict runs/mine photos/ --csv labels.csv
      tenfold predict runs/mine/best.safetensors "photos/**/*.png" --top 3
      tenfold predict runs/mine photos/ --reject-errors 2%
      tenfold predict runs/mine photos/ --csv labels.csv --ray head-node:6379
      tenfold predict --weights cifar_net.pth --model tutorial cat.jpg
    """
    names = files or []
    if weights is not None and not _is_classifier(source):
        names = [str(source), *names]  # --weights replaces RUN|MODEL, so the first word is an image
        chosen = one_source(None, weights, model)
    else:
        chosen = one_source(source, weights, model)

    from tenfold.cli.output import check_outputs, deliver, json_text, note
    from tenfold.core.text import plural

    check_outputs({"--json": as_json, "--csv": as_csv}, force=force)
    unsure_below = unsure_threshold(chosen, reject_below, reject_errors, views)
    from tenfold.data.decode.image_paths import find_images

    paths, skipped = find_images(names)
    if skipped:
        note(_skipped_line(skipped))

    predictions = _predictions(chosen, paths, ray, device, model, views)
    if as_json is not None:
        deliver(json_text([_as_dict(prediction, unsure_below) for prediction in predictions]), as_json)
    if as_csv is not None:
        deliver(_csv_text(predictions, top, unsure_below), as_csv)
    if as_json is None and as_csv is None:
        _print_table(predictions, top, unsure_below)
    if unsure_below is not None:
        num_unsure = sum(_is_unsure(prediction, unsure_below) for prediction in predictions)
        note(f"unsure: {num_unsure:,} of {plural(len(predictions), 'answer')}")
    if not all(prediction.calibrated for prediction in predictions if prediction.error is None):
        note(f"probabilities are not calibrated: {_NO_TEMPERATURE if views is None else _OTHER_VIEWS}")
    unlike = [prediction for prediction in predictions if prediction.warning is not None]
    if unlike:
        note(_unlike_line(unlike, len(predictions)))
    failed = [prediction for prediction in predictions if prediction.error is not None]
    for prediction in failed:
        note(f"tenfold: error: {_reason(prediction)}")
    if failed:
        note(f"{len(failed):,} of {plural(len(predictions), 'image')} could not be read")
        raise typer.Exit(1)


def _predictions(
    source: Path, paths: "list[Path]", ray: str | None, device: str, model: str | None, views: str | None
) -> "list[Prediction]":
    """Returns a prediction for each image, computed here or on a Ray cluster."""
    from tenfold.api import evaluate as api

    if ray is None:
        return list(api.load(source, device=device, model=model, views=views).predict_all(paths))

    from tenfold.api.on_ray import model_place, predict_on_ray
    from tenfold.experiments.sweep.ray_cluster import RayOptions, ray_options

    options = ray_options(ray) or RayOptions()
    api.load(source, device="cpu", model=model, views=views)  # reports what is wrong before the cluster starts
    return predict_on_ray(model_place(source, device, model, views), paths, options)


def _is_unsure(prediction: "Prediction", unsure_below: float | None) -> bool:
    return unsure_below is not None and prediction.error is None and prediction.probability < unsure_below


def _is_classifier(path: Path) -> bool:
    """Returns whether a word on the command line is a run folder or a model file, and not an image."""
    return path.suffix in (".safetensors", ".pth", ".pt") or (path / "recipe.toml").is_file()


def _skipped_line(skipped: Sequence[Path]) -> str:
    """Returns the line that counts and names the files that are not predicted."""
    from tenfold.core.text import plural, printable

    names = [printable(_as_utf8(path.name)) for path in skipped[:_NAMES_SHOWN]]
    return f"{plural(len(skipped), 'other file')} skipped: {', '.join(names + ['…'] * (len(skipped) > _NAMES_SHOWN))}"


def _unlike_line(unlike: "Sequence[Prediction]", total: int) -> str:
    """Returns the line that counts the images that are very unlike the training images, and names the first."""
    from tenfold.core.text import plural, printable

    first = f"{printable(_as_utf8(unlike[0].path))} ({unlike[0].warning})"
    return f"{len(unlike):,} of {plural(total, 'image')} are very unlike the training images in size or shape: {first}"


def _as_dict(prediction: "Prediction", unsure_below: float | None) -> dict[str, object]:
    from dataclasses import asdict

    entry = {**asdict(prediction), "path": _as_utf8(prediction.path)}
    if prediction.warning is None:
        del entry["warning"]
    if prediction.error is None:
        del entry["error"]
        if unsure_below is not None:
            entry["unsure"] = _is_unsure(prediction, unsure_below)
    else:
        entry["probability"] = None  # there is no prediction
        del entry["raw_probability"], entry["calibrated"]
    return entry


def _csv_text(predictions: "Sequence[Prediction]", top: int, unsure_below: float | None) -> str:
    """Returns a CSV with a row for each image: path, label and probability of the `top` classes, error, unsure."""
    ranks = [""] + [f"_{rank}" for rank in range(2, top + 1)]
    header = ["path", *(f"{column}{rank}" for rank in ranks for column in ("label", "probability")), "error"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header if unsure_below is None else [*header, "unsure"])
    for prediction in predictions:
        cells = [cell for label, p in _best(prediction, top) for cell in (label, f"{p:.6f}")]
        cells += [""] * (len(header) - 2 - len(cells))
        answer = "" if prediction.error else str(_is_unsure(prediction, unsure_below)).lower()
        unsure = [] if unsure_below is None else [answer]
        writer.writerow([_as_utf8(prediction.path), *cells, prediction.error or "", *unsure])
    return text.getvalue()


def _print_table(predictions: "Sequence[Prediction]", top: int, unsure_below: float | None) -> None:
    from tenfold.cli.output import render
    from tenfold.core.text import percent
    from tenfold.report.tables.run_tables import listing, prediction_table

    read = [prediction for prediction in predictions if prediction.error is None]

    def marked(prediction: "Prediction", text: str) -> str:
        return f"unsure ({text})" if _is_unsure(prediction, unsure_below) else text

    if read and top == 1:
        render(prediction_table([(each.path, marked(each, each.label or ""), each.probability) for each in read]))
    elif read:
        texts = [", ".join(f"{label} {percent(p)}" for label, p in _best(each, top)) for each in read]
        render(listing(["path", "labels"], [[e.path, marked(e, text)] for e, text in zip(read, texts, strict=True)]))


def _reason(prediction: "Prediction") -> str:
    """Returns why an image could not be read, with its path."""
    from tenfold.core.text import printable

    error = str(prediction.error)
    return printable(error if prediction.path in error else f"{prediction.path}: {error}")


def _best(prediction: "Prediction", top: int) -> list[tuple[str, float]]:
    return list(prediction.probabilities.items())[:top]


def _as_utf8(path: str) -> str:
    """Returns a path as text that UTF-8 can hold, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
