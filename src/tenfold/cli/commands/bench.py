"""`tenfold bench`: how fast this machine trains, loads images and predicts."""

from typing import TYPE_CHECKING, Annotated

import typer

from tenfold.cli.commands.bench_output import BenchResult, print_bench
from tenfold.cli.commands.bench_scale import bench_scale
from tenfold.cli.commands.bench_width import bench_width
from tenfold.cli.grammar import Command
from tenfold.cli.options import (
    DataDirOption,
    EpochsOption,
    ExcludeOption,
    ForceOption,
    JsonOption,
    LearningRateOption,
    RelabelOption,
    SetOption,
    SourceArgument,
    TargetOption,
    batch_size_option,
    chosen_data,
    data_argument,
    data_option,
    device_option,
    either,
    option,
    recipe_argument,
    recipe_lines,
    recipe_option,
    repeats_option,
    seconds_option,
)
from tenfold.core.errors import UsageError

if TYPE_CHECKING:
    from tenfold.core.progress import Progress


def bench_train(
    recipe_name: Annotated[str | None, recipe_argument("quick")] = None,
    recipe: Annotated[str | None, recipe_option("quick")] = None,
    data: Annotated[str | None, data_option("the recipe's")] = None,
    data_dir: DataDirOption = None,
    exclude: ExcludeOption = None,
    relabel: RelabelOption = None,
    settings: SetOption = None,
    epochs: EpochsOption = None,
    batch_size: Annotated[int | None, batch_size_option("the recipe's")] = None,
    lr: LearningRateOption = None,
    target: TargetOption = None,
    device: Annotated[str | None, device_option("the recipe's")] = None,
    repeats: Annotated[int, repeats_option(3)] = 3,
    seconds: Annotated[float, seconds_option(3)] = 3.0,
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Measures how fast a recipe trains.

    Runs `tenfold train` several times as a whole process, with seeds 0, 1, 2, …, without charts. Reports total,
    training and compile time, accuracy and peak memory. Then it measures utilization: the FLOPS of a training step
    as a fraction of the FLOPS of the fastest convolution on the same device.

    \b
    Examples:
      tenfold bench train
      tenfold bench train tutorial --data cifar10 --repeats 5
      tenfold bench train quick --batch-size 500 --json quick.json
    """
    chosen = either(recipe_name, recipe, "RECIPE") or "quick"
    lines = recipe_lines(
        settings,
        data_dir=data_dir,
        exclude=exclude,
        relabel=relabel,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        target=target,
    )

    def measure(progress: "Progress") -> "BenchResult":
        from tenfold.api import bench as api

        return api.bench_train(
            chosen, data=data, runs=repeats, overrides=lines, device=device, seconds=seconds, progress=progress
        )

    print_bench(measure, "train_report", as_json, force)


def bench_data(
    data_source: Annotated[str | None, data_argument("the recipe's")] = None,
    data: Annotated[str | None, data_option("the recipe's")] = None,
    recipe: Annotated[str, recipe_option("quick")] = "quick",
    data_dir: DataDirOption = None,
    settings: SetOption = None,
    device: Annotated[str | None, device_option("the recipe's")] = None,
    repeats: Annotated[int, repeats_option(3)] = 3,
    seconds: Annotated[float, seconds_option(3)] = 3.0,
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Measures how fast images are prepared and loaded.

    Times preparing the images from scratch (in a temporary folder, without a download), the time to the first
    batch once they are prepared, and the loader's batches for a recipe beside a plain copy of the same bytes.

    \b
    Examples:
      tenfold bench data
      tenfold bench data my-photos/ --recipe quick --json data.json
    """
    source = chosen_data(data_source, data)
    lines = recipe_lines(settings, data_dir=data_dir)

    def measure(progress: "Progress") -> "BenchResult":
        from tenfold.api import bench as api

        return api.bench_data(
            recipe, data=source, runs=repeats, overrides=lines, device=device, seconds=seconds, progress=progress
        )

    print_bench(measure, "data_report", as_json, force)


def bench_predict(
    source: SourceArgument = None,
    recipe: Annotated[str | None, recipe_option("quick")] = None,
    device: Annotated[str, device_option("auto")] = "auto",
    images: Annotated[
        int, option("--images", metavar="N", help_text="Images per call of the large batch", default=1000, min=1)
    ] = 1000,
    calls: Annotated[
        int, option("--calls", metavar="N", help_text="Calls with a single image", default=200, min=1)
    ] = 200,
    seconds: Annotated[float, seconds_option(3)] = 3.0,
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Measures how fast a classifier predicts.

    Without RUN or MODEL it measures the network of a recipe with untrained weights, which is as fast.

    \b
    Examples:
      tenfold bench predict runs/cifar10-quick-20260101-120000
      tenfold bench predict runs/mine/best.safetensors --device cuda
      tenfold bench predict --recipe tutorial --json predict.json
    """
    if source is not None and recipe is not None:
        raise UsageError(f"{source} and --recipe {recipe} were both given; expected one of them")

    def measure(progress: "Progress") -> "BenchResult":
        from tenfold.api import bench as api

        return api.bench_predict(
            source,
            recipe=recipe or "quick",
            device=device,
            images=images,
            calls=calls,
            seconds=seconds,
            progress=progress,
        )

    print_bench(measure, "predict_report", as_json, force)


def bench_classic(
    data_source: Annotated[str | None, data_argument("the recipe's")] = None,
    data: Annotated[str | None, data_option("the recipe's")] = None,
    recipe: Annotated[str, recipe_option("tutorial")] = "tutorial",
    pairs: Annotated[int, option("--pairs", metavar="N", help_text="Runs of each of the two", default=3, min=1)] = 3,
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Measures the speed-up over PyTorch's tutorial script.

    Runs the script as people write it and `tenfold train` in turns (A B A B), each as a whole process. Reports the
    ratio of total and of training times for each pair, and the accuracies of both.

    \b
    Examples:
      tenfold bench classic cifar10
      tenfold bench classic cifar10 --recipe quick --pairs 5 --json classic.json
    """
    source = chosen_data(data_source, data)

    def measure(progress: "Progress") -> "BenchResult":
        from tenfold.api import bench as api

        return api.bench_classic(recipe, data=source, pairs=pairs, progress=progress)

    print_bench(measure, "classic_report", as_json, force)


def bench_photo(
    data_source: Annotated[str | None, data_argument("the recipe's")] = None,
    data: Annotated[str | None, data_option("the recipe's")] = None,
    recipe: Annotated[str, recipe_option("photo")] = "photo",
    repeats: Annotated[int, repeats_option(3)] = 3,
    seconds: Annotated[float, seconds_option(5)] = 5.0,
    as_json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Measures how fast photos are learned.

    Runs `tenfold train` as a whole process with an empty cache of features, and again with a full one. Then it
    measures the features themselves beside the same network as PyTorch runs it.

    \b
    Examples:
      tenfold bench photo my-photos/
      tenfold bench photo my-photos/ --repeats 5 --json photo.json
    """
    source = chosen_data(data_source, data)

    def measure(progress: "Progress") -> "BenchResult":
        from tenfold.api.bench_photo import bench_photo as measure_photos

        return measure_photos(recipe, data=source, runs=repeats, seconds=seconds, progress=progress)

    print_bench(measure, "photo_report", as_json, force)


app = typer.Typer(rich_markup_mode=None)
app.command("train", cls=Command)(bench_train)
app.command("data", cls=Command)(bench_data)
app.command("predict", cls=Command)(bench_predict)
app.command("classic", cls=Command)(bench_classic)
app.command("photo", cls=Command)(bench_photo)
app.command("width", cls=Command)(bench_width)
app.command("scale", cls=Command)(bench_scale)


@app.callback()
def bench() -> None:
    """Measures how fast this machine trains, loads and predicts.

    Run it while the machine does nothing else.

    \b
    Examples:
      tenfold bench train quick --data cifar10
      tenfold bench data cifar10
      tenfold bench predict runs/mine
      tenfold bench classic cifar10
      tenfold bench photo my-photos/
      tenfold bench width --devices cpu,cuda
      tenfold bench scale cifar10 --counts 1,2
    """
