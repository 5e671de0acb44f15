"""`tenfold train`: from pictures to a trained, judged and saved classifier."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenfold.core.clock import process_start
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.api.training_run import Run

_PICTURES_NAMED = 8
# The tutorials that train these networks print a line of their own form.
_TUTORIAL_NETWORKS = ("mlp", "tutorial", "wide", "deep3", "deep4")


def train(
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", help="A shipped recipe, a TOML file, or timm:NAME.  [default: quick]"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="shapes, cifar10, cifar100, auto, or a folder or archive of class folders."),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="FOLDER", help="Where a copy of CIFAR lies.")
    ] = None,
    exclude: Annotated[
        str | None, typer.Option("--exclude", metavar="CSV", help="Leave out the training pictures that it lists.")
    ] = None,
    relabel: Annotated[
        str | None, typer.Option("--relabel", metavar="CSV", help="Give pictures that it lists the class suggested.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe, e.g. optim.momentum=0.8."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(metavar="N", help="Passes over the pictures.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N", help="Pictures in a step.")] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="Of weights, order and augmentation.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Train N times, with as many seeds; tells the spread.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of --seeds, so many at once.  [default: one a core]")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Stop at this accuracy on validation pictures, e.g. 0.9; tells the time."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Of the whole command, e.g. 60s: plans network and length to fit."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write charts and report.html at the end.")
    ] = True,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the run's folder, in the place of data and date.")] = None,
    runs: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where run folders go.  [default: runs]")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a run that stopped, or extend it by --epochs."),
    ] = None,
) -> None:
    """Trains a classifier, judges it and saves it.

    The run folder that it writes holds the models, the figures and a recipe that runs again as it is.

    \b
    Examples:
      tenfold train
      tenfold train --recipe tutorial --data cifar10
      tenfold train --recipe timm:resnet18 --data cifar10
      tenfold train --data my-photos/ --epochs 10
      tenfold train --recipe tutorial --data cifar10 --seeds 5
      tenfold train --data cifar10 --epochs 10 --target 0.9
      tenfold train --data cifar10 --budget 60s
      tenfold train --data my-photos/ --exclude suspects.csv
      tenfold train --set optim.name=sgd --set data.augment.flip=random
      tenfold train --resume runs/cifar10-quick-20260101-120000
      tenfold train --resume runs/cifar10-quick-20260101-120000 --epochs 6
    """
    given: dict[str, Any] = {
        "--recipe": recipe,
        "--data": data,
        "--data-dir": data_dir,
        "--exclude": exclude,
        "--relabel": relabel,
        "--batch-size": batch_size,
        "--lr": lr,
        "--seed": seed,
        "--seeds": seeds,
        "--name": name,
        "--runs": runs,
        "--budget": budget,
    }
    lists = {"data.exclude": exclude, "data.relabel": relabel}
    lines = [*(settings or []), *_as_settings(data_dir, lists, epochs, batch_size, lr, seed, device, target)]
    if resume is not None:
        _refuse_beside_resume(given, settings or [])
    if budget is not None:
        _check_budget(budget, epochs, seeds)
    chosen = recipe or "quick"
    if seeds is not None:
        _train_seeds(chosen, seeds, jobs or 0, data, lines, name, runs or Path("runs"), report)
        return
    if jobs is not None:
        raise UsageError("--jobs says how many of --seeds N train at once; expected --seeds beside it")
    tutorial_every = _tutorial_every(resume or chosen, lines)

    from tenfold.api import train as api
    from tenfold.cli.terminal import progress_for

    progress = progress_for(tutorial_every=tutorial_every)
    try:
        run = api.train(
            chosen,
            data=data,
            overrides=lines,
            name=name,
            runs=runs or Path("runs"),
            resume=resume,
            budget=budget,
            report=report,
            progress=progress,
            command=["tenfold", *sys.argv[1:]],
            began=process_start(),
        )
    finally:
        progress.finish()
    _print_results(run)


def _train_seeds(
    recipe: str, seeds: int, jobs: int, data: str | None, lines: list[str], name: str | None, runs: Path, report: bool
) -> None:
    """Trains one recipe with several seeds, and prints how far they scatter."""
    from tenfold.api import sweep as api
    from tenfold.cli.commands.sweep import print_results
    from tenfold.cli.terminal import progress_for, sweep_progress_for
    from tenfold.engine.target import settings_for_target
    from tenfold.recipes.load import load_recipe

    base = load_recipe(recipe, lines)
    chose_when = "evaluate_every" in base.train.model_fields_set
    lines = [*lines, *(f"{key}={value}" for key, value in settings_for_target(base, chose_when=chose_when).items())]
    result = api.sweep(
        recipe,
        seeds=seeds,
        jobs=jobs,
        data=data,
        overrides=lines,
        name=name,
        runs=runs,
        report=report,
        watcher=sweep_progress_for(sys.stdout),
        progress=progress_for(sys.stderr),
        command=["tenfold", *sys.argv[1:]],
    )
    print_results(result)


def _as_settings(
    data_dir: str | None,
    lists: dict[str, str | None],
    epochs: float | None,
    batch_size: int | None,
    lr: float | None,
    seed: int | None,
    device: str | None,
    target: float | None,
) -> list[str]:
    """Returns short flags as `section.key=value` lines."""
    from tenfold.recipes.durations import Duration

    for flag, number in (("--epochs", epochs), ("--lr", lr)):
        if number is not None and not (math.isfinite(number) and number > 0):
            raise UsageError(f"{flag} is {number:g}; expected a number above 0")
    if target is not None and not 0 < target < 1:
        raise UsageError(f"--target is {target:g}; expected a share between 0 and 1, e.g. 0.9 for 90 %")
    values = {
        "data.data_dir": data_dir,
        **lists,
        "train.duration": None if epochs is None else Duration(epochs, "epochs"),
        "train.batch_size": batch_size,
        "optim.lr": lr,
        "train.seed": seed,
        "train.device": device,
        "train.target": target,
    }
    return [f"{key}={value}" for key, value in values.items() if value is not None]


def _refuse_beside_resume(given: dict[str, Any], settings: list[str]) -> None:
    """Raises UsageError where a flag would make another run out of the one that is resumed."""
    refused = [flag for flag, value in given.items() if value is not None]
    refused += [f"--set {line}" for line in settings if not line.strip().startswith("train.")]
    if refused:
        raise UsageError(
            f"{', '.join(refused)} cannot be changed for a run that is resumed; "
            "beside --resume only --epochs, --target, --device and --set train.… are taken"
        )


def _check_budget(budget: str, epochs: float | None, seeds: int | None) -> None:
    """Raises UsageError where the budget is no time, or another flag says what it is to plan."""
    from tenfold.experiments.budget.budget_plan import parse_budget

    parse_budget(budget)
    if epochs is not None or seeds is not None:
        flag, why = ("--epochs", "how long the training is") if epochs is not None else ("--seeds", "a single run")
        raise UsageError(f"--budget and {flag} were both given; --budget plans {why}, so leave one of them out")


def _tutorial_every(source: str | Path, lines: list[str]) -> int | None:
    """Returns how many batches lie between two of the tutorials' lines, or None for another network.

    Loading the recipe here also refuses a mistake before torch has taken its second to load.
    """
    from tenfold.recipes.load import load_recipe

    if isinstance(source, Path) and not (source / "recipe.toml").is_file():
        return None  # no run: saying so is left to whoever resumes it
    recipe = load_recipe(source, lines)
    return recipe.train.log_every if recipe.model.name in _TUTORIAL_NETWORKS else None


def _print_results(run: "Run") -> None:
    """Prints accuracy, classes, some pictures' names as the tutorials do, what is conspicuous, and where to go on."""
    from tenfold.cli.output import show
    from tenfold.core.disk import shown
    from tenfold.report.doctor.diagnose import diagnose, doctor_lines
    from tenfold.report.tables.run_tables import accuracy_line, class_table, ground_truth_lines, plain_line, sample
    from tenfold.runs.run_folder import RunFolder

    result, path = run.evaluation, shown(run.path)
    headline = accuracy_line(result.accuracy, result.interval, result.total)
    show("", headline, *plain_line(result), class_table(result.per_class))
    folder = RunFolder.open(run.path)
    rows = folder.read_predictions()
    some = [rows[place] for place in sample(len(rows), _PICTURES_NAMED)]  # the first row of plots/predictions.png
    show(ground_truth_lines([row.true for row in some], [row.predicted for row in some]))
    show("", *doctor_lines(diagnose(folder)))
    page = f", on one page: {path}/report.html" if folder.report.is_file() else ""
    show(f"\neverything is in {path}{page}", f"try it: tenfold predict {path} PICTURE")
