"""The fitted head of a run that trained nothing else: how its L2 strength was chosen."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.ticker import FuncFormatter, NullLocator

from tenfold.core.text import percent, plural
from tenfold.recipes.schema import Recipe
from tenfold.report.page.svg_charts import Chart, chart_axes, finished_chart, hover_series
from tenfold.report.plots.canvas import BLUE, ORANGE


class HeadSection(NamedTuple):
    """The section on a fitted head.

    Args:
        text: what was fitted, and to what.
        chart: cross-entropy out of fold against the strength; None where it was not chosen.
    """

    text: str
    chart: Chart | None


def head_section(recipe: Recipe, summary: Mapping[str, Any]) -> HeadSection | None:
    """Returns the section on the head; None for a run that trained all layers.

    Args:
        recipe: of the run.
        summary: content of `summary.json`.
    """
    head = summary.get("head")
    if not head or recipe.train.layers != "head":
        return None
    text = (
        "The network stayed as it was, and its head was fitted to the features of the training images by logistic "
        f"regression with L2 strength {head['l2']:g}"
    )
    chosen = head.get("chosen")
    if not chosen:
        return HeadSection(f"{text}. There are no curves: one fit finds the minimum.", None)
    correct = f"({percent(chosen['accuracy'])} of them correct out of fold)"
    if len(chosen["losses"]) < 2:
        text += f", which was given; in a {chosen['folds']}-fold cross-validation within the training images {correct}"
        return HeadSection(f"{text}.", None)
    losses = {float(strength): float(loss) for strength, loss in chosen["losses"].items()}
    text += (
        f", which has the lowest loss in a {chosen['folds']}-fold cross-validation within the training images {correct}"
    )
    return HeadSection(f"{text}.", _chart(losses, float(head["l2"])))


def _chart(losses: Mapping[float, float], best: float) -> Chart:
    strengths = sorted(losses)
    values = [losses[strength] for strength in strengths]
    texts = [f"L2 strength {strength:g}: {value:.4f}" for strength, value in zip(strengths, values, strict=True)]
    with chart_axes() as axes:
        axes.plot(strengths, values, color=BLUE, linewidth=1.8, marker="o", markersize=5)
        axes.plot([best], [losses[best]], color=ORANGE, linewidth=0, marker="o", markersize=8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("L2 strength")
        axes.grid(axis="y")
        found = [
            hover_series(axes, "out of fold", "blue", strengths, values, texts),
            hover_series(axes, "chosen", "orange", [best], [losses[best]], [f"chosen: {best:g}"]),
        ]
        description = (
            f"Cross-entropy out of fold against {plural(len(losses), 'strength')} of the L2 penalty: lowest, "
            f"{losses[best]:.4f}, with {best:g}."
        )
        return finished_chart(axes, "Loss out of fold", description, found)
