"""`tenfold train`: from images to a trained, evaluated and saved classifier."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tenfold.cli.commands.sweep import print_results as print_sweep
from tenfold.cli.commands.sweep import refuse_beside_resume
from tenfold.cli.commands.train_checks import check_budget, check_folds
from tenfold.cli.launching import (
    MaxRestartsOption,
    NodeRankOption,
    NodesOption,
    ProcessesOption,
    RendezvousOption,
    is_follower,
    start,
    wanted_launch,
)
from tenfold.cli.options import (
    ClassesAreFoldersOption,
    DataDirOption,
    EpochsOption,
    ExcludeOption,
    GroupOption,
    JobsOption,
    LabelsOption,
    LearningRateOption,
    RelabelOption,
    ReportOption,
    RunsOption,
    SeedsOption,
    SetOption,
    SplitsOption,
    TargetOption,
    batch_size_option,
    chosen_data,
    data_argument,
    data_option,
    device_option,
    flag,
    folds_option,
    name_option,
    option,
    recipe_lines,
    recipe_option,
    resume_option,
    seed_option,
    start_option,
)
from tenfold.core.clock import process_start
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.api.training_run import Run
    from tenfold.core.world import Launch

_IMAGES_SHOWN = 8
_RESUME_KEYS = ("train.", "optim.lr=", "optim.muon_lr=", "optim.warmup=")
"""Starts of the --set lines that may be given beside --resume; the rates only after a loss that was not finite."""
# The tutorials that train these networks print the running loss in their own form.
_TUTORIAL_NETWORKS = ("mlp", "tutorial", "wide", "deep3", "deep4")


def train(
    data_source: Annotated[str | None, data_argument("the recipe's")] = None,
    recipe: Annotated[str | None, recipe_option("auto")] = None,
    data: Annotated[str | None, data_option("the recipe's")] = None,
    data_dir: DataDirOption = None,
    labels: LabelsOption = None,
    splits: SplitsOption = None,
    classes_are_folders: ClassesAreFoldersOption = False,
    group: GroupOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
    settings: SetOption = None,
    epochs: EpochsOption = None,
    batch_size: Annotated[int | None, batch_size_option("the recipe's")] = None,
    lr: LearningRateOption = None,
    seed: Annotated[int | None, seed_option("the recipe's")] = None,
    seeds: SeedsOption = None,
    resplit: Annotated[
        bool, flag("--resplit", "With --seeds: each seed also draws its own test and validation images")
    ] = False,
    folds: Annotated[int | None, folds_option("no cross-validation")] = None,
    jobs: JobsOption = None,
    target: TargetOption = None,
    budget: Annotated[
        str | None,
        option(
            "--budget",
            metavar="TIME",
            help_text="Time for the whole command, e.g. 60s; chooses network and length to fit",
        ),
    ] = None,
    report: ReportOption = True,
    device: Annotated[str | None, device_option("the recipe's")] = None,
    name: Annotated[str | None, name_option("dataset-recipe-date")] = None,
    runs: RunsOption = None,
    start_from: Annotated[Path | None, start_option()] = None,
    resume: Annotated[Path | None, resume_option("run")] = None,
    processes: ProcessesOption = None,
    max_restarts: MaxRestartsOption = None,
    nodes: NodesOption = None,
    node_rank: NodeRankOption = None,
    rendezvous: RendezvousOption = None,
) -> None:
    """Trains, evaluates and saves a classifier.

    Writes a run folder with the models, the metrics, charts and a recipe that repeats the run. --resume continues a
    stopped run, with a larger --epochs it extends a finished one, and with a lower --lr it goes on after a loss that
    was not finite. Beside it, --data says where the images of the run are now.

    \b
    Examples:
      tenfold train
      tenfold train cifar10 --recipe tutorial
      tenfold train cifar10 --recipe timm:resnet18
      tenfold train my-photos/ --epochs 10
      tenfold train my-photos/ --recipe photo-tuned
      tenfold train cifar10 --from runs/cifar100-quick-20260101-120000
      tenfold train cifar10 --recipe tutorial --seeds 5
      tenfold train my-photos/ --seeds 5 --resplit
      tenfold train my-photos/ --folds 5 --group '(patient[0-9]+)'
      tenfold train cifar10 --epochs 10 --target 0.9
      tenfold train cifar10 --budget 60s
      tenfold train my-photos/ --processes gpu
      tenfold train my-photos/ --exclude suspects.csv
      tenfold train --set optim.name=sgd --set data.augment.flip=random
      tenfold train --resume runs/cifar10-quick-20260101-120000
      tenfold train --resume runs/cifar10-quick-20260101-120000 --epochs 6
      tenfold train --resume runs/cifar10-quick-20260101-120000 --lr 0.01
    """
    source = chosen_data(data_source, data)
    lines = recipe_lines(
        settings,
        data_dir=data_dir,
        labels=labels,
        splits=splits,
        classes_are_folders=classes_are_folders,
        group=group,
        exclude=exclude,
        relabel=relabel,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        device=device,
        target=target,
    )
    if resume is not None:
        given: dict[str, Any] = {"--recipe": recipe, "--exclude": exclude, "--relabel": relabel}
        given |= {"--batch-size": batch_size, "--seed": seed, "--seeds": seeds, "--folds": folds}
        given |= {"--labels": labels, "--splits": splits, "--classes-are-folders": classes_are_folders or None}
        given |= {"--group": group, "--from": start_from}
        given |= {"--resplit": resplit or None, "--name": name, "--runs": runs, "--budget": budget}
        refused = [flag for flag, value in given.items() if value is not None]
        refused += [f"--set {line}" for line in settings or [] if not line.strip().startswith(_RESUME_KEYS)]
        allowed = "--epochs, --target, --device, --set train.…, --data where the images have moved, --lr"
        allowed += " after a loss that was not finite, and --processes with its --max-restarts, --nodes …"
        refuse_beside_resume(refused, allowed)
    if budget is not None:
        check_budget(budget, epochs, seeds)
    if folds is not None:
        check_folds({"--seeds": seeds, "--target": target, "--budget": budget})
    if jobs is not None and seeds is None and folds is None:
        raise UsageError(
            f"--jobs {jobs} was given without --seeds or --folds; expected one of them, whose runs it is about"
        )
    if resplit and seeds is None:
        raise UsageError("--resplit was given without --seeds; expected --seeds N, whose runs get their own splits")
    single = {"seeds": seeds, "folds": folds, "budget": budget}
    launch = wanted_launch(processes, max_restarts, nodes, node_rank, rendezvous, **single)
    chosen = recipe or "auto"
    common: dict[str, Any] = {
        "data": source,
        "overrides": lines,
        "name": name,
        "runs": runs or Path("runs"),
        "report": report,
        "command": ["tenfold", *sys.argv[1:]],
        **({} if start_from is None else {"start_from": start_from}),
    }
    if folds is not None:
        _train_folds(chosen, folds, jobs or 0, common)
    elif seeds is not None:
        _train_seeds(chosen, seeds, jobs or 0, {**common, "resplit": resplit})
    else:
        _train_once(chosen, resume, budget, common, launch)


def _train_once(
    recipe: str, resume: Path | None, budget: str | None, common: dict[str, Any], launch: "Launch | None"
) -> None:
    silent = "start_from" in common or is_follower()
    tutorial_every = None if silent else _tutorial_every(resume or recipe, common["overrides"])
    if launch is not None:
        start(launch, resume, common["runs"])

    from tenfold.api import train as api
    from tenfold.cli.terminal import progress_for

    with progress_for(tutorial_every=tutorial_every) as progress:
        run = api.train(recipe, resume=resume, budget=budget, progress=progress, started=process_start(), **common)
    if not is_follower():
        _print_results(run)


def _train_seeds(recipe: str, seeds: int, jobs: int, common: dict[str, Any]) -> None:
    """Trains one recipe with several seeds, and prints mean and standard deviation."""
    from tenfold.api import sweep as api
    from tenfold.cli.terminal import progress_for, sweep_progress_for

    sweep_progress, progress = sweep_progress_for(sys.stdout), progress_for(sys.stderr)
    chosen, common = _started(recipe, common)
    print_sweep(api.sweep(chosen, seeds=seeds, jobs=jobs, sweep_progress=sweep_progress, progress=progress, **common))


def _train_folds(recipe: str, folds: int, jobs: int, common: dict[str, Any]) -> None:
    """Cross-validates one recipe, and prints its accuracy out of fold."""
    from tenfold.api.folds import cross_validate
    from tenfold.cli.terminal import progress_for, sweep_progress_for

    shown: dict[str, Any] = {"sweep_progress": sweep_progress_for(sys.stdout), "progress": progress_for(sys.stderr)}
    chosen, common = _started(recipe, common)
    print_sweep(cross_validate(chosen, folds, jobs=jobs, **shown, **common))


def _started(recipe: str, common: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the recipe of several runs, with the model that --from names, and the other arguments."""
    if "start_from" not in common:
        return recipe, common
    from tenfold.api.weights import starting_from

    others = {key: value for key, value in common.items() if key != "start_from"}
    chosen, others["overrides"] = starting_from(common["start_from"], recipe, common["overrides"])
    return chosen, others


