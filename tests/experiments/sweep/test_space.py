"""What a sweep varies: reading, expanding, naming and checking, all before the first trial."""

import re

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from harness.tiny import recipe
from tenfold.core.errors import RecipeError
from tenfold.experiments.sweep.space import check_all, expand, trial_name
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
def test_values_are_what_set_would_read(line: str, key: str, values: tuple[object, ...]) -> None:
    assert parse_vary(line) == (key, values)


@given(st.lists(LITERALS, min_size=1, max_size=5, unique_by=str))
def test_any_values_read_back_as_they_were_written(values: list[object]) -> None:
    text = ",".join(str(value) for value in values)
    if any(value in values[:place] for place, value in enumerate(values)):  # 1 and 1.0
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
def test_any_line_is_read_or_refused_in_one_line(line: str) -> None:
    refusal = None
    try:
        assert parse_vary(f"model.x={line}")[1]
    except RecipeError as error:
        refusal = str(error)
    assert refusal is None or (refusal.startswith("--vary model.x") and len(refusal.splitlines()) == 1)


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
        ("train.seed=3..0", "--vary train.seed=3..0: expected a range that rises, of at most 10,000 numbers"),
        ("train.seed=0..99999", "--vary train.seed=0..99999: expected a range that rises, of at most 10,000 numbers"),
        ("optim.lr=nan", "--vary optim.lr=nan: expected numbers, true or false, text or lists"),
        ("model.x=2024-01-01", "--vary model.x=2024-01-01: expected numbers, true or false, text or lists"),
        ("model.x={a = 1}", "--vary model.x={a = 1}: expected numbers, true or false, text or lists"),
    ],
)  # fmt: skip
def test_a_line_that_makes_no_sense_is_refused_with_an_example(line: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}$"):
        parse_vary(line)


def test_trials_are_the_product_in_the_order_given_with_seeds_fastest() -> None:
    trials = expand(Recipe(), {"model.width": [30, 50], "optim.name": ["sgd", "muon"]}, [1, 0])
    assert [(*trial.settings.values(), trial.seed) for trial in trials] == [
        (width, name, seed) for width in (30, 50) for name in ("sgd", "muon") for seed in (1, 0)
    ]
    assert [trial.number for trial in trials] == list(range(8))
    assert trials[3].name == "003-width=30-name=muon-seed=0"


def test_one_seed_is_the_recipes_own_and_stays_out_of_the_name() -> None:
    (trial,) = expand(recipe("mlp", "train.seed=7"), {"model.width": [90]})
    assert (trial.seed, trial.name, trial.settings) == (7, "000-width=90", {"model.width": 90})


def test_seeds_alone_make_a_sweep() -> None:
    assert [(trial.name, trial.seed) for trial in expand(Recipe(), {}, [4, 5])] == [
        ("000-seed=4", 4),
        ("001-seed=5", 5),
    ]


def test_a_varied_seed_is_the_seed_of_its_trials() -> None:
    trials = expand(Recipe(), {"train.seed": [3, 4]}, [0])
    assert [(trial.name, trial.seed) for trial in trials] == [("000-seed=3", 3), ("001-seed=4", 4)]
    assert [checked.train.seed for checked in check_all(Recipe(), trials)] == [3, 4]


VALUES = st.one_of(LITERALS, st.booleans(), st.text(max_size=100))


@given(
    st.dictionaries(
        st.sampled_from(["model.width", "optim.lr", "data.source", "model.name", "optim.name"]),
        st.lists(VALUES, min_size=1, max_size=3, unique_by=repr),
        max_size=3,
    ),
    st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3, unique=True),
)
def test_every_combination_appears_once_under_a_name_that_every_system_takes(
    vary: dict[str, list[object]], seeds: list[int]
) -> None:
    vary = {key: [v for i, v in enumerate(values) if v not in values[:i]] for key, values in vary.items()}
    trials = expand(Recipe(), vary, seeds)
    count = len(seeds)
    for values in vary.values():
        count *= len(values)
    assert len(trials) == count
    assert len({repr((trial.settings, trial.seed)) for trial in trials}) == count
    names = [trial.name.lower() for trial in trials]  # some systems do not tell case apart
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
def test_a_name_tells_what_its_trial_changes(settings: dict[str, object], seed: int | None, name: str) -> None:
    assert trial_name(7, settings, seed) == name  # type: ignore[arg-type]


def test_names_sort_as_their_numbers_in_long_sweeps_too() -> None:
    names = [trial.name for trial in expand(Recipe(), {"optim.lr": [float(i) for i in range(1, 1002)]})]
    assert names == sorted(names)
    assert names[0] == "0000-lr=1.0"


