"""`tenfold eval`: how good a saved classifier is on labeled images."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tenfold.cli.options import (
    ClassesAreFoldersOption,
    DataDirOption,
    ForceOption,
    JsonOption,
    LabelsOption,
    ModelOption,
    SourceArgument,
    SplitsOption,
    ViewsOption,
    WeightsOption,
    data_option,
    device_option,
    split_option,
)
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.evaluate.metrics import Evaluation

_CONFUSIONS_SHOWN = 5


def evaluate(
    source: SourceArgument = None,
    data: Annotated[str | None, data_option("the run's")] = None,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    weights: WeightsOption = None,
    model: ModelOption = None,
    split: Annotated[
        Literal["train", "val", "test", "all"] | None,
        split_option("test, where there is one; all for every image"),
    ] = None,
    device: Annotated[str, device_option("auto")] = "auto",
    views: ViewsOption = None,
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Evaluates a classifier on labeled images.

    Prints the accuracy with its 95 % interval, the metrics of each class, and the most frequent confusions. The
    run's own data is evaluated on its test split. From other data nothing is drawn: without a test folder all its
    images are evaluated, and --split all evaluates those of every folder. It may lack classes of the model. The
    folder of a cross-validation is its final model; without test images of its own, the results are those of the folds.

    \b
    Examples:
      tenfold eval runs/cifar10-quick-20260101-120000
      tenfold eval runs/mine/best.safetensors --data my-new-photos/
      tenfold eval runs/mine --views shifts
      tenfold eval --weights cifar_net.pth --model tutorial --data cifar10
    """
    chosen = one_source(source, weights, model)

    from tenfold.cli.output import check_outputs, deliver, json_text

    check_outputs({"--json": as_json}, force=force)

    from tenfold.api import evaluate as api
    from tenfold.cli.terminal import progress_for

    with progress_for(sys.stderr) as progress:
        result = api.evaluate(
            chosen,
            data=data,
            data_dir=data_dir,
            labels=labels,
            splits=splits,
            classes_are_folders=classes_are_folders or None,
            device=device,
            split=split,
            model=model,
            views=views,
            progress=progress,
        )
    if as_json != "-":
        _print(result, _noun(data, split) if result.folds is None else "out-of-fold image")
    if as_json is not None:
        deliver(json_text(result.to_json()), as_json)


def one_source(source: Path | None, weights: Path | None, model: str | None) -> Path:
    """Returns the run folder or model file to use.

    Args:
        source: a run folder or model file.
        weights: a plain state_dict.
        model: the network of `weights`.

    Raises:
        UsageError: when neither or both are given, or the network of plain weights is not named.
    """
    if source is not None and weights is not None:
        raise UsageError(f"both {source} and --weights {weights} were given; expected one of them")
    if weights is not None and model is None:
        raise UsageError(f"--weights {weights} does not name its network; add --model, e.g. --model tutorial")
    if weights is not None and weights.exists():  # a missing file is an error later
        from tenfold.cli.output import note

        note(
            f"{weights} holds weights only: images are brought to 32×32 and normalized by (x − 0.5) / 0.5, as in "
            "PyTorch's tutorial; a run or its .safetensors needs no such assumption"
        )
    chosen = source or weights
    if chosen is None:
        raise UsageError("no classifier was given; expected a run folder, a model file, or --weights FILE --model NAME")
    return chosen


def _noun(data: str | None, split: str | None) -> str:
    """Returns what one of the images is; of other data without a split, the message before says it."""
    return "image" if split == "all" or (data and split is None) else f"{split or 'test'} image"


def _print(result: "Evaluation", noun: str) -> None:
    from tenfold.cli.output import render
    from tenfold.report.tables.run_tables import accuracy_line, class_table, estimate_lines, plain_line

    render(
        accuracy_line(result.accuracy, result.interval, result.total, noun),
        *plain_line(result),
        *estimate_lines(result),
        class_table([row for row in result.per_class if row.support]),
    )
    if confused := confusion_lines(result):
        render("most frequent confusions:", *(f"  {line}" for line in confused))


def confusion_lines(evaluation: "Evaluation") -> list[str]:
    """Returns the most frequent confusions, e.g. `cat predicted as dog: 88 of 1,000`, most frequent first."""
    from tenfold.core.text import printable

    names = [printable(result.name) for result in evaluation.per_class]
    found = [
        (-count, true, predicted)
        for true, row in enumerate(evaluation.confusion.tolist())
        for predicted, count in enumerate(row)
        if true != predicted and count
    ]
    return [
        f"{names[true]} predicted as {names[predicted]}: {-count:,} of {evaluation.per_class[true].support:,}"
        for count, true, predicted in sorted(found)[:_CONFUSIONS_SHOWN]
    ]
