"""Grids: values are read, expanded, named and checked before the first trial starts."""

import re

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from harness.tiny import recipe
from tenfold.core.errors import RecipeError
from tenfold.experiments.sweep.space import check_trials, complete_recipe, expand_grid, trial_name
from tenfold.experiments.sweep.values import parse_vary, split_values
from tenfold.models.build import models
from tenfold.recipes.schema import Recipe

WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda word: word not in ("true", "false", "inf"))
LITERALS = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(0, 999), min_size=1, max_size=3),
    WORDS.filter(lambda word: word != "nan"),
)


@pytest.mark.parametrize(
    ("line", "key", "values"),
    [
        ("model.width=30,50,70", "model.width", (30, 50, 70)),
        (" model.width = 30 , 50 ", "model.width", (30, 50)),
        ("optim.name=sgd,adamw", "optim.name", ("sgd", "adamw")),
        ("model.channels=[64,128],[32,64]", "model.channels", ([64, 128], [32, 64])),
        ("data.augment.flip=none,random", "data.augment.flip", ("none", "random")),
        ('data.source="a,b",c', "data.source", ("a,b", "c")),
        (r'data.source="a\",b",' + "'c'", "data.source", ('a",b', "c")),
        ("data.source=2024,0..3", "data.source", ("2024", "0..3")),
        ("train.duration=2 epochs,500 steps", "train.duration", ("2 epochs", "500 steps")),
        ("train.shuffle=true,false", "train.shuffle", (True, False)),
        ("train.seed=0..3", "train.seed", (0, 1, 2, 3)),
        ("train.seed=0..2,7", "train.seed", (0, 1, 2, 7)),
        ("data.image_size=auto,32,[32,48]", "data.image_size", ("auto", 32, [32, 48])),
        ("optim.lr=1e-3,0.1", "optim.lr", (0.001, 0.1)),
    ],
)
def test_values_are_read_as_set_reads_them(line: str, key: str, values: tuple[object, ...]) -> None:
    assert parse_vary(line) == (key, values)


@given(st.lists(LITERALS, min_size=1, max_size=5, unique_by=str))
def test_any_values_are_read_back_from_their_text(values: list[object]) -> None:
    text = ",".join(str(value) for value in values)
    if any(value in values[:index] for index, value in enumerate(values)):  # 1 and 1.0
        with pytest.raises(RecipeError, match="is given twice"):
            parse_vary(f"model.x={text}")
    else:
        assert parse_vary(f"model.x={text}") == ("model.x", tuple(values))


@given(st.lists(st.text('ab,[]{}"\\ #', min_size=1), min_size=1))
def test_quoted_text_keeps_its_commas_and_brackets(texts: list[str]) -> None:
    quoted = ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]
    assert list(split_values("--vary model.x", ",".join(quoted))) == quoted


@given(st.text(max_size=30))
@example(",\r0")
@example("[\u20280,\n")
def test_any_line_is_read_or_rejected_in_one_line(line: str) -> None:
    message = None
    try:
        assert parse_vary(f"model.x={line}")[1]
    except RecipeError as error:
        message = str(error)
    assert message is None or (message.startswith("--vary model.x") and len(message.splitlines()) == 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model.width", "--vary model.width: expected section.key=values, e.g. --vary model.width=30,50,70"),
        ("model.width=", "--vary model.width=: expected section.key=values, e.g. --vary model.width=30,50,70"),
        ("width=1,2", "--vary width=1,2: expected section.key=values, e.g. --vary model.width=30,50,70"),
        ("model.=1", "--vary model.=1: expected section.key=values, e.g. --vary model.width=30,50,70"),
        (
            "model.width=1,,2",
            "--vary model.width=1,,2: a value is missing beside a comma; expected values such as 30,50,70",
        ),
        ("model.width=,", "--vary model.width=,: a value is missing beside a comma; expected values such as 30,50,70"),
        (
            "model.x=1,[2,3",
            '--vary model.x=1,[2,3: [2,3 is not closed; expected e.g. [64,128],[32,64] or "a,b","c"',
        ),
        ("optim.name=sgd,muon,sgd", "--vary optim.name: sgd is given twice; expected each value once"),
        ("optim.lr=1,1.0", "--vary optim.lr: 1.0 is given twice; expected each value once"),
        ("train.seed=0..3,2", "--vary train.seed: 2 is given twice; expected each value once"),
        ("train.seed=3..0", "--vary train.seed=3..0: expected an ascending range of at most 10,000 numbers"),
        ("train.seed=0..99999", "--vary train.seed=0..99999: expected an ascending range of at most 10,000 numbers"),
        ("optim.lr=nan", "--vary optim.lr=nan: expected numbers, true or false, text or lists"),
        ("model.x=2024-01-01", "--vary model.x=2024-01-01: expected numbers, true or false, text or lists"),
        ("model.x={a = 1}", "--vary model.x={a = 1}: expected numbers, true or false, text or lists"),
    ],
)  # fmt: skip
def test_an_invalid_line_is_rejected_with_an_example(line: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}$"):
        parse_vary(line)


