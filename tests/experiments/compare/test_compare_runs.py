"""Comparing runs: reading, pairing, grouping by seed, and errors."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import tenfold
from harness.written_runs import without_key, written_run, written_sweep
from tenfold.api.sweep_results import Sweep
from tenfold.api.training_run import Run
from tenfold.core.errors import RecipeError, RunError, UsageError
from tenfold.evaluate.settings import SeedResults, compare_settings
from tenfold.experiments.compare.finished_runs import short_names

GOOD, FAIR, POOR = "1111111111110", "1111111110010", "1100110000000"


def test_two_runs_are_paired_image_by_image(tmp_path):
    first = written_run(tmp_path, "a", "1" * 4 + "0" * 9 + "1" + "0" * 6)
    second = written_run(tmp_path, "b", "1" * 4 + "1" * 9 + "0" + "0" * 6)
    result = tenfold.compare([first, second])
    (pair,) = result.pairs
    assert (pair.first, pair.second, pair.only_first, pair.only_second, pair.total) == ("a", "b", 1, 9, 20)
    assert pair.difference == pytest.approx(0.4)
    assert (pair.p, pair.p_holm, pair.within_noise) == (22 / 1024, 22 / 1024, False)
    assert result.disagreements is not None
    assert result.disagreements.only_first == (13,)
    assert result.disagreements.only_second == tuple(range(4, 13))
    assert [run.accuracy for run in result.runs] == [0.25, 0.65]


def test_a_small_difference_is_within_noise(tmp_path):
    runs = [written_run(tmp_path, "a", "1100"), written_run(tmp_path, "b", "1110")]
    (pair,) = tenfold.compare(runs).pairs
    assert (pair.p, pair.within_noise) == (1.0, True)


def test_only_keys_in_which_recipes_differ_are_listed(tmp_path):
    runs = [
        written_run(tmp_path, "a", "10", ["optim.lr=0.1", "model.hidden=[4]"]),
        written_run(tmp_path, "b", "10", ["optim.lr=0.2", "model.name=tutorial", "data.source=/elsewhere"]),
    ]
    assert tenfold.compare(runs).differences == {
        "data.source": ("shapes", "/elsewhere"),
        "model.hidden": ([4], None),
        "model.name": ("mlp", "tutorial"),
        "optim.lr": (0.1, 0.2),
    }


def test_equal_recipes_have_no_differences(tmp_path):
    runs = [written_run(tmp_path, "a", "10"), written_run(tmp_path, "b", "11")]
    assert tenfold.compare(runs).differences == {}


def test_runs_of_earlier_versions_are_seeds_of_the_same_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    earlier = ["data.source=photos", "train.precision=auto", "train.min_steps=2"]  # these runs have 3 steps
    now = [f"data.source={tmp_path}/photos", "train.precision=float32", "train.min_steps=0", "train.seed=1"]
    runs = [written_run(tmp_path / "runs", "a", "10", earlier), written_run(tmp_path / "runs", "b", "11", now)]
    result = tenfold.compare(runs)
    assert list(result.differences) == ["train.seed"]
    assert [group.seeds for group in result.groups] == [(0, 1)]
    monkeypatch.chdir("/")
    assert list(tenfold.compare(runs).differences) == ["train.seed"]


def test_a_precision_and_a_minimum_of_steps_that_counted_are_differences(tmp_path):
    runs = [
        written_run(tmp_path, "a", "10", ["train.precision=bfloat16", "train.min_steps=3"]),
        written_run(tmp_path, "b", "11", ["train.precision=float32"]),
        written_run(tmp_path, "c", "11", ["train.precision=auto"]),
    ]
    assert list(tenfold.compare(runs).differences) == ["train.min_steps", "train.precision"]


def test_seeds_with_splits_of_their_own_are_named(tmp_path):
    (warning,) = tenfold.compare(written_sweep(tmp_path, "s", ["10", "11"], resplit=True)).warnings
    assert (
        "have splits of their own, so they are compared one by one; their mean and interval: tenfold report" in warning
    )


def test_all_pairs_of_up_to_six_runs_are_tested_and_corrected(tmp_path):
    corrects = ["1" * 20, "0" * 6 + "1" * 14, "0" * 7 + "1" * 13]
    runs = [written_run(tmp_path, str(i), correct, [f"optim.lr=0.{i + 1}"]) for i, correct in enumerate(corrects)]
    pairs = tenfold.compare(runs).pairs
    assert [(pair.first, pair.second) for pair in pairs] == [("0", "1"), ("0", "2"), ("1", "2")]
    assert [pair.p for pair in pairs] == [2 / 2**6, 2 / 2**7, 1.0]
    assert [pair.p_holm for pair in pairs] == [2 * 2 / 2**6, 3 * 2 / 2**7, 1.0]
    assert [pair.within_noise for pair in pairs] == [True, False, True]


def test_more_than_six_runs_are_compared_with_the_first(tmp_path):
    runs = [written_run(tmp_path, str(i), "1100", [f"train.seed={i}"]) for i in range(7)]
    assert [pair.first for pair in tenfold.compare(runs).pairs] == ["0"] * 6


@pytest.mark.parametrize(("correct", "fingerprint"), [("1111", "other"), ("11", "0123456789abcdef")])
def test_runs_with_different_test_images_are_not_paired(correct, fingerprint, tmp_path):
    first = written_run(tmp_path, "a", "1100")
    result = tenfold.compare([first, written_run(tmp_path, "b", correct, fingerprint=fingerprint)])
    assert (result.pairs, result.classes, result.disagreements) == ((), (), None)
    assert result.unpaired == (
        "not paired because no test image is known to be the same: "
        f"a on 4 of shapes (01234567); b on {len(correct)} of shapes ({fingerprint[:8]})"
    )


def test_runs_with_the_same_test_images_are_paired(tmp_path):
    runs = [
        written_run(tmp_path, "a", "1100"),
        *(written_run(tmp_path, name, "1010", fingerprint="other") for name in "bcdef"),
    ]
    result = tenfold.compare(runs)
    assert len(result.pairs) == 10
    assert not any("a" in (pair.first, pair.second) for pair in result.pairs)
    assert "b, c and 3 more on 4 of shapes (other)" in str(result.unpaired)


def test_seeds_of_a_recipe_are_a_group_with_mean_and_std(tmp_path):
    sweep = written_sweep(tmp_path, "seeds", ["1110", "1100", "1000"])
    result = tenfold.compare([sweep])
    (group,) = result.groups
    assert group.name == "seed=0 (3 seeds)"
    assert (group.seeds, group.mean, group.std) == ((0, 1, 2), 0.5, 0.25)
    assert result.group_pairs == ()


def test_recipes_with_several_seeds_are_compared_for_new_images_and_seeds(tmp_path):
    runs = [
        written_run(tmp_path, f"{lr}-{seed}", correct, [f"optim.lr={lr}", f"train.seed={seed}"])
        for lr, corrects in ((0.1, ("1110", "1000")), (0.2, ("1111", "1011")))
        for seed, correct in enumerate(corrects)
    ]
    result = tenfold.compare(runs)
    assert [group.name for group in result.groups] == ["lr=0.1", "lr=0.2"]
    (pair,) = result.group_pairs
    correct = (np.array([1, 0.5, 0.5, 0]), np.array([1, 0.5, 1, 1]))
    settings = [SeedResults({0: a, 1: b}, 4, c) for (a, b), c in zip(((0.75, 0.25), (1.0, 0.75)), correct, strict=True)]
    (expected,) = compare_settings(settings, [(0, 1)])
    assert pair.difference == 0.375
    assert (pair.interval, pair.p, pair.p_holm) == (expected.interval, expected.p, expected.p)
    assert pair.within_noise


def test_seeds_with_equal_results_keep_the_noise_of_the_images(tmp_path):
    runs = [
        written_run(tmp_path, f"{lr}-{seed}", "1100", [f"optim.lr={lr}", f"train.seed={seed}"])
        for lr in (0.1, 0.2)
        for seed in (0, 1)
    ]
    (pair,) = tenfold.compare(runs).group_pairs
    assert pair.within_noise
    assert pair.interval[0] < 0 < pair.interval[1]


def test_two_runs_with_one_seed_count_once(tmp_path):
    runs = [written_run(tmp_path, name, correct) for name, correct in (("a", "1100"), ("b", "1111"))]
    (group,) = tenfold.compare(runs).groups
    assert (group.name, group.runs, group.seeds, group.mean, group.std) == ("a", ("a", "b"), (0,), 0.5, None)


def test_networks_of_different_size_are_different_groups(tmp_path):
    runs = [written_run(tmp_path, "a", "10"), written_run(tmp_path, "b", "10", ["train.seed=1"], parameters=11)]
    assert len(tenfold.compare(runs).groups) == 2


def test_class_differences_are_sorted_largest_first(tmp_path):
    # even indices are cats: a has 1 cat and 2 dogs correct, b 2 cats and no dog
    runs = [written_run(tmp_path, "a", "1101"), written_run(tmp_path, "b", "1010")]
    found = tenfold.compare(runs).classes
    assert [(row.name, row.num_images, row.first_accuracy, row.accuracy, row.difference) for row in found] == [
        ("dog", 2, 1.0, 0.0, -1.0),
        ("cat", 2, 0.5, 1.0, 0.5),
    ]
    assert all(row.interval[0] <= row.difference <= row.interval[1] for row in found)


def test_a_sweep_stands_for_its_finished_trials(tmp_path):
    sweep = written_sweep(tmp_path, "sweep", ["1110", None, "1000"])
    result = tenfold.compare([sweep, written_run(tmp_path, "b", "1111", ["optim.lr=1.0"])])
    assert [run.name for run in result.runs] == ["seed=0", "seed=2", "b"]
    assert result.warnings == (f"1 of the 3 trials of {sweep} have no result and are left out",)


def test_an_unfinished_run_is_left_out_with_a_warning(tmp_path):
    runs = [written_run(tmp_path, name, "10", finished=name != "b") for name in "abc"]
    result = tenfold.compare(runs)
    assert [run.name for run in result.runs] == ["a", "c"]
    assert result.warnings == (f"{runs[1]} is not finished and left out; finish it: tenfold train --resume {runs[1]}",)


def test_a_run_that_is_given_twice_counts_once(tmp_path):
    runs = [written_run(tmp_path, name, "10") for name in "ab"]
    result = tenfold.compare([*runs, runs[0] / "recipe.toml"])
    assert [run.name for run in result.runs] == ["a", "b"]
    assert result.warnings == (f"{runs[0]} was given twice",)


def test_what_train_and_sweep_returned_can_be_compared(tmp_path):
    run = Run(written_run(tmp_path, "a", "1100", ["train.seed=7"]), {}, None)
    sweep = Sweep(written_sweep(tmp_path, "seeds", ["1110", "1000"]), "seeds", (), ())
    assert [each.name for each in tenfold.compare([run, sweep, tmp_path / "a"]).runs] == ["a", "seed=0", "seed=1"]
    assert len(tenfold.compare(sweep).runs) == 2


@pytest.mark.parametrize("wrong", [5, [5], [None], [["runs/a"]], {"a": 1}.values()])
def test_what_is_no_run_is_an_error_in_one_line(wrong):
    with pytest.raises(UsageError, match=r"found \w+ .*; expected the path of a run folder, or what train"):
        tenfold.compare(wrong)


def _one(root: Path) -> list[Path]:
    return [written_run(root, "a", "10")]


def _the_same(root: Path) -> list[Path]:
    return [written_run(root, "a", "10"), root / "a"]


def _one_unfinished(root: Path) -> list[Path]:
    return [written_run(root, "a", "10"), written_run(root, "b", "10", finished=False)]


def _sweep_of_one(root: Path) -> list[Path]:
    return [written_sweep(root, "sweep", ["10", None])]


def _waiting_sweep(root: Path) -> list[Path]:
    return [written_sweep(root, "sweep", [None])]


def _empty_folder(root: Path) -> list[Path]:
    (root / "empty").mkdir()
    return [root / "empty"]


def _missing(root: Path) -> list[Path]:
    return [written_run(root, "first", "10"), root / "frist"]


def _damaged(file: str, text: str):
    def make(root: Path) -> list[Path]:
        runs = [written_run(root, name, "1010") for name in "ab"]
        (runs[1] / file).write_text(text, "utf-8")
        return runs

    return make


def _other_predictions(root: Path) -> list[Path]:
    runs = [written_run(root, name, correct) for name, correct in (("a", "1010"), ("b", "1110"))]
    (runs[0] / "predictions.csv").write_bytes((runs[1] / "predictions.csv").read_bytes())
    return runs


def _summary_lacks(root: Path) -> list[Path]:
    runs = [written_run(root, name, "10") for name in "ab"]
    without_key(runs[1], "parameters")
    return runs


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: [], r"no finished run; a comparison needs two or more"),
        (_one, r"1 finished run, .*a; a comparison needs two or more: name another run folder or a sweep"),
        (_the_same, r"1 finished run, .*a \(.*a was given twice\); a comparison needs two"),
        (_one_unfinished, r"1 finished run, .*a \(.*b is not finished and left out; finish it: .*\); a comparison"),
        (_sweep_of_one, r"1 finished run, .*seed=0 \(1 of the 2 trials of .*sweep have no result"),
        (_waiting_sweep, r"no finished run \(1 of the 1 trials of .*sweep have no result and are left out\); a comp"),
        (_empty_folder, r"empty is not a run folder: recipe.toml is missing"),
        (_missing, r"no run .*frist; did you mean 'first'\?"),
        (_damaged("predictions.csv", "path,true\n"), r"line 1 of .*b.predictions.csv is damaged"),
        (_damaged("predictions.csv", 'path,true,predicted,probability\n"0","cat"\n'), r"line 2 of .* is damaged"),
        (_damaged("metrics.csv", "epoch\n"), r"line 1 of .*metrics.csv is damaged"),
        (_damaged("summary.json", "{"), r"summary.json is damaged, expected JSON"),
        (_summary_lacks, r"summary.json is damaged: found KeyError 'parameters', expected what training writes"),
        (_other_predictions, r"a.predictions.csv has 3 of 4 images correct, expected 2 of 4 as in summary.json"),
    ],
)
def test_what_cannot_be_compared_is_a_one_line_error(make, message, tmp_path):
    with pytest.raises(RunError, match=message) as caught:
        tenfold.compare(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_damaged_recipe_is_an_error(tmp_path):
    with pytest.raises(RecipeError, match=r"b.recipe\.toml is not TOML"):
        tenfold.compare(_damaged("recipe.toml", "[data")(tmp_path))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/mlp", "runs/wide"], ["mlp", "wide"]),
        (["a/cifar10-quick-20260101-12", "a/cifar10-quick-20260102-12"], ["…20260101-12", "…20260102-12"]),
        (["a/s1/trials/001-width=6", "a/s2/trials/001-width=6"], ["s1/001-width=6", "s2/001-width=6"]),
        (["x/a/run", "y/a/run"], ["x/a/run", "y/a/run"]),
        (["cifar10-quick-with-a-long-name", "another-name"], ["cifar10-quick-with-a-long-name", "another-name"]),
        (["cifar10-quick-20260101-12", "cifar10-quick-20260101-12-2"], ["…12", "…12-2"]),
    ],
)  # fmt: skip
def test_names_are_short_and_different(paths, names):
    assert short_names([Path(path) for path in paths]) == names


def test_a_comparison_can_be_written_as_json(tmp_path):
    runs = [written_run(tmp_path, "a", "1101"), written_run(tmp_path, "b", "1010", ["data.image_size=[8,16]"])]
    values = json.loads(json.dumps(tenfold.compare(runs).to_json(), allow_nan=False))
    assert values["differences"] == {"data.image_size": {"a": "auto", "b": [8, 16]}}
    assert values["runs"][0] | {"path": ""} == {
        "run": "a", "path": "", "group": "image_size=auto", "seed": 0, "test_accuracy": 0.75, "correct": 3, "total": 4,
        "test_low": pytest.approx(0.3006, abs=5e-5), "test_high": pytest.approx(0.9544, abs=5e-5), "val_accuracy": None,
        "parameters": 10, "steps": 3, "training_seconds": 1.5, "total_seconds": 2.0,
    }  # fmt: skip
    assert values["pairs"][0]["within_noise"] is True
    assert values["disagreements"] == {"only_first": [1, 3], "only_second": [2]}


def test_tables_and_charts_are_written(tmp_path):
    from tenfold.api.compare import write_comparison

    runs = [written_run(tmp_path, "a", "1101"), written_run(tmp_path, "b", "1010", ["optim.nesterov=true"])]
    out = tmp_path / "out"
    out.mkdir()
    remarks = write_comparison(tenfold.compare(runs), out)
    assert remarks == ["disagreements.png was left out because the test images are missing or have changed"]
    names = {"runs.csv", "pairs.csv", "classes.csv", "differences.csv", "accuracy.png", "curves.png", "classes.png"}
    assert {path.name for path in out.iterdir()} == names
    (pair,) = csv.DictReader((out / "pairs.csv").read_text("utf-8").splitlines())
    assert list(pair) == [
        "first", "second", "difference", "low", "high", "only_first", "only_second", "total",
        "p", "p_holm", "within_noise",
    ]  # fmt: skip
    assert (pair["first"], pair["difference"], pair["only_first"], pair["within_noise"]) == ("a", "-0.25", "2", "true")
    assert (out / "differences.csv").read_text("utf-8") == "key,a,b\noptim.nesterov,false,true\n"


def test_images_that_need_a_download_are_left_out(tmp_path):
    from tenfold.api.compare import write_comparison

    runs = [
        written_run(tmp_path, name, correct, ["data.source=cifar10"]) for name, correct in (("a", "10"), ("b", "01"))
    ]
    out = tmp_path / "out"
    out.mkdir()
    (remark,) = write_comparison(tenfold.compare(runs), out)
    assert "test images are missing" in remark


def test_without_the_dataset_only_the_images_are_left_out(tmp_path):
    from tenfold.api.compare import write_comparison

    gone = tmp_path / "gone"
    runs = [
        written_run(tmp_path, name, correct, [f"data.source={gone}"]) for name, correct in (("a", "10"), ("b", "01"))
    ]
    out = tmp_path / "out"
    out.mkdir()
    (remark,) = write_comparison(tenfold.compare(runs), out)
    assert remark.startswith("disagreements.png was left out because the test images are missing: ")
    assert str(gone) in remark
    assert (out / "accuracy.png").is_file()
