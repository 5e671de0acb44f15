"""A stand-in for `tenfold.api` that notes what the command line asks of it."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import tenfold
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset
from tenfold.evaluate.metrics import Evaluation, evaluate_logits
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import Prediction


def evaluation() -> Evaluation:
    """Returns what is known of three pictures, two of which were recognised."""
    return evaluate_logits(torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]]), torch.tensor([0, 1, 0]), ("cat", "dog"))


@dataclass(frozen=True)
class FakePrediction:
    """Has the fields of a real prediction."""

    path: str
    label: str | None
    probability: float
    probabilities: dict[str, float]
    error: str | None = None


class FakePredictor:
    """Sees a cat in every file that exists."""

    def predict_all(self, pictures: Iterable[Path]) -> Iterator[FakePrediction]:
        for picture in map(Path, pictures):
            if picture.exists():
                yield FakePrediction(str(picture), "cat", 0.75, {"cat": 0.75, "dog": 0.25})
            else:
                yield FakePrediction(str(picture), None, 0.0, {}, f"{picture}: there is no such file")


@dataclass
class FakeApi:
    """Notes calls and answers with small results; `raises` is raised instead where set."""

    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    raises: BaseException | None = None
    run: Path = Path("no-run")

    def _note(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        self.calls.append((name, args, kwargs))
        if self.raises is not None:
            raise self.raises

    def train(self, *args: Any, **kwargs: Any) -> SimpleNamespace:
        self._note("train", *args, **kwargs)
        return SimpleNamespace(path=self.run, summary={}, evaluation=evaluation())

    def evaluate(self, *args: Any, **kwargs: Any) -> Evaluation:
        self._note("evaluate", *args, **kwargs)
        return evaluation()

    def load(self, *args: Any, **kwargs: Any) -> FakePredictor:
        self._note("load", *args, **kwargs)
        return FakePredictor()

    def dataset_of(self, *args: Any, **kwargs: Any) -> Dataset:
        self._note("dataset_of", *args, **kwargs)
        return build_shapes(train=60, test=20)

    def export(self, *args: Any, **kwargs: Any) -> Path:
        self._note("export", *args, **kwargs)
        return Path("fake.pth")


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApi:
    """Puts a `FakeApi` in the place of `tenfold.api`; the run that it answers with lies in a folder of its own."""
    folder = RunFolder.create(tmp_path / "fake-runs", "shapes", "quick", "fake")
    folder.recipe.write_text(to_toml(load_recipe("tutorial")), encoding="utf-8")
    folder.write_predictions([Prediction(str(i), "cat", "dog" if i % 2 else "cat", 0.5) for i in range(100)])
    fake = FakeApi(run=folder.path)
    monkeypatch.setitem(sys.modules, "tenfold.api", fake)
    monkeypatch.setattr(tenfold, "api", fake, raising=False)
    return fake
