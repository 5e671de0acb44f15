"""Whether anything was learnt, and whether the learning rate was to blame where not."""

import math

import numpy as np

from tenfold.recipes.schema import Recipe
from tenfold.report.doctor.evidence import (
    Case,
    Finding,
    Floats,
    counted,
    first_part,
    last_part,
    loss_text,
    noise,
    quoted,
    training_curve,
)
from tenfold.report.tables.run_tables import percent

_OFTEN = 0.9
"""Share of the pictures of other classes that are taken for one class where that class is "always" predicted."""

_OTHERS_AT_LEAST = 5
"""Pictures of other classes that must have been judged before that is said."""

_USUAL_RATES = {"sgd": (1e-3, 1.0), "muon": (1e-3, 1.0)}
_USUAL_ADAPTIVE = (3e-4, 3e-3)


def not_finite(case: Case) -> Finding | None:
    """The loss was no number, which ended the training."""
    at = [event for event in case.events if event.get("event") == "loss not finite"]
    if case.is_finished or not at or case.recipe is None:
        return None
    rate, warmup = case.recipe.optim.lr, case.recipe.optim.warmup
    rise = "" if warmup else ", or let it rise slowly: --set optim.warmup=0.1"
    return Finding(
        "not-finite",
        f"The loss was no longer a number at step {at[-1].get('step')}, which ended the training; "
        f"the learning rate, {rate:g}, is too high.",
        f"Begin anew with a lower one: {_lower(case.recipe)}{rise}.",
    )


def one_class(case: Case) -> Finding | None:
    """Nearly all pictures were taken for one class, those of the others too."""
    if not case.total:
        return None
    favourite = max(case.predicted_counts, key=case.predicted_counts.__getitem__)
    others = case.total - case.true_counts[favourite]
    wrongly = sum(row.predicted == favourite != row.true for row in case.predictions)
    if others < _OTHERS_AT_LEAST or wrongly < _OFTEN * others:
        return None
    share, true = case.predicted_counts[favourite] / case.total, case.true_counts[favourite] / case.total
    learnt = case.train_counts.get(favourite, 0) / max(1, sum(case.train_counts.values()))
    if learnt >= 2 / case.classes or (case.classes == 2 and learnt >= 0.75):
        remedy = (
            f"It makes up {percent(learnt)} of the training pictures: add pictures of the other classes, or leave some "
            "of it out."
        )
    else:
        remedy = f"{_rate_advice(case)}; if that does not help, look at labels and pictures: tenfold check DATA."
    return Finding(
        "one-class",
        f"{percent(share)} of {counted(case.total, 'test picture')} were taken for {quoted(favourite)}, which only "
        f"{percent(true)} are: the network has not learnt to tell the classes apart.",
        remedy,
    )


def chance(case: Case) -> Finding | None:
    """The test accuracy cannot be told from guessing, or from always answering the commonest class."""
    if not case.total:
        return None
    commonest, count = case.true_counts.most_common(1)[0]
    even, always = 1 / case.classes, count / case.total
    if case.interval[0] > max(even, always):
        return None
    guess = f"guessing among {case.classes} classes, which is right for {percent(even)}"
    if always > 1.2 * even:
        guess = f"always answering {quoted(commonest)}, which is right for {percent(always)}"
    verdict = "is no better than" if case.accuracy <= max(even, always) else "cannot be told from"
    return Finding("chance", f"Accuracy, {case.test}, {verdict} {guess}{_course(case)}.", _chance_remedy(case, always))


def _course(case: Case) -> str:
    curve = training_curve(case.rows)
    if len(curve) < 2:
        return ""
    return f"; the training loss went from {loss_text(curve[0])} to {loss_text(curve[-1])}"


def _chance_remedy(case: Case, guessing: float) -> str:
    learnt = case.train_accuracy
    if learnt is not None and learnt > guessing + 0.2:
        return (
            f"The training pictures were learnt ({percent(learnt)}), so look whether the test labels mean the same, "
            "and whether there are enough training pictures: tenfold check DATA."
        )
    return f"{_rate_advice(case)}; if that does not help, look at labels and pictures: tenfold check DATA."


