"""The arguments and options that commands share, each defined once.

The same thing has the same flag, metavar and help text in every command; only the default may differ.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tenfold.cli.last_run import last_of
from tenfold.core.errors import UsageError


def argument(metavar: str, help_text: str, default: str | None = None, **settings: Any) -> Any:
    """Returns a typer argument whose help says what the value is and its default."""
    return typer.Argument(metavar=metavar, help=_with_default(help_text, default), show_default=False, **settings)


def option(*flags: str, metavar: str | None, help_text: str, default: object = None, **settings: Any) -> Any:
    """Returns a typer option whose help says what the value is and its default."""
    return typer.Option(*flags, metavar=metavar, help=_with_default(help_text, default), show_default=False, **settings)


def flag(name: str, help_text: str, default: str | None = None) -> Any:
    """Returns a typer option that is on or off; `--x/--no-x` names both."""
    return typer.Option(name, help=_with_default(help_text, default), show_default=False)


def data_argument(default: str | None) -> Any:
    """Returns the positional DATA; `either` joins it with `--data`."""
    return argument("DATA", _DATA_HELP, default)


def data_option(default: str | None) -> Any:
    """Returns `--data`."""
    return option("--data", "-d", metavar="DATA", help_text=_DATA_HELP, default=default)


def source_argument() -> Any:
    """Returns the positional RUN|MODEL."""
    return argument("RUN|MODEL", "Run folder, last for the newest, or model file", callback=last_of("run"))


def network_argument(default: str) -> Any:
    """Returns the positional RUN|MODEL|lite0."""
    help_text = "Run folder, last for the newest, model file, or lite0 with its ImageNet weights"
    return argument("RUN|MODEL|lite0", help_text, default, callback=last_of("run"))


def runs_argument(help_text: str) -> Any:
    """Returns the positional RUN that may be repeated, and may be a sweep."""
    return argument("RUN", help_text, callback=last_of("run", "sweep"))


def resume_option(kind: Literal["run", "sweep"]) -> Any:
    """Returns `--resume`."""
    help_text = "Run folder to resume, or last for the newest"
    return option("--resume", metavar="RUN", help_text=help_text, callback=last_of(kind))


def start_option() -> Any:
    """Returns `--from`."""
    help_text = "Run, last for the newest, or model file whose network and weights training starts from"
    return option("--from", metavar="RUN|MODEL", help_text=help_text, callback=last_of("run"))


def recipe_argument(default: str) -> Any:
    """Returns a positional RECIPE; `either` joins it with `--recipe`."""
    return argument("RECIPE", _RECIPE_HELP, default, callback=last_of("run"))


def recipe_option(default: str) -> Any:
    """Returns `--recipe`."""
    return option("--recipe", "-r", metavar="RECIPE", help_text=_RECIPE_HELP, default=default, callback=last_of("run"))


def device_option(default: str) -> Any:
    """Returns `--device`."""
    return option("--device", metavar="DEVICE", help_text="Device: auto, cpu, cuda, cuda:1 or mps", default=default)


def seed_option(default: str) -> Any:
    """Returns `--seed`."""
    return option("--seed", metavar="N", help_text="Random seed", default=default, min=0)


def batch_size_option(default: str) -> Any:
    """Returns `--batch-size`."""
    return option("--batch-size", metavar="N", help_text="Images per training step", default=default, min=1)


def repeats_option(default: int) -> Any:
    """Returns `--repeats`."""
    return option("--repeats", metavar="N", help_text="Number of repetitions", default=default, min=1)


def seconds_option(default: float) -> Any:
    """Returns `--seconds`."""
    return option("--seconds", metavar="S", help_text="Measuring time for each figure, in seconds", default=default)


def folds_option(default: object) -> Any:
    """Returns `--folds`."""
    help_text = "Number of folds; each is predicted by a network trained on the others"
    return option("--folds", metavar="N", help_text=help_text, default=default, min=2)


def name_option(default: str) -> Any:
    """Returns `--name`."""
    return option("--name", metavar="NAME", help_text="Run folder name", default=default)


def output_file(default: str) -> Any:
    """Returns `--output` for a file."""
    return option("--output", "-o", metavar="FILE", help_text="Output file", default=default)


def output_folder(default: str) -> Any:
    """Returns `--output` for a folder."""
    return option("--output", "-o", metavar="FOLDER", help_text="Output folder", default=default)


def split_option(default: str) -> Any:
    """Returns `--split`."""
    return option("--split", metavar="SPLIT", help_text="Split: train, val or test", default=default)


def _with_default(help_text: str, default: object) -> str:
    """Returns the help text with its default: `Random seed (default: 0).`"""
    return f"{help_text}." if default is None else f"{help_text} (default: {default})."


_DATA_HELP = "Dataset: shapes, cifar10, cifar100, auto, a folder or archive of images, or a .parquet or .npz file"
_RECIPE_HELP = "Recipe: a shipped name, a TOML file or timm:NAME"

SourceArgument = Annotated[Path | None, source_argument()]
DataDirOption = Annotated[
    str | None, option("--data-dir", metavar="FOLDER", help_text="Folder that holds a copy of CIFAR")
]
LabelsOption = Annotated[
    str | None,
    option(
        "--labels",
        metavar="TABLE|name:REGEX",
        help_text="Labels from a table, e.g. t.csv or t.csv:file=id,label=breed, or from file names by a pattern",
    ),
]
SplitsOption = Annotated[
    str | None,
    option(
        "--splits", metavar="FOLDER=SPLIT,…", help_text="Which folders are train, test and val, e.g. a=train,b=test"
    ),
]
ClassesAreFoldersOption = Annotated[
    bool, flag("--classes-are-folders", "Take the outermost folders for classes, whatever their names")
]
GroupOption = Annotated[
    str | None,
    option(
        "--group",
        metavar="REGEX|COLUMN|duplicates",
        help_text="Images that stay in one split: a pattern for paths, e.g. '(patient[0-9]+)', a column, or duplicates",
    ),
]
SetOption = Annotated[
    list[str] | None,
    option("--set", metavar="KEY=VALUE", help_text="Recipe key to change, e.g. data.image_size=64; may be repeated"),
]
ExcludeOption = Annotated[
    str | None, option("--exclude", metavar="CSV", help_text="List of training images to leave out")
]
RelabelOption = Annotated[
    str | None, option("--relabel", metavar="CSV", help_text="List of training images that get their suggested class")
]
EpochsOption = Annotated[
    float | None,
    option("--epochs", metavar="N", help_text="Training length in epochs", default="the recipe's"),
]
LearningRateOption = Annotated[
    float | None, option("--lr", metavar="RATE", help_text="Learning rate", default="the recipe's")
]
TargetOption = Annotated[
    float | None,
    option("--target", metavar="ACCURACY", help_text="Stop at this validation accuracy, e.g. 0.9, and report the time"),
]
SeedsOption = Annotated[
    int | None,
    option("--seeds", metavar="N", help_text="Train with N seeds and report mean and std", default="one seed", min=1),
]
JobsOption = Annotated[
    int | None,
    option("--jobs", metavar="N", help_text="Runs at the same time", default="as the cores allow", min=0),
]
RayOption = Annotated[
    str | None,
    option("--ray", metavar="[ADDRESS]", help_text="Use Ray on this machine, or the cluster at HOST:PORT or auto"),
]
ReportOption = Annotated[
    bool, flag("--report/--no-report", "Write charts and report.html at the end", default="--report")
]
RunsOption = Annotated[
    Path | None, option("--runs", metavar="FOLDER", help_text="Folder for run folders", default="runs")
]
WeightsOption = Annotated[
    Path | None,
    option("--weights", metavar="FILE", help_text="A plain state_dict (.pth) in place of RUN; needs --model"),
]
ModelOption = Annotated[str | None, option("--model", metavar="NAME", help_text="Network of --weights, e.g. tutorial")]
ViewsOption = Annotated[
    Literal["plain", "mirror", "shifts"] | None,
    option(
        "--views",
        metavar="VIEWS",
        help_text="Test-time augmentation (TTA): plain, mirror or shifts",
        default="as trained",
    ),
]
JsonOption = Annotated[
    str | None,
    option("--json", metavar="[FILE]", help_text="Print JSON and nothing else, or write it to FILE, a new .json file"),
]
CsvOption = Annotated[
    str | None,
    option("--csv", metavar="[FILE]", help_text="Print CSV and nothing else, or write it to FILE, a new .csv file"),
]
ForceOption = Annotated[bool, flag("--force", "Overwrite existing output files")]


def either(positional: str | None, flagged: str | None, metavar: str) -> str | None:
    """Returns a value that may be given by position or by flag.

    Args:
        positional: the word without a flag.
        flagged: the value of the flag.
        metavar: of both, such as `DATA`.

    Raises:
        UsageError: when both are given and differ.

    Example:
        >>> either("shapes", None, "DATA")
        'shapes'
    """
    if positional is not None and flagged is not None and positional != flagged:
        raise UsageError(
            f"{metavar} is '{positional}' and --{metavar.lower()} is '{flagged}'; expected one of them, leave one out"
        )
    return flagged if positional is None else positional


def chosen_data(positional: str | None, flagged: str | None) -> str | None:
    """Returns the dataset given as DATA or `--data`; None if there is none.

    Raises:
        UsageError: when both are given and differ, or DATA is the name of a recipe.
    """
    if positional and flagged and positional.rstrip("/") == flagged.rstrip("/"):
        positional = flagged = max(positional, flagged)  # the shell completes folders with a slash
    data = either(positional, flagged, "DATA")
    if positional is not None and not Path(positional).exists():
        from tenfold.recipes.load import recipe_names

        if positional in recipe_names():
            raise UsageError(
                f"DATA is '{positional}', which is a recipe; expected a dataset: add --recipe {positional}"
            )
    return data


def required(value: str | None, metavar: str) -> str:
    """Returns `value`.

    Raises:
        UsageError: when it is None.
    """
    if value is None:
        raise UsageError(f"no {metavar} was given; expected {metavar} or --{metavar.lower()} {metavar}")
    return value


def recipe_lines(settings: Sequence[str] | None, **flags: Any) -> list[str]:
    """Returns `--set` lines followed by the short flags in the same form; see `keyword_lines`."""
    from tenfold.recipes.keywords import keyword_lines

    return keyword_lines(settings or [], prefix="--", **flags)
