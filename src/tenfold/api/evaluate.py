"""Trained classifiers: load, evaluate, export."""

from pathlib import Path

import numpy as np
from torch import nn

from tenfold.api.data import dataset_of
from tenfold.core.devices import choose_device
from tenfold.core.errors import ModelError, RunError, UsageError
from tenfold.core.progress import Progress, SilentProgress
from tenfold.data.types import Dataset, Split
from tenfold.deploy.export import export as export_classifier
from tenfold.deploy.predictor import Predictor
from tenfold.evaluate.metrics import Evaluation
from tenfold.evaluate.views import views_named
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import DataSection, Recipe
from tenfold.runs.artifact import Classifier, load_plain_weights
from tenfold.runs.run_folder import RunFolder


def load(
    source: str | Path, *, device: str = "auto", model: nn.Module | str | None = None, views: str | None = None
) -> Predictor:
    """Loads a trained classifier.

    Args:
        source: a run folder (its best model), a `.safetensors` model file, or a plain `.pth` state_dict.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        model: the network's name for a plain state_dict, or the network itself if it is your own.
        views: test-time augmentation (TTA): `plain`, `mirror` or `shifts`; as trained by default. The probabilities of
            other views are not calibrated: the temperature was fitted without them.

    Raises:
        UsageError: when `views` is unknown.
        RunError: when a run folder holds no model.
        ModelError: when the file is damaged, not a model file, or does not fit `model`.
        DeviceError: when this machine lacks the device.

    Example:
        >>> tenfold.load("runs/cifar10-quick").predict("cat.jpg").label  # doctest: +SKIP
        'cat'
    """
    return Predictor(_classifier(Path(source), device, model, views))


def evaluate(
    source: str | Path,
    *,
    data: str | Path | Dataset | None = None,
    data_dir: str | None = None,
    split: str = "test",
    device: str = "auto",
    model: nn.Module | str | None = None,
    views: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluates a trained classifier on labeled images, which are prepared as its model file says.

    Args:
        source: see `load`.
        data: a dataset's name or path, as for `--data`, or a `Dataset`; the training dataset by default.
        data_dir: folder that holds a copy of CIFAR.
        split: `train`, `val` or `test`.
        device: see `load`.
        model: see `load`.
        views: see `load`.
        progress: receives messages; silent by default.

    Raises:
        ModelError: when the data has classes that the model does not know; the message lists both.
        DataError: when the data is missing or damaged.
        UsageError: when the split or `views` is unknown.
    """
    classifier = _classifier(Path(source), device, model, views)
    if not isinstance(data, Dataset):
        name = None if data is None else str(data)
        data = dataset_of(_section_for(classifier, Path(source), name, data_dir), progress or SilentProgress())
    if split not in data.splits():
        raise UsageError(f"{data.name} has no split '{split}'; expected {', '.join(data.splits())}")
    return classifier.evaluate(_relabeled(data.splits()[split], data, classifier))


def export(
    source: str | Path,
    name: str,
    out: str | Path | None = None,
    *,
    model: nn.Module | str | None = None,
    force: bool = False,
) -> Path:
    """Writes a trained classifier in another format.

    Args:
        source: see `load`.
        name: of the format: `pth`, a plain `state_dict`.
        out: path of the new file; the model's name with another ending by default.
        model: see `load`.
        force: whether to overwrite an existing file.

    Returns:
        The path of the file.

    Raises:
        UsageError: when the format is unknown or the file exists.
    """
    classifier = _classifier(Path(source), "cpu", model)
    path = Path(out) if out else Path(f"{Path(source).stem}.{name}")
    return export_classifier(classifier, name, path, force=force)


def _classifier(source: Path, device: str, model: nn.Module | str | None, views: str | None = None) -> Classifier:
    """Reads a classifier; the arguments are those of `load`."""
    if views is not None:
        views_named(views)  # reports an unknown name before anything is read
    torch_device = choose_device(device)
    if source.suffix in (".pth", ".pt"):
        if not isinstance(model, str):
            raise UsageError(f"{source} does not name its network; name it, e.g. --model tutorial")
        classifier = load_plain_weights(source, model, torch_device)
    elif isinstance(model, str):
        raise UsageError(f"{source} names its own network; --model {model} is for plain .pth files only")
    else:
        classifier = Classifier.load(_model_file(source), device=torch_device, model=model)
    return classifier if views is None else classifier.with_views(views)


def _model_file(source: Path) -> Path:
    if source.suffix == ".safetensors":
        return source
    folder = RunFolder.open(source)
    found = [file for file in (folder.best, folder.last) if file.is_file()]
    if not found:
        raise RunError(f"{source} holds no model yet; finish the run: tenfold train --resume {source}")
    return found[0]


def _section_for(classifier: Classifier, source: Path, data: str | None, data_dir: str | None) -> DataSection:
    """Returns the `[data]` that prepares images as they were prepared for the classifier's training.

    Raises:
        UsageError: when neither `data` nor the model file names a dataset.
    """
    trained = classifier.recipe.get("data", {})
    if data is None and not trained:
        raise UsageError(f"{source} does not name its training dataset; name a dataset with --data")
    section = {
        **trained,
        "image_size": list(classifier.preprocessing.image_size),
        "fit": classifier.preprocessing.fit,
        **({} if data is None else {"source": data, "exclude": "", "relabel": ""}),
        **({} if data_dir is None else {"data_dir": data_dir}),
    }
    return resolve(Recipe(), {"data": section}).data


def _relabeled(split: Split, dataset: Dataset, classifier: Classifier) -> Split:
    """Returns `split` with labels in the classifier's order of classes; classes are matched by name.

    Raises:
        ModelError: when the dataset has a class that the classifier does not know.
    """
    index_of = {name: i for i, name in enumerate(classifier.classes)}
    unknown = [name for name in dataset.classes if name not in index_of]
    if unknown:
        raise ModelError(
            f"the data has classes that the model does not know ({', '.join(unknown[:5])}); "
            f"the model knows {', '.join(classifier.classes[:20])}"
        )
    new_labels = np.array([index_of[name] for name in dataset.classes], np.int64)
    return Split(split.images, new_labels[split.labels], split.paths)
