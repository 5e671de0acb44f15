"""The flags `--reject-below` and `--reject-errors` of `tenfold predict`."""

from pathlib import Path

from tenfold.core.errors import UsageError


def unsure_threshold(
    chosen: Path, reject_below: str | None, reject_errors: str | None, views: str | None
) -> float | None:
    """Returns the probability below which answers are unsure, or None where none was asked for.

    Args:
        chosen: the run folder or model file.
        reject_below: the probability itself, as on the command line.
        reject_errors: the fraction of wrong answers that is allowed, as on the command line.
        views: test-time augmentation other than as trained.

    Raises:
        UsageError: when the flags make no sense.
        RunError: see `reject_threshold`.
    """
    if reject_below is not None and reject_errors is not None:
        raise UsageError("--reject-below and --reject-errors were both given; expected one of them")
    if reject_below is not None:
        return _fraction(reject_below, "--reject-below")
    if reject_errors is None:
        return None
    if views is not None:
        raise UsageError("--reject-errors reads predictions with the views as trained; leave --views out")
    max_errors = _fraction(reject_errors, "--reject-errors")

    from tenfold.api.reject import reject_threshold
    from tenfold.cli.output import note

    threshold = reject_threshold(chosen, max_errors)
    note(str(threshold))
    return threshold.probability


def _fraction(text: str, flag: str) -> float:
    """Returns a fraction that is written as 0.02, 2% or 2 %."""
    number = text.strip().removesuffix("%")
    try:
        fraction = float(number) / (100 if number != text.strip() else 1)
    except ValueError:
        fraction = -1.0
    if not 0 < fraction < 1:
        raise UsageError(f"{flag} is {text}; expected a fraction between 0 and 1, such as 0.02 or 2%")
    return fraction
