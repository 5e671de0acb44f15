"""A stand-in for the functions of `tenfold.api` that records what the command line asks of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tenfold.data.sources.shapes import build_shapes
from tenfold.deploy.predictor import Prediction
from tenfold.evaluate.metrics import Evaluation, evaluate_logits
from tenfold.recipes.load import load_recipe, to_toml
from tenfold.runs.run_folder import RunFolder
from tenfold.runs.tables import PredictionRow


def evaluation() -> Evaluation:
    """Returns an evaluation on three images, two of which are classified correctly."""
    return evaluate_logits(torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]]), torch.tensor([0, 1, 0]), ("cat", "dog"))


class FakePredictor:
    """Predicts a cat for every file that exists."""

    def __init__(self, calibrated: bool) -> None:
        self.calibrated = calibrated

    def predict_all(self, images: Iterable[Path]) -> Iterator[Prediction]:
        for path in map(Path, images):
            if path.exists():
                probabilities = {"cat": 0.75, "dog": 0.25}
                yield Prediction(str(path), "cat", 0.75, probabilities, None, 0.5, self.calibrated)
            else:
                yield Prediction(str(path), None, 0.0, {}, f"{path}: there is no such file")


@dataclass
class FakeApi:
    """Records calls and returns small results; raises `raises` instead if it is set."""

    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    raises: BaseException | None = None
    run: Path = Path("no-run")
    calibrated: bool = True

    def recording(self, name: str, result: Callable[[], Any]) -> Callable[..., Any]:
        """Returns a function that records its call under `name` and returns `result()`."""

        def function(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            if self.raises is not None:
                raise self.raises
            return result()

        return function


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeApi:
    """Replaces functions of `tenfold.api` by those of a `FakeApi`; its run lies in a folder of its own."""
    folder = RunFolder.create(tmp_path / "fake-runs", "shapes", "quick", "fake")
    folder.recipe.write_text(to_toml(load_recipe("tutorial")), encoding="utf-8")
    folder.write_predictions([PredictionRow(str(i), "cat", "dog" if i % 2 else "cat", 0.5) for i in range(100)])
    fake = FakeApi(run=folder.path)
    results: dict[str, Callable[[], Any]] = {
        "train.train": lambda: SimpleNamespace(path=fake.run, summary={"dataset": {}}, evaluation=evaluation()),
        "evaluate.evaluate": evaluation,
        "evaluate.load": lambda: FakePredictor(fake.calibrated),
        "evaluate.export": lambda: Path("fake.pth"),
        "data.dataset_of": lambda: build_shapes(train=60, test=20),
    }
    for name, result in results.items():
        monkeypatch.setattr(f"tenfold.api.{name}", fake.recording(name.partition(".")[2], result))
    return fake
