"""Plans of sweeps: what they contain, and what is rejected before anything is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import RecipeError, UsageError
from tenfold.experiments.sweep import sweep_plan
from tenfold.experiments.sweep.sweep_plan import SweepPlan, plan_sweep, share_cores
from tenfold.recipes.load import load_recipe
from tenfold.recipes.schema import Recipe

BASE = load_recipe("mlp", ["train.seed=3"])


def test_a_grid_has_every_combination_with_every_seed():
    plan, trials = plan_sweep(BASE, "mlp", ["optim.lr=0.1,0.2", "train.batch_size=4,8"], [], seeds=2)
    assert (plan.kind, plan.trials, plan.seeds) == ("grid", 8, [3, 4])
    assert plan.keys == ("optim.lr", "train.batch_size")
    assert {(t.settings["optim.lr"], t.settings["train.batch_size"], t.seed) for t in trials} == {
        (lr, batch, seed) for lr in (0.1, 0.2) for batch in (4, 8) for seed in (3, 4)
    }


def test_seeds_alone_are_a_sweep():
    plan, trials = plan_sweep(BASE, "mlp", [], [], seeds=3)
    assert (plan.kind, plan.keys, plan.seeds) == ("seeds", (), [3, 4, 5])
    assert [trial.settings for trial in trials] == [{}, {}, {}]


def test_seeds_may_be_a_list_and_values_a_mapping():
    plan, trials = plan_sweep(BASE, "mlp", {"optim.lr": [0.1]}, [], seeds=[7, 9])
    assert plan.seeds == [7, 9]
    assert [trial.seed for trial in trials] == [7, 9]


def test_a_search_has_twenty_trials_and_knows_none_of_them():
    plan, trials = plan_sweep(BASE, "mlp", [], ["optim.lr=log:1e-4..1"])
    assert (plan.kind, plan.trials, trials) == ("search", 20, [])
    assert plan.keys == ("optim.lr",)


def test_a_plan_is_read_back_from_json():
    plan, _ = plan_sweep(BASE, "mlp", [], ["optim.lr=log:1e-4..1"], trials=5, storage="sqlite:///x.db", prune=False)
    assert SweepPlan.from_json(plan.to_json()) == plan
    assert len(plan.mark) == 16


def test_a_plan_of_an_earlier_version_has_one_split():
    plan, _ = plan_sweep(BASE, "mlp", [], [], seeds=2)
    earlier = {name: value for name, value in plan.to_json().items() if name != "resplit"}
    assert SweepPlan.from_json(earlier) == plan


@pytest.mark.parametrize(
    ("vary", "search", "more", "message"),
    [
        (["optim.lr=0.1,1"], ["optim.momentum=0.1..0.9"], {}, "use one of them, not both"),
        ([], ["optim.lr=log:1e-4..1"], {"seeds": 3}, "a search runs each trial once"),
        (["optim.lr=0.1,1"], [], {"trials": 5}, "--trials is the length of a --search"),
        (["optim.lr=0.1", "optim.lr=0.2"], [], {}, "--vary optim.lr is given twice"),
        ([], ["optim.lr=log:1e-4..1", "optim.lr=0.1..1"], {}, "--search optim.lr is given twice"),
        ([], [], {"resplit": True}, "--resplit was given without several seeds"),
        ([], [], {"resplit": True, "seeds": 1}, "--resplit was given without several seeds"),
        (["optim.lr=0.1,1"], [], {"resplit": True, "seeds": 2}, "--resplit and optim.lr were both given"),
        ([], [], {"resplit": True, "seeds": 2, "overrides": ["data.split_seed=4"]}, "--resplit uses the seed of each"),
    ],
)
def test_contradicting_arguments_are_rejected(vary, search, more, message):
    with pytest.raises(UsageError, match=message):
        plan_sweep(BASE, "mlp", vary, search, **more)


@pytest.mark.parametrize(
    ("vary", "search", "message"),
    [
        (["optim.lr=0.1,-1"], [], r"optim\.lr.*-1.*expected a number above 0"),
        (["optim.learning_rate=0.1,1"], [], "unknown key 'optim.learning_rate'"),
        (["train.batchsize=4,8"], [], "did you mean 'batch_size'"),
        ([], ["train.batch_size=int:0..512"], r"train\.batch_size.*expected a whole number of at least 1"),
    ],
)
def test_an_invalid_value_is_rejected_before_anything_starts(vary, search, message):
    with pytest.raises(RecipeError, match=message):
        plan_sweep(Recipe(), "quick", vary, search)


@given(
    trials=st.integers(1, 100),
    cores=st.integers(1, 64),
    jobs=st.integers(0, 100),
    on_gpu=st.booleans(),
)
def test_jobs_and_threads_fit_the_machine(trials, cores, jobs, on_gpu):
    chosen, threads = share_cores(trials, cores, jobs=jobs, on_gpu=on_gpu)
    assert 1 <= chosen <= trials
    assert threads >= 1
    assert chosen * threads <= max(cores, chosen)


def test_there_are_as_many_jobs_as_cores():
    assert share_cores(8, 2) == (2, 1)
    assert share_cores(1, 4) == (1, 4)


def test_a_gpu_runs_one_trial_by_default():
    assert share_cores(8, 16, on_gpu=True) == (1, 16)
    assert share_cores(8, 16, jobs=4, on_gpu=True) == (4, 4)


def test_threads_of_the_recipe_are_kept():
    assert share_cores(8, 8, threads=4) == (2, 4)


@pytest.mark.parametrize(("free", "jobs"), [(3.2e9, 2), (1e9, 1)])
def test_memory_limits_the_number_of_jobs(monkeypatch, free, jobs):
    monkeypatch.setattr(sweep_plan, "_available_memory", lambda: free)
    assert share_cores(100, 64)[0] == jobs
