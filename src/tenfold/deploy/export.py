"""Trained classifiers in the formats of other programs."""

from collections.abc import Callable
from pathlib import Path

from tenfold.core.errors import UsageError
from tenfold.core.registry import Registry
from tenfold.runs.artifact import Classifier
from tenfold.runs.model_file import write_state_dict

exporters: Registry[Callable[[Classifier, Path], None]] = Registry("export format", UsageError)
"""Functions `(classifier, path) -> None` by format name."""


@exporters.add("pth")
def export_state_dict(classifier: Classifier, path: Path) -> None:
    """Writes the weights as `torch.save(model.state_dict(), path)` does.

    A classifier trained with the recipe `tutorial` loads into the `Net` of PyTorch's tutorial.

    Args:
        classifier: whose weights to write.
        path: of the file.

    Raises:
        StorageError: when the file cannot be written.
    """
    write_state_dict(path, classifier.model.state_dict())


def export(classifier: Classifier, name: str, path: Path, *, force: bool = False) -> Path:
    """Writes a classifier in a format.

    Args:
        classifier: to write.
        name: of a registered format.
        path: of the new file.
        force: whether to overwrite an existing file.

    Returns:
        `path`.

    Raises:
        UsageError: when the format is unknown, or the file exists.
        StorageError: when the file cannot be written.
    """
    write = exporters.get(name)
    if path.exists() and not force:
        raise UsageError(f"{path} exists and is not overwritten; choose another file for --output, or add --force")
    write(classifier, path)
    return path