def test_trials_are_the_product_in_order_with_seeds_fastest() -> None:
    trials = expand_grid(Recipe(), {"model.width": [30, 50], "optim.name": ["sgd", "muon"]}, [1, 0])
    assert [(*trial.settings.values(), trial.seed) for trial in trials] == [
        (width, name, seed) for width in (30, 50) for name in ("sgd", "muon") for seed in (1, 0)
    ]
    assert [trial.number for trial in trials] == list(range(8))
    assert trials[3].name == "003-width=30-name=muon-seed=0"


def test_the_recipes_own_seed_is_not_in_the_name() -> None:
    (trial,) = expand_grid(recipe("mlp", "train.seed=7"), {"model.width": [90]})
    assert (trial.seed, trial.name, trial.settings) == (7, "000-width=90", {"model.width": 90})


def test_seeds_alone_make_a_sweep() -> None:
    assert [(trial.name, trial.seed) for trial in expand_grid(Recipe(), {}, [4, 5])] == [
        ("000-seed=4", 4),
        ("001-seed=5", 5),
    ]


def test_a_varied_seed_is_the_seed_of_its_trial() -> None:
    trials = expand_grid(Recipe(), {"train.seed": [3, 4]}, [0])
    assert [(trial.name, trial.seed) for trial in trials] == [("000-seed=3", 3), ("001-seed=4", 4)]


VALUES = st.one_of(LITERALS, st.booleans(), st.text(max_size=100))


@given(
    st.dictionaries(
        st.sampled_from(["model.width", "optim.lr", "data.source", "model.name", "optim.name"]),
        st.lists(VALUES, min_size=1, max_size=3, unique_by=repr),
        max_size=3,
    ),
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3, unique=True),
)
def test_every_combination_has_one_name_valid_on_every_system(vary: dict[str, list[object]], seeds: list[int]) -> None:
    vary = {key: [v for i, v in enumerate(values) if v not in values[:i]] for key, values in vary.items()}
    trials = expand_grid(Recipe(), vary, seeds)
    count = len(seeds)
    for values in vary.values():
        count *= len(values)
    assert len(trials) == count
    assert len({repr((trial.settings, trial.seed)) for trial in trials}) == count
    names = [trial.name.lower() for trial in trials]  # some file systems ignore case
    assert len(set(names)) == count
    assert names == sorted(names)
    assert all(re.fullmatch(r"\d{3}[a-z0-9_.=+-]*", name) and len(name) < 90 and name[-1] != "." for name in names)


@pytest.mark.parametrize(
    ("settings", "seed", "name"),
    [
        ({"model.width": 90}, 1, "007-width=90-seed=1"),
        ({"model.channels": [64, 128], "train.shuffle": True}, None, "007-channels=64x128-shuffle=true"),
        ({"model.name": "wide", "optim.name": "sgd"}, None, "007-model.name=wide-optim.name=sgd"),
        ({"optim.lr": 0.0123456789, "train.duration": "2 epochs"}, None, "007-lr=0.01235-duration=2-epochs"),
        ({"data.source": "../my photos/ü?*"}, None, "007-source=..-my-photos"),
        ({}, None, "007"),
    ],
)
def test_a_name_shows_what_its_trial_changes(settings: dict[str, object], seed: int | None, name: str) -> None:
    assert trial_name(7, settings, seed) == name  # type: ignore[arg-type]


