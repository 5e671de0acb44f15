"""What is conspicuous about a run, in at most five sentences with evidence and remedy.

Each rule is a function of its own in `symptoms`; docs/doctor.md says when it speaks.
"""

import textwrap
from collections.abc import Callable, Sequence

from tenfold.report.doctor.evidence import Case, Finding
from tenfold.report.doctor.generalization import over_fit, unlike_validation, wide_interval
from tenfold.report.doctor.optimization import chance, not_finite, one_class, rate_too_high, rate_too_low
from tenfold.report.doctor.resources import clipped_colours, cpu_beside_gpu, large_batch, slow_loading
from tenfold.runs.run_folder import RunFolder

Rule = Callable[[Case], Finding | None]

RULES: tuple[Rule, ...] = (  # gravest first
    not_finite,
    one_class,
    chance,
    rate_too_high,
    unlike_validation,
    over_fit,
    rate_too_low,
    large_batch,
    wide_interval,
    slow_loading,
    cpu_beside_gpu,
    clipped_colours,
)

_NEEDLESS = {"one-class": {"chance", "wide-interval"}, "over-fit": {"rate-too-low"}}
"""What need not be said beside a finding: it follows from it, or its remedy would make things worse."""

_MOST = 5
_NO_BREAK = "\N{NO-BREAK SPACE}"


def diagnose(folder: RunFolder) -> tuple[Finding, ...]:
    """Returns what is conspicuous about a run, gravest first, at most five findings; nothing where all is well.

    Only the run folder is read. A rule whose evidence is missing, as in runs of a former version, stays silent.

    Args:
        folder: of a run, finished or not.
    """
    return findings(Case.of(folder))


def findings(case: Case) -> tuple[Finding, ...]:
    """Returns what the rules say of a case, gravest first, at most five."""
    found = [finding for rule in RULES if (finding := rule(case)) is not None]
    needless = set().union(*(_NEEDLESS.get(finding.rule, set()) for finding in found))
    return tuple(finding for finding in found if finding.rule not in needless)[:_MOST]


def doctor_lines(found: Sequence[Finding], width: int = 100) -> list[str]:
    """Returns findings as lines for a screen: sentence and remedy of each, numbered and wrapped.

    Args:
        found: what `diagnose` returned.
        width: of a line, in signs.

    Example:
        >>> doctor_lines([Finding("chance", "Accuracy is 10.0 %.", "Try --lr 0.1.")])
        ['run doctor:', ' 1. Accuracy is 10.0 %.', '    → Try --lr 0.1.']
    """
    if not found:
        return ["run doctor: nothing conspicuous"]
    lines = ["run doctor:"]
    for number, finding in enumerate(found, start=1):
        lines += _wrapped(finding.sentence, f" {number}. ", width) + _wrapped(finding.remedy, "    → ", width)
    return lines


def _wrapped(text: str, lead: str, width: int) -> list[str]:
    """Returns `text` in lines that begin below one another; a percent sign stays with its number."""
    lines = textwrap.wrap(
        text.replace(" %", f"{_NO_BREAK}%"),
        width,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]
