"""`tenfold bench scale`: training speed by number of processes."""

from typing import TYPE_CHECKING, Annotated

from tenfold.cli.commands.bench_output import BenchResult, print_bench, whole_numbers
from tenfold.cli.options import (
    DataDirOption,
    ForceOption,
    JsonOption,
    SetOption,
    batch_size_option,
    chosen_data,
    data_argument,
    data_option,
    device_option,
    option,
    recipe_lines,
    recipe_option,
    repeats_option,
    seconds_option,
)

if TYPE_CHECKING:
    from tenfold.core.progress import Progress


def bench_scale(
    data_source: Annotated[str | None, data_argument("the recipe's")] = None,
    data: Annotated[str | None, data_option("the recipe's")] = None,
    recipe: Annotated[str, recipe_option("quick")] = "quick",
    data_dir: DataDirOption = None,
    settings: SetOption = None,
    batch_size: Annotated[int | None, batch_size_option("the recipe's")] = None,
    device: Annotated[str | None, device_option("the recipe's")] = None,
    counts: Annotated[
        str, option("--counts", metavar="LIST", help_text="Numbers of processes to compare", default="1,2")
    ] = "1,2",
    repeats: Annotated[int, repeats_option(3)] = 3,
    seconds: Annotated[float, seconds_option(5)] = 5.0,
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Measures how training scales over processes.

    Times training steps with each number of processes on this machine, in turns: strong scaling with the recipe's
    batch, weak scaling with as many images per process. Reports images per second, what the processes send each
    other, and how much of the time they spend on that and on loading.

    \b
    Examples:
      tenfold bench scale cifar10
      tenfold bench scale cifar10 --recipe resnet18 --counts 1,2,4 --json scale.json
    """
    source = chosen_data(data_source, data)
    numbers = whole_numbers("--counts", counts)
    lines = recipe_lines(settings, data_dir=data_dir, batch_size=batch_size)

    def measure(progress: "Progress") -> BenchResult:
        from tenfold.api.bench_scale import bench_scale as measure_scale

        return measure_scale(
            recipe,
            data=source,
            processes=numbers,
            overrides=lines,
            device=device,
            repeats=repeats,
            seconds=seconds,
            progress=progress,
        )

    print_bench(measure, "scale_report", as_json, force)
