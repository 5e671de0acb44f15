"""The doctor on classes of uneven size."""

from collections.abc import Mapping

import pytest

from tenfold.recipes.load import load_recipe
from tenfold.report.doctor.diagnose import apply_rules
from tenfold.report.doctor.evidence import Evidence
from tenfold.report.doctor.imbalance import uneven_classes
from tenfold.runs.tables import PredictionRow


def finished(pairs: Mapping[tuple[str, str], int], train_counts: Mapping[str, int] | None, *overrides: str) -> Evidence:
    """Returns a run with these predictions, counted by true and predicted class."""
    rows = tuple(PredictionRow("0", *pair, 0.9) for pair, number in pairs.items() for _ in range(number))
    summary = {"dataset": {"train_counts": train_counts}} if train_counts else {"steps": 1}
    return Evidence(recipe=load_recipe("mlp", overrides), predictions=rows, summary=summary)


OVERLOOKED = {("cat", "cat"): 100, ("dog", "cat"): 99, ("dog", "dog"): 1}
UNEVEN = {"cat": 400, "dog": 20}


def test_the_smallest_class_is_named_with_its_recall_and_the_key_to_set() -> None:
    first, *others = apply_rules(finished(OVERLOOKED, UNEVEN))
    assert first.rule == "uneven-classes"
    assert first.sentence == (
        "Balanced accuracy is 50.5 % (95 % interval 43.6–57.4 %), accuracy 50.5 %: of “cat” there are 400 training "
        "images, of “dog” 20, whose recall is 1.0 % of 100 test images."
    )
    assert "--set optim.class_weights=balanced, or else --set data.balance=1" in first.remedy
    assert not {other.rule for other in others} & {"one-class", "chance"}


@pytest.mark.parametrize("setting", ["optim.class_weights=sqrt", "data.balance=0.5"])
def test_a_remedy_that_is_set_already_is_not_proposed(setting: str) -> None:
    found = uneven_classes(finished(OVERLOOKED, UNEVEN, setting))
    assert found is not None
    assert found.remedy.startswith(f"Add training images of “dog”: {setting.partition('=')[0]} alone cannot")


def test_nothing_is_said_where_the_small_class_is_recognized_or_classes_are_even() -> None:
    assert uneven_classes(finished({("cat", "cat"): 95, ("cat", "dog"): 5, ("dog", "dog"): 9}, UNEVEN)) is None
    assert uneven_classes(finished(OVERLOOKED, {"cat": 59, "dog": 20})) is None
    assert uneven_classes(finished({}, UNEVEN)) is None


def test_a_network_that_predicts_a_small_class_throughout_is_not_explained_by_sizes() -> None:
    found = apply_rules(finished({("cat", "dog"): 99, ("cat", "cat"): 1, ("dog", "dog"): 100}, UNEVEN))
    assert found[0].rule == "one-class"


def test_uneven_test_images_alone_call_for_the_balanced_accuracy() -> None:
    found = uneven_classes(finished({("cat", "cat"): 100, ("dog", "cat"): 9, ("dog", "dog"): 1}, None))
    assert found is not None
    assert "of “cat” there are 100 test images, of “dog” 10" in found.sentence
    assert "train.monitor=balanced_accuracy" in found.remedy