@pytest.mark.parametrize(
    ("vary", "seeds", "message"),
    [
        ({"train.seed": [1, 2]}, [1, 2], "--vary train.seed and --seeds both say which seeds to take; drop one"),
        ({}, [1, 1], "--seeds: 1 is given twice; expected each value once"),
        ({"model.width": []}, [], "--vary model.width: there is no value; expected at least one"),
        (
            {"model.a": list(range(200)), "model.b": list(range(200))},
            [],
            "this sweep has 40,000 trials; expected at most 10,000: vary fewer values",
        ),
    ],
)  # fmt: skip
def test_a_sweep_that_makes_no_sense_is_refused(vary: dict[str, list[object]], seeds: list[int], message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}$"):
        expand(Recipe(), vary, seeds)


def test_each_trial_gets_its_complete_recipe() -> None:
    base = recipe("tutorial")
    recipes = check_all(base, expand(base, {"model.hidden": [[8], [9]], "data.augment.shift": [0, 2]}, [1, 2]))
    assert [(r.model.arguments["hidden"], r.data.augment.shift, r.train.seed) for r in recipes] == [
        (hidden, shift, seed) for hidden in ([8], [9]) for shift in (0, 2) for seed in (1, 2)
    ]
    assert recipes[0].train.batch_size == base.train.batch_size


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"optim.lrr": [1.0]}, r"^--vary optim\.lrr=1\.0: unknown key 'optim\.lrr'; did you mean 'lr'\?"),
        ({"modl.width": [1]}, r"^--vary modl\.width=1: unknown section 'modl'; did you mean 'model'\?"),
        ({"model.name": ["tutoral"]}, r"^--vary model\.name=tutoral: .* did you mean 'tutorial'\?"),
        ({"model.hiden": [[8]]}, r"^--vary model\.hiden=\[8\]: .* did you mean 'hidden'"),
        ({"model.hidden": [[8], [0]]}, r"^--vary model\.hidden=\[0\]: model\.hidden\.0 "),
        ({"train.duration": ["2 parsecs"]}, r"^--vary train\.duration=2 parsecs: .*'2 parsecs' is no duration"),
        ({"optim.name": ["sgd", "sgdd"]}, r"^--vary optim\.name=sgdd: .* did you mean 'sgd'\?$"),
        ({"train.seed": [-1]}, r"^--vary train\.seed=-1: train\.seed is -1; expected a whole number of at least 0"),
        (
            {"optim.nesterov": [True, False], "optim.momentum": [0.0, 0.9], "train.batch_size": [1, 2]},
            r"^--vary optim\.nesterov=true optim\.momentum=0\.0 train\.batch_size=1: nesterov needs momentum above 0$",
        ),
    ],
)  # fmt: skip
def test_a_setting_that_is_refused_is_named(vary: dict[str, list[object]], message: str) -> None:
    base = recipe("mlp")
    with pytest.raises(RecipeError, match=message) as caught:
        check_all(base, expand(base, vary))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_all_refusals_come_at_once_and_each_once() -> None:
    base = recipe("mlp")
    with pytest.raises(RecipeError) as caught:
        check_all(base, expand(base, {"optim.lr": [0.1, -1.0, -2.0], "train.batch_size": [0, 4]}, [0, 1, 2]))
    assert re.findall(r"--vary (\S+): ", str(caught.value)) == ["train.batch_size=0", "optim.lr=-1.0", "optim.lr=-2.0"]
    assert str(caught.value).startswith("3 mistakes: (1) ")


def test_a_network_too_deep_for_the_pictures_is_refused_where_their_size_is_known() -> None:
    base = recipe("tutorial")
    trials = expand(base, {"model.channels": [[6, 16], [6, 16, 32]]})
    assert len(check_all(base, trials)) == 2
    with pytest.raises(
        RecipeError, match=r"^--vary model\.channels=\[6, 16, 32\]: the picture shrinks below 1×1: 32×32 → "
    ):
        check_all(base, trials, image_size=(32, 32))
    with pytest.raises(RecipeError, match=r"^--vary data\.image_size=8: the picture shrinks below 1×1: 8×8 → "):
        check_all(base, expand(base, {"data.image_size": [8, 32]}))


@pytest.mark.parametrize("name", list(models))
def test_every_network_can_be_checked_and_no_random_number_is_drawn(name: str) -> None:
    before = torch.get_rng_state()
    (checked,) = check_all(Recipe(), expand(Recipe(), {"model.name": [name]}))
    assert checked.model.name == name
    assert torch.equal(torch.get_rng_state(), before)
