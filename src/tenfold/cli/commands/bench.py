"""`tenfold bench`: how fast this machine is, and how well Tenfold uses it."""

import typer

from tenfold.cli.commands import bench_classic, bench_data, bench_predict, bench_train, bench_width

app = typer.Typer(rich_markup_mode=None)
app.command("train")(bench_train.train)
app.command("data")(bench_data.data)
app.command("predict")(bench_predict.predict)
app.command("classic")(bench_classic.classic)
app.command("width")(bench_width.width)


@app.callback()
def bench() -> None:
    """Measures how fast this machine is, and how well Tenfold uses it.

    Measure on a machine that does nothing else.

    \b
    Examples:
      tenfold bench train quick --data cifar10
      tenfold bench data --data cifar10
      tenfold bench predict runs/mine
      tenfold bench classic --data cifar10
      tenfold bench width --device cpu,cuda
    """
