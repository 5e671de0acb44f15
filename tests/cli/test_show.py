"""`tenfold show` with images that are mixed by mixup or CutMix."""

import re
from pathlib import Path
from typing import Any

import pytest

from tenfold.cli.main import main


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixed_image_is_titled_with_both_classes_and_weights(
    kind: str, fake_api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[list[str]] = []
    monkeypatch.setattr(
        "tenfold.report.plots.image_grids.plot_grid", lambda images, titles, *_, **__: drawn.append(titles)
    )
    command = ["show", "shapes", "--count", "8", "--out", str(tmp_path / "x.png"), "--augmented"]
    assert main([*command, "--set", f"data.augment.{kind}=1"]) == 0
    labels = capsys.readouterr().out.splitlines()[0].split()
    assert len(drawn[0]) == len(labels) == 8
    for title, label in zip(drawn[0], labels, strict=True):
        found = re.fullmatch(r"(\d+)% (\w+)\n(\d+)% \w+", title)
        assert found
        assert found[2] == label
        assert abs(int(found[1]) + int(found[3]) - 100) <= 1
    assert len(set(drawn[0])) > 1
