"""The table of measured accuracies, interpolated between its rows and extrapolated beyond them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.experiments.budget.accuracy_table import Measurement, Network, measured_networks, networks_of
from tenfold.recipes.load import load_recipe


def row(epochs: float, accuracy: float, widths: tuple[int, ...] = (8,), lr: float = 0.5) -> Measurement:
    return Measurement(widths, 250, lr, 0.16, epochs, accuracy)


CURVE = Network((row(1, 0.7, lr=0.5), row(2, 0.8, lr=0.4), row(4, 0.84, lr=0.3)))


def test_the_shipped_table_gives_valid_recipes() -> None:
    networks = measured_networks()
    assert len(networks) >= 2
    for network in networks:
        recipe = load_recipe("quick", network.settings(network.rows[0].epochs))
        assert tuple(recipe.model.arguments["widths"]) == network.rows[0].widths  # type: ignore[arg-type]
        assert [a.epochs < b.epochs for a, b in pairwise(network.rows)] == [True] * (len(network.rows) - 1)
        assert all(0.1 < each.accuracy < 1 for each in network.rows)


def test_quick_leaves_its_widths_to_a_budget() -> None:
    assert "widths" not in load_recipe("quick").model.arguments


def test_rows_of_one_network_are_one_sorted_curve() -> None:
    shared = {"batch_size": 250, "lr": 0.5, "muon_lr": 0.16}
    rows = [
        {"widths": [8], "epochs": 2.0, "accuracy": 0.8, **shared},
        {"widths": [4], "epochs": 1.0, "accuracy": 0.6, **shared},
        {"widths": [8], "epochs": 1.0, "accuracy": 0.7, **shared},
        {"widths": [8], "epochs": 1.0, "accuracy": 0.7, **shared, "batch_size": 500},
    ]
    assert [(each.name, [each.epochs for each in each.rows]) for each in networks_of({"row": rows})] == [
        ("4", [1.0]),
        ("8", [1.0, 2.0]),
        ("8", [1.0]),
    ]


@pytest.mark.parametrize(
    ("epochs", "accuracy"), [(1, 0.7), (2, 0.8), (2 * 2**0.5, 0.82), (4, 0.84), (0.5, 0.5), (8, 0.86), (1000, 0.88)]
)
def test_accuracy_is_linear_between_rows_and_cautious_beyond(epochs: float, accuracy: float) -> None:
    assert CURVE.accuracy(epochs) == pytest.approx(accuracy)


@given(st.floats(1e-4, 1e5), st.floats(1e-4, 1e5))
def test_more_epochs_never_lower_the_expected_accuracy(a: float, b: float) -> None:
    few, many = sorted((a, b))
    for network in (CURVE, Network((row(3, 0.867),))):
        assert 0 <= network.accuracy(few) <= network.accuracy(many) + 1e-12 <= 1


def test_a_curve_that_falls_at_the_end_does_not_fall_further() -> None:
    falling = Network((row(1, 0.8), row(2, 0.79)))
    assert falling.accuracy(8) == 0.79


@pytest.mark.parametrize(("epochs", "lr"), [(0.1, 0.5), (1.3, 0.5), (1.5, 0.4), (2.9, 0.3), (50, 0.3)])
def test_learning_rates_are_those_of_the_closest_row(epochs: float, lr: float) -> None:
    assert CURVE.settings(epochs)["optim.lr"] == lr
