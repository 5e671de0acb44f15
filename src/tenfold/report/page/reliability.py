"""The charts of one run: how it learned, how far its confidence can be trusted, what it may refuse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tenfold.core.text import count, interval, percent
from tenfold.evaluate.calibration import (
    Bin,
    CalibrationError,
    RejectCurve,
    answered_at,
    calibration_error,
    reject_curve,
    reliability,
)
from tenfold.report.page.curves import curve_charts as curve_charts
from tenfold.report.page.drawing import COLOURS, drawing, finished, hover, thinned
from tenfold.report.page.drawing import Chart as Chart
from tenfold.report.page.predictions import Judgement
from tenfold.report.plots.axes import accuracy_ticks
from tenfold.report.plots.canvas import BLUE, GRID, QUIET, WARM
from tenfold.runs.run_folder import RunFolder

_REJECT_POINTS = 200
_COUNT_BARS = 0.16  # of the height, the fullest bin


def reliability_chart(bins: Sequence[Bin], calibrated: Sequence[Bin] = ()) -> Chart:
    """Draws how often predictions of each confidence are right; on the diagonal, confidence is probability.

    Args:
        bins: of the network's own confidence; their pictures are the bars at the bottom.
        calibrated: of the confidence after temperature scaling, where it is known.
    """
    kinds = [("as trained", "blue", bins), ("calibrated", "green", calibrated)]
    with drawing() as axes:
        _draw_counts(axes, bins)
        axes.plot((0, 1), (0, 1), color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        for _, colour, group in kinds:
            _draw_bins(axes, group, COLOURS[colour])
        axes.set(xlim=(0, 1.015), ylim=(0, 1.02), xlabel="confidence")
        _share_ticks(axes)
        found = [
            hover(axes, name, colour, [b.confidence for b in group], [b.accuracy for b in group], _bin_texts(group))
            for name, colour, group in kinds
            if group
        ]
        words = "; ".join(f"{name}: {_bin_words(group)}" for name, _, group in kinds if group)
        return finished(
            axes, "Accuracy at each confidence", f"Accuracy at each confidence. {words or 'no pictures'}.", found
        )


def _share_ticks(axes: Axes) -> None:
    for upright in (False, True):
        accuracy_ticks(axes, upright=upright, most=5)
    axes.grid(visible=False, axis="x")


def _draw_counts(axes: Axes, bins: Sequence[Bin]) -> None:
    fullest = max((b.count for b in bins), default=1)
    heights = [b.count / fullest * _COUNT_BARS for b in bins]
    widths = [(b.high - b.low) * 0.8 for b in bins]
    axes.bar([(b.low + b.high) / 2 for b in bins], heights, widths, color=GRID)


def _draw_bins(axes: Axes, bins: Sequence[Bin], colour: str) -> None:
    confidence, accuracy = [b.confidence for b in bins], [b.accuracy for b in bins]
    lows, highs = [b.interval[0] for b in bins], [b.interval[1] for b in bins]
    axes.vlines(confidence, lows, highs, color=colour, linewidth=1.5, alpha=0.6)
    axes.plot(confidence, accuracy, color=colour, linewidth=0, marker="o", markersize=6)


def _bin_texts(bins: Sequence[Bin]) -> list[str]:
    return [
        f"{percent(b.confidence)} sure, {percent(b.accuracy)} right ({interval(b.interval)}), {_pictures(b.count)}"
        for b in bins
    ]


def _bin_words(bins: Sequence[Bin]) -> str:
    total = sum(b.count for b in bins)
    sure = sum(b.confidence * b.count for b in bins) / total
    right = sum(b.accuracy * b.count for b in bins) / total
    return f"{percent(sure)} sure on average, {percent(right)} right, {_pictures(total)}"


def _pictures(number: int) -> str:
    return f"{count(number)} picture" + "s" * (number != 1)


def reject_chart(curve: RejectCurve, errors: float = 0.02) -> Chart:
    """Draws the share of errors among the pictures that are answered, when the least sure ones are not.

    Args:
        curve: of `evaluate.calibration.reject_curve`.
        errors: the share of errors that is marked, where any part of the pictures can be answered with no more.
    """
    columns = np.column_stack([curve.answered, curve.errors, curve.threshold])
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    answered, wrong, threshold = columns[thinned(columns[:, 1].tolist(), _REJECT_POINTS)].T.tolist()
    texts = [
        f"{percent(share)} answered, {percent(error)} of them wrong, confidence {sure:.2f} or more"
        for share, error, sure in zip(answered, wrong, threshold, strict=True)
    ]
    marked = answered_at(curve, errors)
    words = f"no threshold has {percent(errors)} wrong or less"
    with drawing() as axes:
        axes.plot(answered, wrong, color=BLUE, linewidth=1.8)
        axes.set(xlim=(0, 1.015), ylim=(0, max(1.12 * max(wrong), 1.6 * errors)))
        axes.set_xlabel("answered, the surest first")
        _share_ticks(axes)
        found = [hover(axes, "wrong among answered", "blue", answered, wrong, texts)]
        if marked is not None:
            sure, share = marked
            words = f"{percent(share)} answered, no more than {percent(errors)} wrong, confidence {sure:.2f} or more"
            place = (share, float(np.interp(share, columns[:, 0], columns[:, 1])))
            _mark(axes, *place)
            found.append(hover(axes, f"{percent(errors, 0)} wrong", "warm", [place[0]], [place[1]], [words]))
        description = f"Errors against the share answered: {percent(wrong[-1])} of all; {words}."
        return finished(axes, "Errors when the unsure are refused", description, found)


def _mark(axes: Axes, answered: float, wrong: float) -> None:
    axes.plot((0, answered, answered), (wrong, wrong, 0), color=WARM, linewidth=1, linestyle=(0, (3, 3)))
    axes.plot([answered], [wrong], color=WARM, marker="o", markersize=7)


_ERRORS = 0.02


@dataclass(frozen=True)
class Trust:
    """How far probabilities and accuracy agree.

    Args:
        error: of the probabilities as the network gave them.
        scaled: the same after temperature scaling; None without a validation split.
        temperature: by which the logits were divided; None without a validation split.
        leaning: how probability and accuracy compare, a sentence.
        answers: what the network may be left to answer, a sentence.
        reliability: probability against accuracy.
        reject: pictures answered against mistakes among them.
    """

    error: CalibrationError
    scaled: CalibrationError | None
    temperature: float | None
    leaning: str
    answers: str
    reliability: Chart
    reject: Chart


def trust_in(judgement: Judgement, folder: RunFolder) -> Trust:
    """Returns what the page says of calibration."""
    found: dict[str, Any] = folder.read_summary().get("calibration") or {}
    curve = reject_curve(judgement.probability, judgement.right)
    scaled = None if judgement.calibrated is None else calibration_error(judgement.calibrated, judgement.right)
    return Trust(
        error=calibration_error(judgement.probability, judgement.right),
        scaled=scaled,
        temperature=found.get("temperature"),
        leaning=_leaning(judgement),
        answers=_answers(answered_at(curve, _ERRORS)),
        reliability=reliability_chart(
            reliability(judgement.probability, judgement.right),
            () if judgement.calibrated is None else reliability(judgement.calibrated, judgement.right),
        ),
        reject=reject_chart(curve),
    )


def _leaning(judgement: Judgement) -> str:
    sure, right = float(judgement.probability.mean()), judgement.accuracy
    low, high = judgement.interval
    found = f"On average it gave its answer a probability of {percent(sure)} and was right in {percent(right)}"
    if sure > high:
        return f"{found}: it is surer than it should be."
    return f"{found}: it is less sure than it could be." if sure < low else f"{found}: the two agree."


def _answers(found: tuple[float, float] | None) -> str:
    if found is None:
        return (
            f"There is no probability above which at most {percent(_ERRORS, 0)} of the answers are wrong: "
            "no part of the pictures can be left to it alone at that price."
        )
    threshold, share = found
    return (
        f"Left to answer only where its probability is {percent(threshold)} or more, it answers {percent(share, 0)} "
        f"of these pictures with ≤ {percent(_ERRORS, 0)} errors."
    )
