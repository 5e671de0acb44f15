"""A budget on photos: the head of a frozen network alone, or all layers after it."""

from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tenfold
from harness.images import class_tree
from harness.runs import Notes, noise_dataset, without_plots
from tenfold.api import budget
from tenfold.api.budget import within_budget
from tenfold.api.prepare import Task
from tenfold.core.errors import UsageError
from tenfold.experiments.budget import costs
from tenfold.experiments.budget.budget_plan import BudgetPlan, Cost, HeadCost, Overhead
from tenfold.experiments.budget.costs import head_cost
from tenfold.recipes.load import load_recipe
from tenfold.runs.log import read_log

SMALL = ["train.threads=1", "train.device=cpu", "data.test_fraction=0.5", "evaluate.views=plain"]


@pytest.fixture(autouse=True)
def fixed_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces what is measured: 1 s for the features of an image, 10 s for a step of all layers."""

    def overhead(recipe: Any, dataset: Any, **_: object) -> Overhead:
        sizes = {"train": len(dataset.train), "val": len(dataset.val or ()), "test": len(dataset.test)}
        return Overhead(**sizes, spent=1.0, setup=1.0, drawing=0.0)

    monkeypatch.setattr(budget, "head_cost", lambda *_: HeadCost(image=1.0, fit=1.0, evaluation=0.1))
    monkeypatch.setattr(budget, "calibrate", lambda recipes, _: [Cost(step=10.0, image=0.1) for _ in recipes])
    monkeypatch.setattr(budget, "_overhead", overhead)


ALONE = Task("photo", load_recipe("photo"), noise_dataset(val=0, side=32), None)
DEEPER = Task("photo-tuned", load_recipe("photo-tuned"), noise_dataset(side=32), None)
"""16 training images each: 33 s for the head with two passes, 40 s for an epoch of four steps afterwards."""


def planned(tasks: list[Task], time: str) -> tuple[Task, BudgetPlan, list[str]]:
    notes = Notes()
    shared: dict[str, Any] = {"user_keys": frozenset(), "runs": Path("runs"), "report": False, "progress": notes}
    return *within_budget(tasks, time, started=perf_counter(), **shared), notes.messages


@pytest.mark.parametrize(
    ("time", "name", "epochs"), [("300s", "photo-tuned", 5.8), ("140s", "photo", 2), ("30s", "photo", 1)]
)
def test_time_decides_between_the_head_alone_and_all_layers(time: str, name: str, epochs: float) -> None:
    task, plan, messages = planned([ALONE, DEEPER], time)
    assert (task.name, plan.network) == (name, name)
    assert plan.epochs == pytest.approx(epochs, abs=0.6)
    assert messages[-1].startswith(f"plan: {name} for ")
    if name == "photo":
        assert str(task.recipe.train.duration) == ("1 epoch" if epochs == 1 else "2 epochs")
    else:
        assert task.dataset.val is not None
        assert task.recipe.train.duration.amount == pytest.approx(plan.training, abs=0.01)
        assert plan.head == pytest.approx(1.3 * (16 * 2 + 1))  # features have no time limit: a reserve for load


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (ALONE, r"one pass over 16 training images takes 17\.0 s, .*; expected at least \d+ s"),
        (DEEPER, r"features and head, charts and files alone take .*; expected at least \d+ s"),
    ],
)
def test_budget_that_fits_nothing_is_refused(task: Task, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned([task], "10s")


def test_recipes_of_their_own_keep_their_layers() -> None:
    assert planned([ALONE], "300s")[0].name == "photo"
    assert planned([DEEPER], "300s")[0].name == "photo-tuned"


@pytest.mark.parametrize(("recipe", "names"), [("auto", ["photo", "photo-tuned"]), ("photo", ["photo"])])
def test_auto_lets_a_budget_choose_and_says_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, names: list[str]
) -> None:
    class Stop(Exception):
        """Ends a run before it begins."""

    def choose(tasks: list[Task], *_: object, **__: object) -> None:
        assert [task.name for task in tasks] == names
        assert [task.dataset.val is not None for task in tasks] == [False, True][: len(tasks)]
        assert len({task.dataset.image_size for task in tasks}) == 1
        raise Stop

    monkeypatch.setattr("tenfold.api.train.within_budget", choose)
    data, notes = class_tree(tmp_path / "pets", {"cat": 12, "dog": 12}, height=80, width=70), Notes()
    with pytest.raises(Stop):
        tenfold.train(recipe, data=data, overrides=["data.image_size=66"], budget="1h", progress=notes)
    assert len([line for line in notes.messages if line.startswith("data: ")]) == 1
    assert notes.warnings == []


def test_cost_of_a_head_is_measured_without_the_cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(own_cache / "empty"))
    recipe = load_recipe("photo", ["data.normalize=half", "data.fit=crop", *SMALL])
    found = head_cost(recipe, ALONE.dataset, 2)
    assert min(found.image, found.fit, found.evaluation) > 0
    assert not (own_cache / "empty" / "features").exists()


def test_a_budget_on_photos_ends_with_the_recipe_and_the_plan_that_fit(tmp_path: Path) -> None:
    data = class_tree(tmp_path / "pets", {"cat": 6, "dog": 6}, height=80, width=70)
    notes = Notes()
    with without_plots():
        run = tenfold.train(
            data=data, overrides=[*SMALL, "data.image_size=66"], runs=tmp_path / "runs", budget="25s", progress=notes
        )
    assert run.path.name.startswith("pets-photo-2")
    assert str(load_recipe(run.path).train.duration) == "2 epochs"
    (plan,) = (row["plan"] for row in read_log(run.path / "log.jsonl") if row["event"] == "planned")
    assert (plan["network"], plan["epochs"]) == ("photo", 2)
    assert any(line.startswith("plan: photo for 2 passes over the training images; 25 s = ") for line in notes.messages)
    assert notes.messages[-1].endswith("to prepare the images")


def test_fit_is_timed_with_the_rows_that_the_strength_is_chosen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    fit = costs.fit_logistic
    monkeypatch.setattr(costs, "fit_logistic", lambda data, *args: rows.append(len(data)) or fit(data, *args))
    monkeypatch.setattr(costs, "max_rows", lambda num_classes: 6)
    costs._time_fit(ALONE.dataset.train, 3, 2, 2)
    assert set(rows[1:]) == {6}


def test_other_programs_do_not_count_in_the_time_of_features(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.1, 1.0, 1.1, 2.0, 2.8])  # the third of three batches is disturbed
    monkeypatch.setattr(costs, "perf_counter", lambda: next(clock))
    images = np.zeros((24, 1, 1, 3), np.uint8)
    assert costs._time_features(SimpleNamespace(computed=len), images) == pytest.approx(0.1 / 8)  # type: ignore[arg-type]
