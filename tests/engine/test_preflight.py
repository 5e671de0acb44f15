import pytest

from harness import tiny
from tenfold.core.errors import RecipeError
from tenfold.engine.preflight import check_network


def test_a_network_for_one_size_is_refused_with_progressive_resizing() -> None:
    recipe = tiny.recipe("tutorial", "train.progressive=[[0.5, 0.6]]")
    with pytest.raises(RecipeError, match=r"shrinks images to 10×10, and the network 'tutorial' for 16×16 does not"):
        check_network(recipe, tiny.dataset())


def test_a_network_with_global_pooling_takes_any_size() -> None:
    check_network(tiny.recipe("quick", "model.widths=[8, 8]", "train.progressive=[[0.5, 0.6]]"), tiny.dataset())
