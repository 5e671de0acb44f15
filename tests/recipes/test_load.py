"""Loading recipes by name, from files and with overrides, and writing them as TOML."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import RecipeError
from tenfold.recipes.durations import Duration
from tenfold.recipes.load import load_recipe, recipe_header, recipe_names, resolve, to_toml
from tenfold.recipes.schema import Recipe


def test_the_reference_recipes_are_shipped() -> None:
    assert {"mlp", "tutorial", "quick"} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_read_back_from_toml(name: str) -> None:
    recipe = load_recipe(name)
    assert resolve(tomllib.loads(to_toml(recipe))) == recipe


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("fact", ["Source:", "Hardware:", "Time:", "Accuracy:", "Chosen:", "Command:"])
def test_every_shipped_recipe_has_a_complete_header(name: str, fact: str) -> None:
    assert any(line.startswith(fact) for line in recipe_header(name).splitlines())


def test_mlp_is_the_first_reference_run() -> None:
    recipe = load_recipe("mlp")
    assert (recipe.optim.name, recipe.optim.lr, recipe.optim.momentum) == ("sgd", 0.001, 0.9)
    assert (recipe.train.batch_size, recipe.train.shuffle, recipe.train.log_every) == (4, False, 500)
    assert recipe.train.duration == Duration(10, "epochs")
    assert (recipe.optim.weight_decay, recipe.optim.label_smoothing, recipe.optim.schedule) == (
        0,
        0,
        "constant",
    )
    assert (recipe.data.normalize, recipe.train.precision) == ("half", "float32")


def test_tutorial_is_the_second_reference_run() -> None:
    recipe = load_recipe("tutorial")
    assert (recipe.optim.name, recipe.optim.lr, recipe.optim.momentum) == ("sgd", 0.001, 0.9)
    assert (recipe.train.batch_size, recipe.train.shuffle, recipe.train.log_every) == (4, True, 2000)
    assert recipe.train.duration == Duration(2, "epochs")
    assert (recipe.optim.weight_decay, recipe.optim.label_smoothing, recipe.optim.schedule) == (
        0,
        0,
        "constant",
    )
    assert (recipe.data.normalize, recipe.train.precision) == ("half", "float32")


def test_precedence_is_command_line_file_default(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[optim]\nlr = 0.5\nmomentum = 0.8\n")
    recipe = load_recipe(file, ["optim.lr=0.25"])
    assert (recipe.optim.lr, recipe.optim.momentum, recipe.train.batch_size) == (0.25, 0.8, 4)


def test_the_last_of_two_overrides_counts() -> None:
    assert load_recipe("mlp", ["optim.lr=0.1", "optim.lr=0.2"]).optim.lr == 0.2


def test_values_are_toml_or_plain_text() -> None:
    recipe = load_recipe(
        "mlp",
        [
            "data.fit=pad",
            "data.augment.flip=random",
            "data.image_size=[48, 64]",
            "train.shuffle=true",
            "train.duration=2 epochs",
            'data.data_dir="/a b"',
            "optim.lr=1",
        ],
    )
    assert (recipe.data.fit, recipe.data.augment.flip, recipe.data.image_size) == ("pad", "random", (48, 64))
    assert (recipe.train.shuffle, recipe.train.duration) == (True, Duration(2, "epochs"))
    assert (recipe.data.data_dir, recipe.optim.lr) == ("/a b", 1.0)


def test_crop_and_shift_exclude_each_other() -> None:
    assert load_recipe("mlp", ["data.augment.crop=[0.35, 1]"]).data.augment.crop == (0.35, 1.0)
    assert load_recipe("resnet18", ["data.augment.crop=[0.35, 1]", "data.augment.shift=0"]).data.augment.shift == 0
    with pytest.raises(RecipeError, match=r"crop = \[0.35, 1.0\] and data.augment.shift = 4 both decide"):
        load_recipe("resnet18", ["data.augment.crop=[0.35, 1]"])


def test_a_folder_name_can_be_a_number() -> None:
    assert load_recipe("mlp", ["data.source=2024"]).data.source == "2024"


def test_overrides_can_be_dotted_or_nested_mappings() -> None:
    recipe = load_recipe("mlp", {"optim.lr": 0.5, "train": {"batch_size": 7}, "model": {"width": 30}})
    assert (recipe.optim.lr, recipe.train.batch_size, recipe.model.arguments) == (0.5, 7, {"width": 30})


def test_arguments_of_the_network_are_accepted() -> None:
    assert load_recipe("mlp", ["model.widths=[1, 2]"]).model.arguments == {"widths": [1, 2]}


def test_a_run_folder_is_a_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("quick", ["train.seed=7"])
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    assert load_recipe(tmp_path) == recipe


def test_overrides_do_not_change_the_mapping() -> None:
    tables = {"optim": {"lr": 0.5}}
    resolve(tables, ["optim.lr=0.1"])
    assert tables == {"optim": {"lr": 0.5}}


def test_a_recipe_object_can_be_overridden() -> None:
    assert resolve(Recipe(), ["train.seed=3"]).train.seed == 3


@given(
    st.fixed_dictionaries(
        {
            "data": st.fixed_dictionaries(
                {
                    "source": st.text(st.characters(exclude_categories=["Cs"])),
                    "image_size": st.one_of(
                        st.just("auto"),
                        st.integers(8, 1024),
                        st.lists(st.integers(8, 1024), min_size=2, max_size=2),
                    ),
                    "val_fraction": st.floats(0, 0.99),
                }
            ),
            "optim": st.fixed_dictionaries({"lr": st.floats(1e-300, 1e300), "nesterov": st.booleans()}),
            "train": st.fixed_dictionaries(
                {
                    "duration": st.integers(1, 10**9).map("{} steps".format),
                    "seed": st.integers(0, 2**63 - 1),
                }
            ),
            "model": st.dictionaries(
                st.sampled_from(["width", "a key", "ü"]),
                st.one_of(st.integers(-(2**63), 2**63 - 1), st.text("aé\"'\\\n\t"), st.lists(st.booleans())),
            ),
        }
    )
)
def test_any_recipe_is_read_back_from_toml(tables: dict[str, object]) -> None:
    recipe = resolve(tables)
    assert resolve(tomllib.loads(to_toml(recipe))) == recipe


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "quik",
            r"^unknown recipe 'quik'; did you mean 'quick'\? \(known: .*tutorial.*, or a \.toml file\)$",
        ),
        ("zzz", r"^unknown recipe 'zzz' \(known: "),
        ("quick.tml", r"^no recipe file quick\.tml; did you mean 'quick'\?$"),
        ("some/where.toml", r"^no recipe file some/where\.toml; check the path$"),
    ],
)
def test_an_unknown_recipe_gets_a_suggestion(name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(name)


def test_the_header_of_an_unknown_recipe_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"unknown recipe '\.\./mlp'"):
        recipe_header("../mlp")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[optim]\nlr = \n", r"mine\.toml is not TOML: .*line 2"),
        (b"\xff\xfe", r"mine\.toml is not TOML: byte 0 is not valid UTF-8"),
        (b"a = " + b"[" * 100_000, r"mine\.toml is not"),
    ],
)
def test_a_file_that_is_not_toml_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        load_recipe(file)


@pytest.mark.parametrize(("mirror", "views"), [("true", "mirror"), ("false", "plain")])
def test_an_old_recipe_with_mirror_is_read(tmp_path: Path, mirror: str, views: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(f"[evaluate]\nbatch_size = 500\nmirror = {mirror}\n")
    section = load_recipe(file).evaluate
    assert (section.batch_size, section.views, section.unsure_below) == (500, views, 1.0)


def test_yaml_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("optim:\n  lr: 1\n")
    with pytest.raises(RecipeError, match=r"is not TOML; `tenfold recipes quick` prints a recipe to start from"):
        load_recipe(file)


def test_a_folder_without_a_recipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is a folder without recipe\.toml"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "min_steps"),
    [
        (["train.batch_size=8"], 250),
        (["train.duration=1 epoch"], 0),
        ({"train": {"duration": "1 epoch"}}, 0),
        (["train.min_steps=7", "train.duration=1 epoch"], 7),
    ],
)
def test_a_duration_that_the_user_sets_wins_over_the_minimum_of_the_recipe(
    overrides: list[str] | dict[str, object], min_steps: int
) -> None:
    assert load_recipe("quick", overrides).train.min_steps == min_steps


def test_a_recipe_of_another_type_is_one_line() -> None:
    with pytest.raises(RecipeError, match="recipe is 5; expected a shipped recipe's name, a TOML file or a run folder"):
        load_recipe(5)  # type: ignore[arg-type]
