"""Whether the network's probabilities can be believed, and how many pictures it may be trusted to answer alone."""

from dataclasses import dataclass
from typing import Any

from tenfold.evaluate.calibration import CalibrationError, answered_at, calibration_error, reject_curve, reliability
from tenfold.report.page.charts import Chart, reject_chart, reliability_chart
from tenfold.report.page.facts import Judgement
from tenfold.report.page.wording import percent
from tenfold.runs.folder import RunFolder

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
