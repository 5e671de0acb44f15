"""The run doctor: explains in at most five sentences what is unusual about a run, with evidence and remedy.

A rule is a function from `Evidence` to a `Diagnosis`, or to None where nothing is unusual. To add one, write it in the
module of its topic, add it to `RULES`, and describe it in docs/doctor.md.
"""

import textwrap
from collections.abc import Callable, Sequence

from tenfold.report.doctor.evaluation import near_duplicates, wide_interval
from tenfold.report.doctor.evidence import Diagnosis, Evidence
from tenfold.report.doctor.generalization import over_fit, unlike_validation
from tenfold.report.doctor.imbalance import uneven_classes
from tenfold.report.doctor.optimization import chance, not_finite, one_class, rate_too_high, rate_too_low
from tenfold.report.doctor.resources import clipped_colors, cpu_beside_gpu, large_batch, slow_loading
from tenfold.runs.run_folder import RunFolder

Rule = Callable[[Evidence], Diagnosis | None]

RULES: tuple[Rule, ...] = (  # most serious first
    not_finite,
    uneven_classes,
    one_class,
    chance,
    near_duplicates,
    rate_too_high,
    unlike_validation,
    over_fit,
    rate_too_low,
    large_batch,
    wide_interval,
    slow_loading,
    cpu_beside_gpu,
    clipped_colors,
)

_OF_STEPS = (rate_too_high, rate_too_low, over_fit, large_batch, slow_loading)
"""Rules about training in steps, which a run that fits its head alone does not do."""

_REDUNDANT = {
    "uneven-classes": {"one-class", "chance"},
    "one-class": {"chance", "wide-interval"},
    "over-fit": {"rate-too-low"},
}
"""Rules to leave out beside another: they follow from it, or their remedy would make things worse."""

_MAX_DIAGNOSES = 5
_NO_BREAK = "\N{NO-BREAK SPACE}"


def diagnose(folder: RunFolder) -> tuple[Diagnosis, ...]:
    """Returns what is unusual about a run, most serious first, at most five; empty if nothing is.

    Only the run folder is read. A rule whose evidence is missing, as in runs of earlier versions, says nothing.

    Args:
        folder: of a run, finished or not.
    """
    return apply_rules(Evidence.read(folder))


def apply_rules(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Returns the diagnoses of all rules, most serious first, at most five."""
    fits_head = evidence.recipe is not None and evidence.recipe.train.layers == "head"
    rules = [rule for rule in RULES if not (fits_head and rule in _OF_STEPS)]
    found = [diagnosis for rule in rules if (diagnosis := rule(evidence)) is not None]
    redundant = set().union(*(_REDUNDANT.get(diagnosis.rule, set()) for diagnosis in found))
    return tuple(diagnosis for diagnosis in found if diagnosis.rule not in redundant)[:_MAX_DIAGNOSES]


def doctor_lines(diagnoses: Sequence[Diagnosis], width: int = 100) -> list[str]:
    """Returns diagnoses as lines of text: sentence and remedy of each, numbered and wrapped.

    Args:
        diagnoses: result of `diagnose`.
        width: of a line, in characters.

    Example:
        >>> doctor_lines([Diagnosis("chance", "Accuracy is 10.0 %.", "Try --lr 0.1.")])
        ['run doctor:', ' 1. Accuracy is 10.0 %.', '    → Try --lr 0.1.']
    """
    if not diagnoses:
        return ["run doctor: nothing unusual"]
    lines = ["run doctor:"]
    for number, diagnosis in enumerate(diagnoses, start=1):
        lines += _wrapped(diagnosis.sentence, f" {number}. ", width) + _wrapped(diagnosis.remedy, "    → ", width)
    return lines


def _wrapped(text: str, prefix: str, width: int) -> list[str]:
    """Returns `text` in lines of equal indent. A percent sign stays on the line of its number."""
    lines = textwrap.wrap(
        text.replace(" %", f"{_NO_BREAK}%"),
        width,
        initial_indent=prefix,
        subsequent_indent=" " * len(prefix),
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]
