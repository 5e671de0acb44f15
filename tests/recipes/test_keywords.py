"""The short names of recipe keys, in Python and on the command line."""

import pytest

from tenfold.core.errors import UsageError
from tenfold.recipes.keywords import keyword_lines
from tenfold.recipes.load import load_recipe


def test_keywords_win_over_overrides() -> None:
    lines = keyword_lines(["train.seed=1", "optim.lr=5"], epochs=0.5, batch_size=16, lr=1e-3, seed=7, target=0.9)
    recipe = load_recipe("mlp", lines)
    assert (str(recipe.train.duration), recipe.train.batch_size, recipe.train.seed) == ("0.5 epochs", 16, 7)
    assert (recipe.optim.lr, recipe.train.target) == (0.001, 0.9)
    assert keyword_lines("train.seed=1") == ["train.seed=1"]


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("epochs", 0, "epochs is 0; expected a number above 0"),
        ("epochs", "3", "epochs is '3'; expected a number above 0"),
        ("lr", float("nan"), "lr is nan; expected a number above 0"),
        ("lr", True, "lr is True; expected a number above 0"),
        ("target", 90, "target is 90; expected a fraction between 0 and 1, e.g. 0.9 for 90 %"),
    ],
)
def test_a_number_out_of_range_is_one_line_in_python_and_as_a_flag(keyword: str, value: object, message: str) -> None:
    for prefix in ("", "--"):
        with pytest.raises(UsageError) as raised:
            keyword_lines(prefix=prefix, **{keyword: value})  # type: ignore[arg-type]
        assert str(raised.value) == f"{prefix}{message}"