def _tutorial_every(source: str | Path, lines: list[str]) -> int | None:
    """Returns the number of steps between two of the tutorials' loss lines, or None for other networks.

    Loading the recipe here also reports a mistake before torch is imported, which takes a second.
    """
    from tenfold.recipes.auto import AUTO, early_recipe
    from tenfold.recipes.load import load_recipe

    if isinstance(source, Path) and not (source / "recipe.toml").is_file():
        return None  # not a run folder: `api.train` reports that
    recipe = early_recipe(lines) if source == AUTO else load_recipe(source, lines)
    return recipe.train.log_every if recipe.model.name in _TUTORIAL_NETWORKS else None


def _print_results(run: "Run") -> None:
    """Prints accuracy, metrics of each class, some predictions as the tutorials do, and the run doctor's findings."""
    from tenfold.cli.output import render, report_place
    from tenfold.core.disk import display_path
    from tenfold.evaluate.macro import is_uneven
    from tenfold.report.doctor.diagnose import diagnose, doctor_lines
    from tenfold.report.tables.run_tables import (
        accuracy_line,
        class_table,
        estimate_lines,
        ground_truth_lines,
        near_duplicate_line,
        plain_line,
        sample_indices,
    )
    from tenfold.runs.run_folder import RunFolder

    result = run.evaluation
    headline = accuracy_line(result.accuracy, result.interval, result.total)
    uneven = is_uneven(row.support for row in result.per_class) or is_uneven(
        run.summary.get("dataset", {}).get("train_counts", {}).values()
    )
    figures = estimate_lines(result) if uneven else []
    other_lines = [*figures[1:], *plain_line(result), *near_duplicate_line(run.summary)]
    render("", *figures[:1], headline, *other_lines, class_table(result.per_class))
    folder = RunFolder.open(run.path)
    rows = folder.read_predictions()
    some = [rows[index] for index in sample_indices(len(rows), _IMAGES_SHOWN)]  # the first row of plots/predictions.png
    render(ground_truth_lines([row.true for row in some], [row.predicted for row in some]))
    render("", *doctor_lines(diagnose(folder)))
    render(f"\n{report_place(run.path)}", f"try it: tenfold predict {shlex.quote(display_path(run.path))} IMAGE")
