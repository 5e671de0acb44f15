"""Trained classifiers: load, evaluate, export."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from tenfold.api.data import DataSource
from tenfold.api.evaluation_data import images_to_evaluate, with_names_of
from tenfold.api.fold_evaluation import cross_validation_of, out_of_fold_evaluation
from tenfold.api.runs import RunSource, path_of
from tenfold.core.devices import choose_device
from tenfold.core.errors import RunError, UsageError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.data.evaluation import LabeledImages, images_in_memory, split_of
from tenfold.data.types import Dataset
from tenfold.deploy.export import export as export_classifier
from tenfold.deploy.predictor import Predictor
from tenfold.evaluate.metrics import Evaluation
from tenfold.evaluate.views import views_named
from tenfold.runs.artifact import Classifier, load_plain_weights
from tenfold.runs.run_folder import RunFolder


def load(
    source: RunSource, *, device: str = "auto", model: nn.Module | str | None = None, views: str | None = None
) -> Predictor:
    """Loads a trained classifier.

    Args:
        source: a run, or its folder (its best model; `last` is the newest in `runs`), a `.safetensors` model file, or a
            plain `.pth` state_dict.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        model: the network's name for a plain state_dict, or the network itself if it is your own.
        views: test-time augmentation (TTA): `plain`, `mirror` or `shifts`; as trained by default. The probabilities of
            other views are not calibrated: the temperature was fitted without them.

    Raises:
        UsageError: when `views` is unknown, or `source` is none of these.
        RunError: when a run folder holds no model.
        ModelError: when the file is damaged, not a model file, or does not fit `model`.
        DeviceError: when this machine lacks the device.

    Example:
        >>> tenfold.load("runs/cifar10-quick").predict("cat.jpg").label  # doctest: +SKIP
        'cat'
    """
    return Predictor(_classifier(path_of(source, "run"), device, model, views))


def evaluate(
    source: RunSource,
    *,
    data: DataSource | None = None,
    data_dir: str | None = None,
    labels: str | None = None,
    splits: str | None = None,
    classes_are_folders: bool | None = None,
    split: str | None = None,
    device: str = "auto",
    model: nn.Module | str | None = None,
    views: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluates a trained classifier on labeled images, which are prepared as its model file says.

    The folder of a cross-validation stands for its final model. If its own data has no test split, the final model was
    trained on all images, and the results are those of the folds.

    Args:
        source: see `load`.
        data: as for `train`; the training dataset by default. Nothing is drawn from other data, and it may lack
            classes of the model.
        data_dir: folder that holds a copy of CIFAR.
        labels: where the labels of `data` come from, as the key `data.labels` says.
        splits: which folders of `data` are splits, such as `a=train,b=test`.
        classes_are_folders: whether the outermost folders of `data` are classes, whatever their names.
        split: `train`, `val`, `test` or `all`; by default the test split, or all images of other data without one.
        device: see `load`.
        model: see `load`.
        views: see `load`.
        progress: receives messages; shown in notebooks and silent elsewhere by default.

    Raises:
        ModelError: when the data has classes that the model does not know; the message lists both.
        DataError: when the data is missing or damaged.
        UsageError: when the split or `views` is unknown.
    """
    path = path_of(source, "run")
    classifier = _classifier(path, device, model, views)
    progress = progress or default_progress()
    keys = {"data_dir": data_dir, "labels": labels, "splits": splits, "classes_are_folders": classes_are_folders}
    given = {key: value for key, value in keys.items() if value is not None}
    if given and not isinstance(data, str | Path | None):
        key, value = next(iter(given.items()))
        raise UsageError(f"{key} is {value}, but the data is in memory; leave it out")
    if isinstance(data, Dataset):
        images = split_of(data, split or "test")
    elif data is None or isinstance(data, str | Path):
        name = None if data is None else str(data)
        own = images_to_evaluate(classifier, path, name, given, split, progress)
        if own is None:
            return _of_folds(path, views, progress)
        images = own
    else:
        images = images_in_memory(data, split)
    progress.message(f"evaluating {images.text}")
    return _evaluated(images, with_names_of(classifier, images.classes, progress))


def export(
    source: RunSource,
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
    path = path_of(source, "run")
    classifier = _classifier(path, "cpu", model)
    return export_classifier(classifier, name, Path(out) if out else Path(f"{path.stem}.{name}"), force=force)


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
        classifier = Classifier.load(model_file(source), device=torch_device, model=model)
    return classifier if views is None else classifier.with_views(views)


def model_file(source: Path) -> Path:
    """Returns the model file of a run folder, its best or else its last, or the model file that `source` is.

    Raises:
        RunError: when it is neither, or the run holds no model yet.
    """
    if source.suffix == ".safetensors":
        return source
    folder = RunFolder.open(source)
    found = [file for file in (folder.best, folder.last) if file.is_file()]
    if not found:
        raise RunError(f"{source} holds no model yet; {folder.way_on()}")
    return found[0]


def _of_folds(path: Path, views: str | None, progress: Progress) -> Evaluation:
    """Returns the results of the folds, in place of those of a final model that was trained on all images."""
    folder = cross_validation_of(RunFolder.open(path))
    assert folder is not None
    if views is not None:
        raise UsageError(
            f"views is {views}, but the final model was trained on all images of its data, and the results of the "
            "folds are those of other networks, as trained; leave it out, or name other images with --data"
        )
    found = out_of_fold_evaluation(folder)
    progress.message(
        "the final model was trained on all images of its data: these are the results of the "
        f"{found.folds} folds, each image predicted by a network that was not trained on it (other images: --data)"
    )
    return found


def _evaluated(images: LabeledImages, classifier: Classifier) -> Evaluation:
    """Evaluates a classifier on images whose classes it knows; they are matched by name."""
    index_of = {name: index for index, name in enumerate(classifier.classes)}
    new_labels = np.array([index_of[name] for name in images.classes], np.int64)
    labels = np.concatenate([new_labels[part.labels] for part in images.parts])
    logits = [classifier.tta_logits(part.images) for part in images.parts]
    averaged, plain = (torch.cat(tensors) for tensors in zip(*logits, strict=True))
    return classifier.evaluate_tta_logits(labels, averaged, plain)
