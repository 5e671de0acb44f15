"""Trained classifiers: loaded, judged, exported."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from tenfold.api.data import dataset_of
from tenfold.core.devices import choose_device
from tenfold.core.errors import ModelError, RunError, UsageError
from tenfold.core.progress import Progress, Silent
from tenfold.data.types import Dataset, Split
from tenfold.deploy.export import export as export_classifier
from tenfold.deploy.predictor import Predictor
from tenfold.evaluate.metrics import Evaluation
from tenfold.evaluate.views import views_named
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import DataSection, Recipe
from tenfold.runs.artifact import Classifier, load_plain
from tenfold.runs.run_folder import RunFolder


def load(
    source: str | Path, *, device: str = "auto", model: nn.Module | str | None = None, views: str | None = None
) -> Predictor:
    """Loads a trained classifier.

    Args:
        source: a run folder (its best model), a `.safetensors` model file, or a plain `.pth` state_dict.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        model: the network's name for a plain state_dict; the network itself for one of your own.
        views: of each picture whose logits are averaged: `plain`, `mirror` or `shifts`; as trained by default.

    Raises:
        UsageError: when there are no such views.
        RunError: when a run folder holds no model.
        ModelError: when the file is damaged, foreign, or does not fit `model`.
        DeviceError: when the device is not there.

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
    """Judges a trained classifier on labelled pictures, prepared as its model file says.

    Args:
        source: see `load`.
        data: what `--data` takes, or a `Dataset`; the pictures that the model was trained with by default.
        data_dir: folder in which a copy of CIFAR lies.
        split: `train`, `val` or `test`.
        device: see `load`.
        model: see `load`.
        views: see `load`.
        progress: is told what happens; silent by default.

    Raises:
        ModelError: when model and data disagree in classes; the message names both.
        DataError: when the pictures cannot be had.
        UsageError: when there is no such split, or there are no such views.
    """
    progress = progress or Silent()
    classifier = _classifier(Path(source), device, model, views)
    if not isinstance(data, Dataset):
        named = None if data is None else str(data)
        data = dataset_of(_section_for(classifier, Path(source), named, data_dir), progress)
    if split not in data.splits():
        raise UsageError(f"{data.name} has no split '{split}'; expected {', '.join(data.splits())}")
    return classifier.evaluate(_relabelled(data.splits()[split], data, classifier))


def export(
    source: str | Path, name: str, out: str | Path | None = None, *, model: nn.Module | str | None = None
) -> Path:
    """Writes a trained classifier in another format and returns where.

    Args:
        source: see `load`.
        name: of the format: `pth`, a plain `state_dict`.
        out: path of the new file; the model's name with another ending by default.
        model: see `load`.

    Raises:
        UsageError: when the format is unknown or the file is there already.
    """
    classifier = _classifier(Path(source), "cpu", model)
    return export_classifier(classifier, name, Path(out) if out else Path(f"{Path(source).stem}.{name}"))


def _classifier(source: Path, device: str, model: nn.Module | str | None, views: str | None = None) -> Classifier:
    classifier = _read(source, device, model)
    if views is None:
        return classifier
    views_named(views)  # refused here, before any picture is read
    return replace(classifier, views=views)


def _read(source: Path, device: str, model: nn.Module | str | None) -> Classifier:
    where = choose_device(device)
    if source.suffix in (".pth", ".pt"):
        if not isinstance(model, str):
            raise UsageError(f"{source} says nothing of its network; name it, e.g. --model tutorial")
        return load_plain(source, model, where)
    if isinstance(model, str):
        raise UsageError(f"{source} knows its own network; --model {model} is for plain .pth files only")
    return Classifier.load(_model_file(source), device=where, model=model)


def _model_file(source: Path) -> Path:
    if source.suffix == ".safetensors":
        return source
    folder = RunFolder.open(source)
    found = [file for file in (folder.best, folder.last) if file.is_file()]
    if not found:
        raise RunError(f"{source} holds no model yet; finish the run: tenfold train --resume {source}")
    return found[0]


def _section_for(classifier: Classifier, source: Path, data: str | None, data_dir: str | None) -> DataSection:
    """Returns the `[data]` that prepares pictures as the classifier was trained for.

    Raises:
        UsageError: when nothing says which pictures are meant.
    """
    trained = classifier.recipe.get("data", {})
    if data is None and not trained:
        raise UsageError(f"{source} does not say what it was trained on; name the pictures with --data")
    wanted = {
        **trained,
        "image_size": list(classifier.preprocessing.image_size),
        "fit": classifier.preprocessing.fit,
        **({} if data is None else {"source": data, "exclude": "", "relabel": ""}),
        **({} if data_dir is None else {"data_dir": data_dir}),
    }
    return resolve(Recipe(), {"data": wanted}).data


def _relabelled(split: Split, pictures: Dataset, classifier: Classifier) -> Split:
    """Returns `split` with labels in the classifier's order of classes, matched by name.

    Raises:
        ModelError: when the pictures show a class that the classifier does not know.
    """
    known = {name: i for i, name in enumerate(classifier.classes)}
    foreign = [name for name in pictures.classes if name not in known]
    if foreign:
        raise ModelError(
            f"the data has classes that the model does not know ({', '.join(foreign[:5])}); "
            f"the model knows {', '.join(classifier.classes[:20])}"
        )
    order = np.array([known[name] for name in pictures.classes], np.int64)
    return Split(split.images, order[split.labels], split.paths)
