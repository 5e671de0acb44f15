"""`tenfold show --augmented`: rows of one image each, and titles that say what was done."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenfold.cli.main import main


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, fake_api: Any) -> list[tuple[Any, list[str]]]:
    """Returns images and titles of the grids that are drawn from now on."""
    grids: list[tuple[Any, list[str]]] = []
    monkeypatch.setattr(
        "tenfold.report.plots.image_grids.plot_grid", lambda images, titles, *_, **__: grids.append((images, titles))
    )
    return grids


def show(folder: Path, *more: str) -> int:
    return main(["show", "shapes", "--out", str(folder / "x.png"), *more])


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixed_image_is_titled_with_both_classes_and_weights(
    kind: str, drawn: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(tmp_path, "--augmented", "--count", "3", "--set", f"data.augment.{kind}=1") == 0
    labels, (_, titles) = capsys.readouterr().out.splitlines(), drawn[0]
    assert len(titles) == 8 * len(labels) == 24
    assert titles[::8] == labels
    for row, label in enumerate(labels):
        for title in titles[8 * row + 1 : 8 * row + 8]:
            found = re.fullmatch(r"(\d+)% (\w+)\n(\d+)% \w+", title)
            assert found
            assert found[2] == label
            assert abs(int(found[1]) + int(found[3]) - 100) <= 1


def test_an_augmented_row_begins_with_the_image_that_a_plain_preview_shows(drawn: list[Any], tmp_path: Path) -> None:
    assert show(tmp_path, "--count", "4", "--seed", "3") == 0
    assert show(tmp_path, "--count", "4", "--seed", "3", "--augmented") == 0
    (plain, classes), (images, titles) = drawn
    assert len(images) == 32
    assert np.array_equal(images[::8], plain)
    assert titles[:8] == [classes[0], *(f"epoch {number}" for number in range(2, 9))]  # not augmented in the first


def test_operations_of_trivial_augment_are_named(drawn: list[Any], tmp_path: Path) -> None:
    assert show(tmp_path, "--augmented", "--count", "20", "--set", "data.augment.trivial=true") == 0
    titles = {re.sub(r" (to |from )?[+−]?[0-9].*", "", title) for i, title in enumerate(drawn[0][1]) if i % 8}
    assert {"identity", "shear x", "translate y", "rotate", "solarize", "equalize"} < titles
    assert len(titles) == 14
    assert any(re.fullmatch(r"translate [xy] [+−][0-9]+ px", title) for title in drawn[0][1])


def test_too_many_rows_are_refused(fake_api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(tmp_path, "--augmented", "--count", "51") == 2
    assert "--count is 51; expected at most 50 with --augmented, one row each" in capsys.readouterr().err