def rate_too_high(case: Case) -> Finding | None:
    """The training loss ended no better than that of a network that knows nothing, or leapt up again on the way."""
    if case.recipe is None or case.classes < 2:
        return None
    curve, ignorance = training_curve(case.rows), math.log(case.classes)
    rate = case.recipe.optim.lr
    rise = "" if case.recipe.optim.warmup else ", or let it rise slowly at the beginning: --set optim.warmup=0.1"
    if _ended_high(curve, ignorance):
        return Finding(
            "rate-too-high",
            f"The training loss, which was {loss_text(curve.max())} on the way, ended at "
            f"{loss_text(last_part(curve, 0.25).mean())}, and a network that knows nothing has {loss_text(ignorance)}: "
            f"the learning rate, {rate:g}, is too high.",
            f"Lower it: {_lower(case.recipe)}{rise}.",
        )
    place = _leap(curve, ignorance)
    if place is None or case.recipe.data.pruning:  # which shows ever harder pictures
        return None
    return Finding(
        "rate-too-high",
        f"The training loss leapt from {loss_text(curve[:place].min())} to {loss_text(curve[place])} in epoch "
        f"{case.epoch_at((place + 0.5) / len(curve))}: the learning rate, {rate:g} at its highest, is too high.",
        f"Lower it: {_rates(case.recipe, 1 / 3)}{rise}.",
    )


def _ended_high(curve: Floats, ignorance: float) -> bool:
    """Returns whether the loss was far above `ignorance`, and ended no lower; not where it never moved, or was falling.

    A network whose first weights are badly chosen begins far above it, too, and does not move with too low a rate.
    """
    if len(curve) < 2:
        return False
    end = last_part(curve, 0.25)
    before = curve[: -len(end)][-len(end) :].mean()
    last, moved = end.mean(), np.ptp(curve) > 0.02 * curve[0]
    high = last > 1.1 * ignorance or (curve.max() > 1.5 * ignorance and last > 0.95 * ignorance)
    return bool(high and moved and last > 0.9 * before)


