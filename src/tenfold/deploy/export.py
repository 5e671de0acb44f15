"""Trained classifiers in the formats of others."""

from collections.abc import Callable
from pathlib import Path

from tenfold.core.errors import UsageError
from tenfold.core.registry import Registry
from tenfold.runs.artifact import Classifier
from tenfold.runs.model_file import write_state_dict

exporters: Registry[Callable[[Classifier, Path], None]] = Registry("export format", UsageError)
"""Writers `(classifier, path) -> None`, by format."""


@exporters.add("pth")
def export_state_dict(classifier: Classifier, path: Path) -> None:
    """Writes the weights as `torch.save(model.state_dict(), path)` does, for code that loads such files.

    A classifier trained with the recipe `tutorial` loads into the `Net` of PyTorch's tutorial.

    Args:
        classifier: whose weights to write.
        path: of the new file.

    Raises:
        StorageError: when the disk refuses.
    """
    write_state_dict(path, classifier.model.state_dict())


def export(classifier: Classifier, name: str, path: Path) -> Path:
    """Writes `classifier` in the format called `name`, and returns where.

    Args:
        classifier: what to write.
        name: a registered format.
        path: of the new file.

    Raises:
        UsageError: when the format is unknown, or a file is there already: nothing is overwritten.
        StorageError: when the disk refuses.
    """
    write = exporters.get(name)
    if path.exists():
        raise UsageError(f"{path} is there already, and nothing is overwritten; choose another name with --out")
    write(classifier, path)
    return path
