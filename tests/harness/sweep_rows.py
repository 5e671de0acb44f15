"""Rows of sweeps that never ran: with given accuracies, or arbitrary ones."""

import string
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tenfold.evaluate.intervals import wilson

NUM_IMAGES = 10_000


def sweep_row(
    settings: Mapping[str, Any], accuracy: float | None = 0.7, *, seed: int = 0, status: str = "finished", **known: Any
) -> dict[str, Any]:
    """Returns a row as `SweepFolder.rows` does. A trial that is not finished has only the `known` values."""
    row: dict[str, Any] = {"trial": "-".join(f"{k}={v}" for k, v in settings.items()), "status": status, "seed": seed}
    row |= {**settings, **dict.fromkeys(("test_accuracy", "test_low", "test_high", "val_accuracy", "parameters"))}
    row |= dict.fromkeys(("steps", "training_seconds", "total_seconds", "error"))
    if status == "finished" and accuracy is not None:
        correct = round(accuracy * NUM_IMAGES)
        low, high = wilson(correct, NUM_IMAGES)
        row |= {"test_accuracy": correct / NUM_IMAGES, "test_low": low, "test_high": high}
        row |= {"train_images": 50_000, "test_images": NUM_IMAGES}
        row |= {"parameters": 62_006, "steps": 400, "training_seconds": 12.5, "total_seconds": 14.0}
    return row | known


NAMES = st.sampled_from(["$x_1", "a\nb", "\x1b[2J", "猫", "<b>&", "", "long " * 40, "../up", "model.width", "b.width"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(string.printable, max_size=30),
    st.lists(st.integers(), max_size=3),
)
FRACTIONS = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.7, float("nan")]))


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[list[str], list[dict[str, Any]]]:
    """Draws keys and rows: odd names, mixed values, missing values, any status."""
    keys = draw(st.lists(NAMES, max_size=3, unique=True))
    pools = [
        draw(st.lists(draw(st.sampled_from([VALUES, st.floats(1e-9, 1e9)])), min_size=1, max_size=6)) for _ in keys
    ]
    row = st.fixed_dictionaries(
        {
            "trial": NAMES,
            "status": st.sampled_from(["finished", "finished", "finished", "failed", "pruned", "waiting"]),
            "seed": st.integers(0, 3),
            **{key: st.sampled_from(pool) for key, pool in zip(keys, pools, strict=True)},
            **{f"{split}_{column}": FRACTIONS for split in ("test", "val") for column in ("accuracy", "low", "high")},
            **{f"{split}_images": st.one_of(st.none(), st.integers(1, 10**6)) for split in ("train", "test", "val")},
            "target": st.one_of(st.none(), st.floats(0, 1)),
            "target_seconds": st.one_of(st.none(), st.floats(0, 1e6)),
            "parameters": st.one_of(st.none(), st.integers(0, 10**10)),
            "training_seconds": st.one_of(st.none(), st.floats(0, 1e6)),
            "error": st.one_of(st.none(), NAMES),
        }
    )
    return keys, draw(st.lists(row, max_size=30))