def _leap(curve: Floats, ignorance: float) -> int | None:
    """Returns where the loss first was far above the lowest before it, beyond noise; None where it never was.

    Growing pictures, and pictures that are changed from the second epoch on, raise it by a few percent. Few points tell
    nothing of their noise; a loss far above `ignorance` needs no such doubt.
    """
    lowest = np.minimum.accumulate(curve)[:-1]  # n - 1, before each point
    later = curve[1:]  # n - 1
    leaps = (later > 1.5 * lowest) & (later > 1.5 * ignorance)
    if len(curve) >= 10:
        doubt = (6 + math.sqrt(2 * math.log(len(curve)))) * noise(
            curve
        )  # the lowest of n lies √(2 ln n) below the rest
        leaps |= later > lowest + np.maximum(0.5 * lowest, max(doubt, 0.1 * ignorance))
    late = np.flatnonzero(leaps) + 1
    late = late[late >= len(curve) // 5]
    return int(late[0]) if len(late) else None


def rate_too_low(case: Case) -> Finding | None:
    """The training loss hardly moved, or was still falling steadily at the end of a run whose rate had not fallen."""
    if case.recipe is None or case.classes < 2:
        return None
    curve, ignorance, rate = training_curve(case.rows), math.log(case.classes), case.recipe.optim.lr
    if len(curve) < 2 or rate_too_high(case):
        return None
    first, last = first_part(curve, 0.1).mean(), last_part(curve, 0.1).mean()
    still = abs(first - last) < 0.02 * first and last > 0.8 * ignorance
    if still and case.steps >= 50 and _is_low(case.recipe):
        return Finding(
            "rate-too-low",
            f"The training loss hardly moved in {counted(case.steps, 'step')}, from {first:.4g} to {last:.4g}: "
            f"the learning rate, {rate:g}, is too low.",
            f"Raise it: {_higher(case.recipe)}.",
        )
    pruned = case.recipe.data.pruning > 0  # whose last pictures are easier than those before
    if still or pruned or not _falls_steadily(curve) or last < 0.25 * ignorance or not _could_go_on(case):
        return None
    quarter = [part.mean() for part in np.array_split(curve, 4)]
    return Finding(
        "rate-too-low",
        f"The training loss was still falling steadily at the end: {loss_text(quarter[2])} in the third quarter of "
        f"the run, {loss_text(quarter[3])} in the last, with the learning rate at {rate:g}.",
        f"Train longer ({_longer(case.recipe, case.epochs)}), or raise the rate: {_rates(case.recipe, 3)}.",
    )


def _falls_steadily(curve: Floats) -> bool:
    """Returns whether the loss fell in the last quarter at least half as fast as before, and beyond noise."""
    few = len(curve) < 8  # too few to tell their noise
    if len(curve) < 4 or (few and np.diff(last_part(curve, 0.5)).max() >= 0):
        return False
    quarter = [part.mean() for part in np.array_split(curve, 4)]
    before, fall = quarter[1] - quarter[2], quarter[2] - quarter[3]
    error = noise(curve) * math.sqrt(8 / len(curve))  # of the difference of two means
    return bool(fall > max(0.03 * quarter[3], 4 * error, 0.5 * before))


def _could_go_on(case: Case) -> bool:
    """Returns whether more of the same might help: a rate that has not fallen, and no pictures learnt by heart."""
    rates = [float(rate) for row in case.rows if (rate := row["lr"]) is not None]
    target = case.summary.get("target")
    reached = isinstance(target, dict) and target.get("reached")
    by_heart = bool(case.total and (case.train_accuracy or 0.0) > case.interval[1] + 0.02)
    return bool(rates) and rates[-1] >= 0.5 * max(rates) and not reached and not by_heart


def _usual_rates(recipe: Recipe) -> tuple[float, float]:
    return _USUAL_RATES.get(recipe.optim.name, _USUAL_ADAPTIVE)


def _is_low(recipe: Recipe) -> bool:
    """Returns whether the learning rate is in the lower half of what is usual, or below it."""
    low, high = _usual_rates(recipe)
    return recipe.optim.lr < math.sqrt(low * high)


def _rate_advice(case: Case) -> str:
    """Returns what to try where nothing was learnt."""
    if case.recipe is None:
        return "Try another learning rate (--lr)"
    if rate_too_high(case) or rate_too_low(case):
        return "Change the learning rate first"
    likely, other = (_higher, _lower) if _is_low(case.recipe) else (_lower, _higher)
    return f"Try another learning rate: {likely(case.recipe)}, or else {other(case.recipe)}"


def _higher(recipe: Recipe) -> str:
    """Returns the flags for ten times the rate, and at least the lowest usual one."""
    return _rates(recipe, max(10.0, _usual_rates(recipe)[0] / recipe.optim.lr))


def _lower(recipe: Recipe) -> str:
    """Returns the flags for a tenth of the rate, and at most a tenth of the highest usual one."""
    return _rates(recipe, min(0.1, 0.1 * _usual_rates(recipe)[1] / recipe.optim.lr))


def _rates(recipe: Recipe, factor: float) -> str:
    """Returns the flags for a rate times `factor`, e.g. `--lr 0.01 (now 0.1)`.

    Muon's own rate goes with it, unless the other one is so unusual that it alone must be to blame.
    """
    optim, (low, high) = recipe.optim, _usual_rates(recipe)
    flags = f"--lr {optim.lr * factor:.2g}"
    if optim.name == "muon" and low <= optim.lr <= high:
        return f"{flags} --set optim.muon_lr={optim.muon_lr * factor:.2g} (now {optim.lr:g} and {optim.muon_lr:g})"
    return f"{flags} (now {optim.lr:g})"


def _longer(recipe: Recipe, epochs: int) -> str:
    """Returns the flag for twice the length; `train.min_steps` may have made a short run of many epochs."""
    amount, unit = recipe.train.duration.amount, recipe.train.duration.unit
    if unit == "epochs":
        amount = epochs if recipe.train.min_steps and epochs > amount + 1 else amount
        return f"--epochs {2 * amount:g}, now {amount:g}"
    return f'--set train.duration="{2 * amount:g} {unit}", now {amount:g}'
