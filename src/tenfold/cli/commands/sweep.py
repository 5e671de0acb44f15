"""`tenfold sweep`: many runs of one recipe, over a grid of settings or in search of the best."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.api.sweep_results import Sweep


def sweep(
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", help="A shipped recipe, a TOML file, or timm:NAME.  [default: quick]"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="shapes, cifar10, cifar100, auto, or a folder or archive of class folders."),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="KEY=V,V,…", help="Values to try, e.g. model.width=30,50; several multiply."),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option("--search", metavar="KEY=RANGE", help="To be chosen by Optuna, e.g. optim.lr=log:1e-4..1."),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, metavar="N", help="Length of a search.  [default: 20]")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, metavar="N", help="Runs of each combination.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe, for all trials."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, metavar="N", help="Trials at once; 0 takes as many as there are cores.")
    ] = 0,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Of a search, e.g. postgresql://…  [default: a SQLite file of its own]"),
    ] = None,
    prune: Annotated[bool, typer.Option(help="Whether a search gives up trials that fall behind.")] = True,
    name: Annotated[str | None, typer.Option(help="Of the sweep's folder.")] = None,
    runs: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where it goes.  [default: runs]")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="SWEEP", help="Go on with a sweep that stopped: only what is missing runs.")
    ] = None,
) -> None:
    """Trains one recipe many times: a grid of values, or a search.

    \b
    Examples:
      tenfold sweep --recipe wide --vary model.width=30,50,70,90,110,130,150,170
      tenfold sweep --vary recipe=wide,deep3,deep4 --data cifar10
      tenfold sweep --vary optim.lr=0.1,0.3,1 --vary train.batch_size=125,250 --seeds 3
      tenfold sweep --search optim.lr=log:1e-3..1 --search optim.momentum=0.5..0.95 --trials 30
      tenfold sweep --resume runs/cifar10-wide-sweep-20260101-120000
    """
    if resume is not None:
        given: dict[str, object] = {"--recipe": recipe, "--data": data, "--vary": vary, "--search": search}
        given |= {"--seeds": seeds, "--set": settings, "--storage": storage, "--name": name, "--runs": runs}
        refused = [flag for flag, value in given.items() if value]
        if refused:
            raise UsageError(
                f"{', '.join(refused)} cannot be changed for a sweep that goes on; start a new one for that"
            )
    elif not vary and not search:
        raise UsageError(
            "nothing to vary; expected --vary KEY=V,V or --search KEY=RANGE "
            "(several runs of one recipe: tenfold train --seeds 5)"
        )

    from tenfold.api import sweep as api
    from tenfold.cli.terminal import progress_for, sweep_progress_for

    progress = progress_for(sys.stderr)
    watcher = sweep_progress_for(sys.stdout)
    if resume is not None:
        result = api.resume_sweep(resume, jobs=jobs, trials=trials, watcher=watcher, progress=progress)
    else:
        result = api.sweep(
            recipe or "quick",
            vary=vary or [],
            search=search or [],
            trials=trials,
            seeds=seeds,
            data=data,
            overrides=settings or [],
            name=name,
            runs=runs or Path("runs"),
            jobs=jobs,
            storage=storage,
            prune=prune,
            watcher=watcher,
            progress=progress,
            command=["tenfold", *sys.argv[1:]],
        )
    print_results(result)


def print_results(result: "Sweep") -> None:
    """Prints what came of a sweep or of several seeds, what that is worth, and where everything is."""
    from tenfold.cli.output import show
    from tenfold.core.disk import shown
    from tenfold.report.tables.sweep_tables import noise_warning, seeds_table, settings_table, sweep_table

    path = shown(result.path)
    if result.kind == "seeds":
        finished = [row["seed"] for row in result.rows if row["status"] == "finished"]
        show("", seeds_table(result.evaluations(), finished))
    elif result.study.seeds > 1:
        show("", settings_table(result.rows, result.keys))
    else:
        show("", sweep_table(result.rows, result.keys))
    warning = noise_warning(result.rows, result.keys)
    if warning is not None:
        show(warning)
    failed = result.study.count("failed")
    if failed:
        show(f"{failed} of {len(result.rows)} trials failed; try them again: tenfold sweep --resume {path}")
    page = f", on one page: {path}/report.html" if (result.path / "report.html").is_file() else ""
    show(f"\neverything is in {path}{page}")
    if result.kind != "seeds":
        show(f"the best again: tenfold train --recipe {path}/best.toml")
