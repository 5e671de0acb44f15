"""`tenfold sweep`: many runs of one recipe, over a grid of settings or in a search for the best."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tenfold.cli.options import (
    ClassesAreFoldersOption,
    DataDirOption,
    EpochsOption,
    ExcludeOption,
    GroupOption,
    JobsOption,
    LabelsOption,
    LearningRateOption,
    RayOption,
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
    name_option,
    option,
    recipe_lines,
    recipe_option,
    resume_option,
)
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.api.sweep_results import Sweep


def sweep(
    data_source: Annotated[str | None, data_argument("the recipe's")] = None,
    recipe: Annotated[str | None, recipe_option("auto")] = None,
    data: Annotated[str | None, data_option("the recipe's")] = None,
    vary: Annotated[
        list[str] | None,
        option(
            "--vary",
            metavar="KEY=V,V,…",
            help_text="Values to try, e.g. model.width=30,50; several --vary form a grid",
        ),
    ] = None,
    search: Annotated[
        list[str] | None,
        option("--search", metavar="KEY=RANGE", help_text="Range that Optuna searches, e.g. optim.lr=log:1e-4..1"),
    ] = None,
    trials: Annotated[
        int | None, option("--trials", metavar="N", help_text="Number of trials of a search", default=20, min=1)
    ] = None,
    seeds: SeedsOption = None,
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
    target: TargetOption = None,
    device: Annotated[str | None, device_option("the recipe's")] = None,
    jobs: JobsOption = None,
    ray: RayOption = None,
    cpus_per_trial: Annotated[
        int | None,
        option(
            "--cpus-per-trial", metavar="N", help_text="CPUs and threads of each trial with --ray", default=1, min=1
        ),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        option(
            "--gpus-per-trial",
            metavar="G",
            help_text="GPUs of each trial with --ray, e.g. 0.25",
            default="one if there are some",
            min=0,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        option(
            "--storage",
            metavar="URL",
            help_text="Storage of a search, e.g. postgresql://…",
            default="a SQLite file in the sweep folder",
        ),
    ] = None,
    prune: Annotated[
        bool, flag("--prune/--no-prune", "Stop trials of a search that fall behind", default="--prune")
    ] = True,
    report: ReportOption = True,
    name: Annotated[str | None, name_option("dataset-recipe-sweep-date")] = None,
    runs: RunsOption = None,
    resume: Annotated[Path | None, resume_option("sweep")] = None,
) -> None:
    """Trains one recipe many times: a grid of values, or a search.

    Flags such as --epochs and --lr hold for all trials. --resume runs only the trials that have no result yet.

    \b
    Examples:
      tenfold sweep --recipe wide --vary model.width=30,50,70,90,110,130,150,170
      tenfold sweep cifar10 --vary recipe=wide,deep3,deep4 --epochs 2
      tenfold sweep --vary optim.lr=0.1,0.3,1 --vary train.batch_size=125,250 --seeds 3
      tenfold sweep --search optim.lr=log:1e-3..1 --search optim.momentum=0.5..0.95 --trials 30
      tenfold sweep --vary optim.lr=0.1,0.3,1 --ray head-node:6379 --gpus-per-trial 0.25
      tenfold sweep --resume runs/cifar10-wide-sweep-20260101-120000
    """
    source = chosen_data(data_source, data)
    short: dict[str, Any] = {
        "data_dir": data_dir, "labels": labels, "splits": splits, "classes_are_folders": classes_are_folders,
        "group": group, "exclude": exclude, "relabel": relabel, "epochs": epochs, "batch_size": batch_size,
        "lr": lr, "target": target, "device": device,
    }  # fmt: skip
    if resume is not None:
        given: dict[str, Any] = {
            "--recipe": recipe,
            "--vary": vary,
            "--search": search,
            "--seeds": seeds,
        }
        given |= {f"--{key.replace('_', '-')}": value for key, value in short.items()}
        given |= {"--set": settings, "--storage": storage, "--name": name, "--runs": runs}
        given |= {"--no-report": None if report else True, "--no-prune": None if prune else True}
        refuse_beside_resume(
            [flag_name for flag_name, value in given.items() if value], "--jobs, --trials, --data and --ray"
        )
    elif not vary and not search:
        raise UsageError(
            "there is nothing to vary; expected --vary KEY=V,V or --search KEY=RANGE "
            "(for several runs of one recipe: tenfold train --seeds 5)"
        )
    lines = recipe_lines(settings, **short)

    from tenfold.api import sweep as api
    from tenfold.cli.terminal import progress_for, sweep_progress_for

    progress, sweep_progress = progress_for(sys.stderr), sweep_progress_for(sys.stdout)
    shared: dict[str, Any] = {
        "jobs": jobs or 0, "ray": ray or False, "cpus_per_trial": cpus_per_trial or 0, "gpus_per_trial": gpus_per_trial,
        "trials": trials, "data": source, "sweep_progress": sweep_progress, "progress": progress,
    }  # fmt: skip
    if resume is not None:
        result = api.resume_sweep(resume, **shared)
    else:
        result = api.sweep(
            recipe or "auto",
            vary=vary or [],
            search=search or [],
            seeds=seeds,
            overrides=lines,
            name=name,
            runs=runs or Path("runs"),
            storage=storage,
            prune=prune,
            report=report,
            command=["tenfold", *sys.argv[1:]],
            **shared,
        )
    print_results(result)


def refuse_beside_resume(flags: list[str], allowed: str) -> None:
    """Raises UsageError if flags were given that would change the run or sweep that is resumed."""
    if flags:
        raise UsageError(
            f"{', '.join(flags)} cannot be changed for a run that is resumed; beside --resume expected only {allowed}"
        )


def print_results(result: "Sweep") -> None:
    """Prints the results of a sweep or of several seeds, and where they lie."""
    from tenfold.cli.output import render, report_place
    from tenfold.core.disk import display_path
    from tenfold.report.ranking import ranking_lines
    from tenfold.report.tables.sweep_tables import folds_table, seeds_table, settings_table, sweep_table

    path = display_path(result.path)
    if result.kind == "folds":
        render("", folds_table(result.study))
    elif result.kind == "seeds":
        render("", seeds_table(result.study, result.evaluations()))
    elif result.study.num_seeds > 1:
        render("", settings_table(result.study))
    else:
        render("", sweep_table(result.study))
    render(*ranking_lines(result.study))
    failed = result.study.count("failed")
    if failed:
        render(f"{failed} of {len(result.rows)} trials failed; retry them: tenfold sweep --resume {path}")
    render(f"\n{report_place(result.path)}")
    if result.kind == "folds":
        render(f"try it: tenfold predict {path} IMAGE")
    elif result.kind != "seeds":
        render(f"train the best again: tenfold train --recipe {path}/best.toml")
