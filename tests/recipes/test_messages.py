"""Error messages for recipes: one line with key, found value and accepted values."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.errors import RecipeError
from tenfold.recipes.load import load_recipe, resolve


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=fast", "--set: optim.lr is 'fast'; expected a number above 0"),
        ("optim.lr=nan", "--set: optim.lr is nan; expected a finite number above 0"),
        ("optim.momentum=1", "--set: optim.momentum is 1; expected a number of at least 0 and below 1"),
        ("optim.epsilon=0", "--set: optim.epsilon is 0; expected a number above 0"),
        ("optim.beta2=1", "--set: optim.beta2 is 1; expected a number of at least 0 and below 1"),
        ("optim.ema=1.0", "--set: optim.ema is 1.0; expected a number of at least 0 and below 1"),
        ("optim.step_factor=0", "--set: optim.step_factor is 0; expected a number above 0 and below 1"),
        ("optim.peak=1", "--set: optim.peak is 1; expected a number above 0 and below 1"),
        (
            "optim.name=adamW",
            "--set: optim.name is 'adamW'; expected 'sgd', 'adam', 'adamw', 'rmsprop' or 'muon'; did you mean 'adamw'?",
        ),
        (
            "optim.schedule=onecycle",
            "--set: optim.schedule is 'onecycle'; expected 'constant', 'step', 'linear', 'cosine' or 'one-cycle'; "
            "did you mean 'one-cycle'?",
        ),
        *(
            (
                f"optim.milestones={milestones}",
                f"--set: optim.milestones: found {milestones}, "
                "expected increasing fractions of the run, e.g. [0.5, 0.75]",
            )
            for milestones in ("[0.75, 0.5]", "[0.5, 0.5]", "[]", "[0]", "[0.5, 1]", "0.5", "[nan]")
        ),
        ("train.batch_size=0", "--set: train.batch_size is 0; expected a whole number of at least 1"),
        ("train.batch_size=4.5", "--set: train.batch_size is 4.5; expected a whole number of at least 1"),
        ("train.shuffle=yes", "--set: train.shuffle is 'yes'; expected true or false"),
        (
            "data.fit=padd",
            "--set: data.fit: fit is 'padd'; expected crop, pad, stretch, or crop:0.875 for that fraction of the "
            "sides, "
            "and a filter if it is not bicubic: crop:0.95:bilinear, or weights for the rule of pretrained weights; "
            "did you mean 'pad'?",
        ),
        (
            "data.image_size=[4, 64]",
            "--set: data.image_size is [4, 64]; expected 'auto', a whole number from 8 to 1024 "
            "or [height, width], each a whole number from 8 to 1024",
        ),
        (
            "train.duration=6",
            '--set: train.duration: 6 is not a duration; write "2 epochs", "500 steps" or "60 s"',
        ),
        ("data.augment=3", "--set: data.augment is 3; expected a table of keys"),
        (
            "data.augment.flipp=random",
            "--set: unknown key 'data.augment.flipp'; did you mean 'flip'? "
            "(known: flip, shift, crop, trivial, cutout, erase, mixup, cutmix, first_epoch)",
        ),
        (
            "data.augment.crop=[0.9, 0.1]",
            "--set: data.augment.crop: found [0.9, 0.1], expected [min, max], fractions of the area with 0 < min ≤ max "
            "≤ 1, e.g. [0.35, 1.0], or [] for none",
        ),
        ("data.augment.erase=1.5", "--set: data.augment.erase is 1.5; expected a number from 0 to 1"),
        ("data.augment.mixup=-1", "--set: data.augment.mixup is -1; expected a number of at least 0"),
        ("data.augment.cutmix=nan", "--set: data.augment.cutmix is nan; expected a finite number of at least 0"),
        ("data.augment.cutmix=inf", "--set: data.augment.cutmix is inf; expected a finite number of at least 0"),
        (
            "opt.lr=1",
            "--set: unknown section 'opt'; did you mean 'optim'? (known: data, model, optim, train, evaluate)",
        ),
        (
            "lr=1",
            "--set: unknown section 'lr'; did you mean 'optim.lr'? (known: data, model, optim, train, evaluate)",
        ),
        ("model.name.x=1", "--set: 'name' is a value, so 'model.name.x' cannot be set"),
        ("optim.lr", "--set optim.lr: expected section.key=value, e.g. optim.lr=0.01"),
        (".lr=1", "--set .lr=1: expected section.key=value, e.g. optim.lr=0.01"),
    ],
)
def test_an_invalid_override_is_one_line(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("mlp", [override])
    assert str(caught.value) == message


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[optim]\nmomentun = 1\n")
    with pytest.raises(RecipeError, match=r"mine\.toml: unknown key 'optim\.momentun'; did you mean 'momentum'"):
        load_recipe(file)


def test_several_mistakes_are_numbered_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[train]\nbatch_size = 0\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, ["train.seed=-1"])
    assert str(caught.value).startswith("2 mistakes: (1) ")
    assert "mine.toml: train.batch_size is 0" in str(caught.value)
    assert "--set: train.seed is -1" in str(caught.value)


def test_conflicting_keys_are_an_error() -> None:
    with pytest.raises(RecipeError, match="nesterov needs momentum above 0"):
        load_recipe("mlp", ["optim.nesterov=true", "optim.momentum=0"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["optim.schedule=step", "optim.milestones=[0.1, 0.5]", "optim.warmup=0.2"],
            "optim.milestones at 0.1 of the run is not after optim.warmup = 0.2; make the warm-up shorter",
        ),
        (
            ["optim.schedule=one-cycle", "optim.warmup=0.3"],
            "optim.peak at 0.3 of the run is not after optim.warmup = 0.3; make the warm-up shorter",
        ),
    ],
)
def test_a_warmup_after_the_schedule_starts_is_an_error(settings: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("mlp", settings)
    assert str(caught.value) == f"--set: {message}"


def test_unused_keys_are_accepted() -> None:
    """A sweep over optimizers and schedules need not clear the keys that each of them ignores."""
    unused = ["optim.nesterov=true", "optim.momentum=0", "optim.warmup=0.9", "optim.muon_lr=3"]
    assert load_recipe("mlp", ["optim.name=adam", *unused]).optim.warmup == 0.9


def test_long_values_are_shortened() -> None:
    with pytest.raises(RecipeError, match="…; expected 'sgd'"):
        load_recipe("mlp", [f"optim.name={'x' * 500}"])


SECTIONS = st.sampled_from(["data", "model", "optim", "train", "evaluate", "data.augment", "nonsense"])
KEYS = st.sampled_from(["name", "lr", "seed", "image_size", "flip", "duration", "source", "x\ny"])
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), st.text(), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def error_message(overrides: list[str] | dict[str, object]) -> str:
    """Returns the error message for `overrides`, or an empty string if they are valid."""
    try:
        resolve({}, overrides)
    except RecipeError as error:
        return str(error)
    return ""


@given(SECTIONS, KEYS, VALUES)
def test_any_value_is_valid_or_gives_one_line(section: str, key: str, value: object) -> None:
    message = error_message({f"{section}.{key}": value})
    assert len(message.splitlines()) <= 1
    assert len(message) < 500


@given(st.text())
def test_any_override_text_is_valid_or_gives_one_line(text: str) -> None:
    message = error_message([text])
    assert not message or message.startswith("--set")
    assert len(message.splitlines()) <= 1
