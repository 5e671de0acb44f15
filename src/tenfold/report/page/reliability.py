"""The calibration section of a run's page: reliability diagram, reject curve and calibration error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tenfold.core.text import interval as interval_text
from tenfold.core.text import percent, plural
from tenfold.evaluate.calibration import (
    Bin,
    CalibrationError,
    RejectCurve,
    best_coverage,
    calibration_error,
    reject_curve,
    reliability,
)
from tenfold.report.page.predictions import Predictions
from tenfold.report.page.svg_charts import COLORS, Chart, chart_axes, finished_chart, hover_series, thinned
from tenfold.report.plots.axes import set_accuracy_axis
from tenfold.report.plots.canvas import BLUE, GRAY, GRID, ORANGE
from tenfold.runs.run_folder import RunFolder

_MAX_ERROR_RATE = 0.02
_MAX_WIDTH = 0.1
"""Widest 95 % interval of the accuracy on which a mean confidence within it shows agreement."""
_MIN_COVERAGE = 0.005  # less is shown as 0 %
_REJECT_POINTS = 200
_COUNT_HEIGHT = 0.16  # of the axes, for the bar of the largest bin


@dataclass(frozen=True)
class CalibrationSection:
    """Agreement of confidence and accuracy.

    Args:
        error: calibration error as trained.
        scaled: calibration error after temperature scaling; None for a run without a temperature.
        temperature: divisor of the logits and the images it was fitted to; empty for a run without one.
        comparison: a sentence that compares mean confidence and accuracy.
        coverage: a sentence about the fraction of images that can be classified with few errors.
        reliability: reliability diagram.
        reject: reject curve.
    """

    error: CalibrationError
    scaled: CalibrationError | None
    temperature: str
    comparison: str
    coverage: str
    reliability: Chart
    reject: Chart


def calibration_section(predictions: Predictions, folder: RunFolder) -> CalibrationSection:
    """Returns the content of the calibration section."""
    found: dict[str, Any] = folder.read_summary().get("calibration") or {}
    correct, calibrated = predictions.is_correct, predictions.calibrated
    curve = reject_curve(predictions.shown, correct)
    return CalibrationSection(
        error=calibration_error(predictions.confidence, correct),
        scaled=None if calibrated is None else calibration_error(calibrated, correct),
        temperature=_temperature_text(found),
        comparison=_comparison(predictions),
        coverage=_coverage_text(_useful_coverage(curve, _MAX_ERROR_RATE)),
        reliability=reliability_chart(
            reliability(predictions.confidence, correct),
            () if calibrated is None else reliability(calibrated, correct),
        ),
        reject=reject_chart(curve),
    )


def _temperature_text(found: dict[str, Any]) -> str:
    """Returns the temperature of a run and the images it was fitted to: `0.80, fitted to 200 validation images`."""
    if found.get("temperature") is None:
        return ""
    text = f"{found['temperature']:.2f}"
    if not found.get("pictures"):
        return text
    if found.get("source", "val") == "val":
        return f"{text}, fitted to {plural(found['pictures'], 'validation image')}"
    if found["source"] == "out of fold":
        return f"{text}, fitted to {plural(found['pictures'], 'training image')}, each predicted out of fold"
    seen = ("were not seen", "were seen at most once", "were seen at most twice")[found.get("views", 2)]
    return f"{text}, fitted to {plural(found['pictures'], 'training image')} that {seen} in training"


def _comparison(predictions: Predictions) -> str:
    """Returns what the confidence says about the accuracy, as trained and with the temperature of the run."""
    raw = float(predictions.confidence.mean())
    found = f"The mean confidence is {percent(raw)}, the accuracy {percent(predictions.accuracy)}"
    sentence = f"{found}: {_verdict(raw, predictions)}."
    if predictions.calibrated is None:
        return sentence
    scaled = float(predictions.calibrated.mean())
    return f"{sentence} With the temperature the mean confidence is {percent(scaled)}: {_verdict(scaled, predictions)}."


def _verdict(confidence: float, predictions: Predictions) -> str:
    low, high = predictions.interval
    if low <= confidence <= high:
        if high - low > _MAX_WIDTH:
            return f"the two cannot be told apart with {plural(len(predictions), 'image')}"
        return "the two agree"
    return f"the network is {'over' if confidence > high else 'under'}confident"


def _useful_coverage(curve: RejectCurve, max_error_rate: float) -> tuple[float, float] | None:
    """Returns threshold and coverage as `best_coverage` does; None also where hardly an image is classified."""
    found = best_coverage(curve, max_error_rate)
    return found if found is not None and found[1] >= _MIN_COVERAGE else None


def _coverage_text(found: tuple[float, float] | None) -> str:
    if found is None:
        return (
            f"No confidence threshold classifies even 1 % of these images with at most {percent(_MAX_ERROR_RATE, 0)} "
            "errors."
        )
    threshold, coverage = found
    return (
        f"With a confidence threshold of {percent(threshold)} it classifies {percent(coverage, 0)} "
        f"of these images with at most {percent(_MAX_ERROR_RATE, 0)} errors."
    )


def reliability_chart(bins: Sequence[Bin], calibrated: Sequence[Bin] = ()) -> Chart:
    """Draws a reliability diagram: accuracy against confidence, with the diagonal of perfect calibration.

    Args:
        bins: bins of the confidence as trained; bars at the bottom show their numbers of images.
        calibrated: bins of the confidence after temperature scaling, where there is one.
    """
    groups = [("as trained", "blue", bins), ("calibrated", "green", calibrated)]
    with chart_axes() as axes:
        _draw_counts(axes, bins)
        axes.plot((0, 1), (0, 1), color=GRAY, linewidth=1, linestyle=(0, (4, 3)))
        for _, color, group in groups:
            _draw_bins(axes, group, COLORS[color])
        axes.set(xlim=(0, 1.015), ylim=(0, 1.02), xlabel="confidence")
        _percent_axes(axes)
        found = [
            hover_series(
                axes, name, color, [b.confidence for b in group], [b.accuracy for b in group], _tooltips(group)
            )
            for name, color, group in groups
            if group
        ]
        text = "; ".join(f"{name}: {_mean_text(group)}" for name, _, group in groups if group)
        description = f"Accuracy against confidence. {text or 'No images'}."
        return finished_chart(axes, "Accuracy against confidence", description, found)


def _percent_axes(axes: Axes) -> None:
    for upright in (False, True):
        set_accuracy_axis(axes, vertical=upright, max_ticks=5)
    axes.grid(visible=False, axis="x")


def _draw_counts(axes: Axes, bins: Sequence[Bin]) -> None:
    largest = max((b.count for b in bins), default=1)
    heights = [b.count / largest * _COUNT_HEIGHT for b in bins]
    widths = [(b.high - b.low) * 0.8 for b in bins]
    axes.bar([(b.low + b.high) / 2 for b in bins], heights, widths, color=GRID)


def _draw_bins(axes: Axes, bins: Sequence[Bin], color: str) -> None:
    confidence, accuracy = [b.confidence for b in bins], [b.accuracy for b in bins]
    lows, highs = [b.interval[0] for b in bins], [b.interval[1] for b in bins]
    axes.vlines(confidence, lows, highs, color=color, linewidth=1.5, alpha=0.6)
    axes.plot(confidence, accuracy, color=color, linewidth=0, marker="o", markersize=6)


def _tooltips(bins: Sequence[Bin]) -> list[str]:
    return [
        f"confidence {percent(b.confidence)}, accuracy {percent(b.accuracy)} ({interval_text(b.interval)}), "
        f"{plural(b.count, 'image')}"
        for b in bins
    ]


def _mean_text(bins: Sequence[Bin]) -> str:
    total = sum(b.count for b in bins)
    confidence = sum(b.confidence * b.count for b in bins) / total
    accuracy = sum(b.accuracy * b.count for b in bins) / total
    return f"mean confidence {percent(confidence)}, accuracy {percent(accuracy)}, {plural(total, 'image')}"


def reject_chart(curve: RejectCurve, max_error_rate: float = _MAX_ERROR_RATE) -> Chart:
    """Draws the error rate against the fraction of images that are classified, most confident first.

    Args:
        curve: see `evaluate.calibration.reject_curve`.
        max_error_rate: error rate that is marked, where a threshold keeps to it.
    """
    columns = np.column_stack([curve.coverage, curve.error_rate, curve.threshold])
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    coverage, errors, threshold = columns[thinned(columns[:, 1].tolist(), _REJECT_POINTS)].T.tolist()
    texts = [
        f"{percent(fraction)} classified, {percent(error)} of them wrong, confidence ≥ {least:.2f}"
        for fraction, error, least in zip(coverage, errors, threshold, strict=True)
    ]
    best = _useful_coverage(curve, max_error_rate)
    text = f"no threshold has at most {percent(max_error_rate)} errors"
    with chart_axes() as axes:
        axes.plot(coverage, errors, color=BLUE, linewidth=1.8)
        axes.set(xlim=(0, 1.015), ylim=(0, max(1.12 * max(errors), 1.6 * max_error_rate)))
        axes.set_xlabel("images classified, most confident first")
        _percent_axes(axes)
        found = [hover_series(axes, "error rate", "blue", coverage, errors, texts)]
        if best is not None:
            least, fraction = best
            text = f"{percent(fraction)} classified, at most {percent(max_error_rate)} wrong, confidence ≥ {least:.2f}"
            error = float(np.interp(fraction, columns[:, 0], columns[:, 1]))
            _mark(axes, fraction, error)
            name = f"{percent(max_error_rate, 0)} errors"
            found.append(hover_series(axes, name, "orange", [fraction], [error], [text]))
        description = f"Error rate against the fraction of images classified: {percent(errors[-1])} of all; {text}."
        return finished_chart(axes, "Error rate with a confidence threshold", description, found)


def _mark(axes: Axes, coverage: float, error_rate: float) -> None:
    axes.plot((0, coverage, coverage), (error_rate, error_rate, 0), color=ORANGE, linewidth=1, linestyle=(0, (3, 3)))
    axes.plot([coverage], [error_rate], color=ORANGE, marker="o", markersize=7)
