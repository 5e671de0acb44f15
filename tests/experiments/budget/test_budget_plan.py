"""Budget plans with given costs: the chosen network, and parts that add up."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tenfold.core.errors import UsageError
from tenfold.experiments.budget.accuracy_table import Measurement, Network
from tenfold.experiments.budget.budget_plan import (
    BudgetPlan,
    Candidate,
    Cost,
    HeadCost,
    Overhead,
    parse_budget,
    plan_budget,
    plan_head,
)

OVERHEAD = Overhead(train=50_000, val=0, test=10_000, spent=4.0, setup=0.5, drawing=2.0)


def network_of(width: int, *points: tuple[float, float]) -> Network:
    return Network(tuple(Measurement((width,), 250, 0.5, 0.16, epochs, accuracy) for epochs, accuracy in points))


SMALL = Candidate("small", Cost(step=0.1, image=2e-4), 200, network=network_of(8, (1, 0.77), (2, 0.82)))
LARGE = Candidate("large", Cost(step=0.4, image=8e-4), 200, network=network_of(16, (1, 0.83), (2, 0.88)))


def sum_of_parts(plan: BudgetPlan) -> float:
    names = (
        "spent",
        "setup",
        "compiling",
        "training",
        "validating",
        "testing",
        "finishing",
        "margin",
        "unused",
        "head",
    )
    return sum(getattr(plan, name) for name in names)


@pytest.mark.parametrize(("budget", "chosen"), [(30, "small"), (45, "small"), (250, "large"), (10_000, "large")])
def test_the_network_with_the_best_expected_accuracy_is_chosen(budget: float, chosen: str) -> None:
    plan = plan_budget(budget, OVERHEAD, [SMALL, LARGE])
    assert plan.network == chosen == plan_budget(budget, OVERHEAD, [LARGE, SMALL]).network
    accuracies = [plan_budget(budget, OVERHEAD, [each]).accuracy for each in (SMALL, LARGE)]
    assert plan.accuracy == max(accuracies)  # type: ignore[type-var]


def test_training_gets_the_rest_of_the_budget() -> None:
    plan = plan_budget(100, OVERHEAD, [SMALL])
    assert plan.training == pytest.approx(plan.epochs * 200 * 0.1)
    assert (plan.spent, plan.setup, plan.testing) == (4.0, 0.5, pytest.approx(2.0))
    assert plan.accuracy == pytest.approx(SMALL.network.accuracy(plan.epochs))  # type: ignore[union-attr]


@given(
    st.floats(1, 1e5), st.floats(1e-5, 10), st.floats(1e-7, 0.01), st.integers(1, 1000), st.integers(0, 20),
    st.floats(0, 40),
)  # fmt: skip
def test_the_parts_add_up_to_the_budget(
    budget: float, step: float, image: float, steps: int, evaluations: int, compiling: float
) -> None:
    candidate = Candidate("any", Cost(step, image, compiling), steps, evaluations)
    overhead = replace(OVERHEAD, val=5_000 if evaluations else 0)
    try:
        plan = plan_budget(budget, overhead, [candidate])
    except UsageError:
        assume(False)
    assert sum_of_parts(plan) == pytest.approx(budget)
    assert plan.training >= 0.999 * min(20, 20 / steps) * step
    assert min(plan.spent, plan.validating, plan.testing, plan.finishing, plan.margin) >= 0


def test_validation_and_compilation_leave_less_for_training() -> None:
    plain = plan_budget(60, OVERHEAD, [SMALL])
    validated = plan_budget(60, replace(OVERHEAD, val=5_000), [replace(SMALL, evaluations=10)])
    assert validated.validating > 5_000 * 2e-4 * 10 * validated.epochs
    compiled = plan_budget(60, OVERHEAD, [replace(SMALL, cost=replace(SMALL.cost, compiling=20.0))])
    written = plan_budget(60, replace(OVERHEAD, checkpoint=2.0), [SMALL])
    assert written.validating == pytest.approx(2.0 * written.epochs)
    assert plain.training - compiled.training == pytest.approx(20, rel=0.05)
    assert validated.training < plain.training


def test_accuracy_depends_on_images_and_not_on_epochs() -> None:
    tenth = replace(OVERHEAD, train=5_000)
    plan = plan_budget(60, tenth, [replace(SMALL, steps_per_epoch=20)])
    whole = plan_budget(60, OVERHEAD, [SMALL])
    assert plan.epochs == pytest.approx(10 * whole.epochs, rel=0.05)
    assert plan.accuracy == pytest.approx(whole.accuracy, abs=0.01)


def test_at_most_two_hundred_epochs_are_planned() -> None:
    few = replace(OVERHEAD, train=500, test=100)
    plan = plan_budget(600, few, [replace(SMALL, steps_per_epoch=2)])
    assert plan.epochs == 200
    assert plan.training == pytest.approx(200 * 2 * 0.1)
    assert sum_of_parts(plan) == pytest.approx(600)
    assert "not needed 5" in plan.text()


def test_a_budget_that_is_too_short_names_one_that_fits() -> None:
    with pytest.raises(UsageError, match=r"--budget 5 s is too short.* take 7\.3 s; expected at least \d+ s") as caught:
        plan_budget(5, OVERHEAD, [SMALL, LARGE])
    suggested = float(str(caught.value).split()[-2])
    assert plan_budget(suggested, OVERHEAD, [SMALL, LARGE]).network == "small"
    with pytest.raises(UsageError, match="too short"):
        plan_budget(suggested / 1.5, OVERHEAD, [SMALL, LARGE])


def test_a_network_without_measurements_has_no_expected_accuracy() -> None:
    plan = plan_budget(60, OVERHEAD, [replace(SMALL, network=None)])
    assert plan.accuracy is None
    assert "CIFAR-10" not in plan.text()


def test_the_text_is_one_line_of_seconds() -> None:
    text = plan_budget(60, OVERHEAD, [SMALL]).text()
    assert "\n" not in text
    assert text.startswith("plan: small for about 2.")
    assert "60 s = start and plan 4.0 + set-up 0.5 + training" in text
    assert "compiling" not in text
    assert text.endswith("test 2.0 + charts and files 2.8 + reserve 1.8")


PHOTOS = Overhead(train=200, val=0, test=100, spent=4.0, setup=0.5, drawing=2.0)
HEAD = HeadCost(image=0.02, fit=1.0, evaluation=0.04)


@pytest.mark.parametrize(("budget", "passes"), [(17, 1), (21, 1), (24, 2), (600, 2)])
def test_a_head_gets_as_many_passes_as_fit(budget: float, passes: int) -> None:
    plan = plan_head(budget, PHOTOS, "photo", HEAD, 2)
    assert (plan.network, plan.epochs, plan.accuracy, plan.training) == ("photo", passes, None, 0)
    assert plan.head == pytest.approx(200 * passes * 0.02 + 1)
    assert sum_of_parts(plan) == pytest.approx(budget)
    assert plan.unused >= 0
    if passes == 2:
        assert plan.margin == pytest.approx(0.03 * budget + 0.3 * plan.head)  # for other programs


def test_text_of_a_head_counts_passes() -> None:
    text = plan_head(60, PHOTOS, "photo", HEAD, 2).text()
    assert text.startswith("plan: photo for 2 passes over the training images; 60 s = start and plan 4.0 + set-up 0.5")
    assert "features and head 9.0 + test 4.0" in text
    assert "not needed" in text
    assert "for one pass over the training images" in plan_head(17, PHOTOS, "photo", HEAD, 2).text()


def test_a_budget_too_short_for_one_pass_names_one_that_fits() -> None:
    message = r"too short .*: one pass over 200 training images takes 5\.0 s, everything else 11\.3 s; expected at"
    with pytest.raises(UsageError, match=message) as caught:
        plan_head(10, PHOTOS, "photo", HEAD, 2)
    assert plan_head(float(str(caught.value).split()[-2]), PHOTOS, "photo", HEAD, 2).epochs == 1


def test_a_head_before_all_layers_leaves_less_for_them() -> None:
    plain, after = (plan_budget(60, replace(OVERHEAD, head=head), [SMALL]) for head in (0.0, 20.0))
    assert plain.training - after.training == pytest.approx(20)
    assert sum_of_parts(after) == pytest.approx(60)
    assert "features and head 20.0" in after.text()
    with pytest.raises(UsageError, match=r"plan, features and head, charts and files alone take 27\.3 s"):
        plan_budget(5, replace(OVERHEAD, head=20.0), [SMALL])


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("60 s", 60), ("2 min", 120), ("1.5h", 5400)])
def test_a_budget_is_a_time(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["60", "", "2 epochs", "500 steps", "0 s", "-5 s", "soon"])
def test_anything_else_is_not_a_budget(text: str) -> None:
    with pytest.raises(UsageError, match=r"--budget is '.*'; expected a time, e\.g\. 60s or '2 min'"):
        parse_budget(text)