def test_names_sort_like_their_numbers_in_long_sweeps_too() -> None:
    names = [trial.name for trial in expand_grid(Recipe(), {"optim.lr": [float(i) for i in range(1, 1002)]})]
    assert names == sorted(names)
    assert names[0] == "0000-lr=1.0"


@pytest.mark.parametrize(
    ("vary", "seeds", "message"),
    [
        ({"train.seed": [1, 2]}, [1, 2], "--vary train.seed and --seeds both set the seeds; drop one"),
        ({}, [1, 1], "--seeds: 1 is given twice; expected each value once"),
        ({"model.width": []}, [], "--vary model.width: there is no value; expected at least one"),
        (
            {"model.a": list(range(200)), "model.b": list(range(200))},
            [],
            "this sweep has 40,000 trials; expected at most 10,000: vary fewer values",
        ),
    ],
)  # fmt: skip
def test_an_invalid_grid_is_rejected(vary: dict[str, list[object]], seeds: list[int], message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}$"):
        expand_grid(Recipe(), vary, seeds)


def test_a_trial_has_a_complete_recipe() -> None:
    base = recipe("tutorial")
    completed = complete_recipe(base, {"model.hidden": [8], "data.augment.shift": 2, "train.seed": 1})
    assert (completed.model.arguments["hidden"], completed.data.augment.shift, completed.train.seed) == ([8], 2, 1)
    assert completed.train.batch_size == base.train.batch_size


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"optim.lrr": [1.0]}, r"^--vary optim\.lrr=1\.0: unknown key 'optim\.lrr'; did you mean 'lr'\?"),
        ({"modl.width": [1]}, r"^--vary modl\.width=1: unknown section 'modl'; did you mean 'model'\?"),
        ({"model.name": ["tutoral"]}, r"^--vary model\.name=tutoral: .* did you mean 'tutorial'\?"),
        ({"model.hiden": [[8]]}, r"^--vary model\.hiden=\[8\]: .* did you mean 'hidden'"),
        ({"model.hidden": [[8], [0]]}, r"^--vary model\.hidden=\[0\]: model\.hidden\.0 "),
        ({"train.duration": ["2 parsecs"]}, r"^--vary train\.duration=2 parsecs: .*'2 parsecs' is not a duration"),
        ({"optim.name": ["sgd", "sgdd"]}, r"^--vary optim\.name=sgdd: .* did you mean 'sgd'\?$"),
        ({"train.seed": [-1]}, r"^--vary train\.seed=-1: train\.seed is -1; expected a whole number of at least 0"),
        (
            {"optim.nesterov": [True, False], "optim.momentum": [0.0, 0.9], "train.batch_size": [1, 2]},
            r"^--vary optim\.nesterov=true optim\.momentum=0\.0 train\.batch_size=1: nesterov needs momentum above 0$",
        ),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_named(vary: dict[str, list[object]], message: str) -> None:
    base = recipe("mlp")
    with pytest.raises(RecipeError, match=message) as caught:
        check_trials(base, expand_grid(base, vary))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_all_invalid_settings_are_reported_at_once_and_each_once() -> None:
    base = recipe("mlp")
    with pytest.raises(RecipeError) as caught:
        check_trials(base, expand_grid(base, {"optim.lr": [0.1, -1.0, -2.0], "train.batch_size": [0, 4]}, [0, 1, 2]))
    assert re.findall(r"--vary (\S+): ", str(caught.value)) == ["train.batch_size=0", "optim.lr=-1.0", "optim.lr=-2.0"]
    assert str(caught.value).startswith("3 mistakes: (1) ")


def test_a_network_too_deep_for_a_given_image_size_is_rejected() -> None:
    base = recipe("tutorial")
    check_trials(base, expand_grid(base, {"model.channels": [[6, 16], [6, 16, 32]]}))
    with pytest.raises(RecipeError, match=r"^--vary data\.image_size=8: the image shrinks below 1×1: 8×8 → "):
        check_trials(base, expand_grid(base, {"data.image_size": [8, 32]}))


@pytest.mark.parametrize("name", list(models))
def test_every_network_is_checked_without_drawing_random_numbers(name: str) -> None:
    before = torch.get_rng_state()
    check_trials(Recipe(), expand_grid(Recipe(), {"model.name": [name]}))
    assert torch.equal(torch.get_rng_state(), before)
