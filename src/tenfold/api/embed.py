"""The features of images, as arrays and as a file."""

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from tenfold.api.data import DataSource, given_dataset
from tenfold.api.evaluate import load
from tenfold.api.evaluation_data import report_left_out, request_for
from tenfold.api.on_ray import ModelPlace, features_on_ray, model_place, read_features_on_ray
from tenfold.api.runs import RunSource, path_of
from tenfold.api.unlabeled import is_unlabeled, read_unlabeled
from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.core.errors import DataError
from tenfold.core.notebook import default_progress
from tenfold.core.progress import Progress
from tenfold.core.text import escaped, plural
from tenfold.data.build import build_dataset
from tenfold.data.labels import image_names
from tenfold.data.types import Dataset
from tenfold.experiments.sweep.ray_cluster import RayOptions, connected, ray_options
from tenfold.models.pretrained import LITE0
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.artifact import Classifier
from tenfold.runs.features import FeatureExtractor, features_of, pretrained_classifier

UNKNOWN = -1
"""Label of an image whose class is not known."""


@dataclass(frozen=True, eq=False)  # == of arrays gives no single truth value
class Embedding:
    """The features of N images.

    Args:
        features: float32 [N, D], what the network gives to its last linear layer.
        names: N paths, or positions where the images never were files, as in the lists of `suspects`.
        splits: N names of splits, empty for images without one.
        labels: int64 [N], index in `classes`; −1 where it is unknown.
        classes: class names.
    """

    features: NDArray[np.float32]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        count, size = self.features.shape
        return f"Embedding({plural(count, 'image')}, {size:,} features, {len(self.classes):,} classes)"

    def save(self, path: str | Path) -> Path:
        """Writes a NumPy file with an array for each field, and returns its path; `np.load` reads it.

        Raises:
            StorageError: when the file cannot be written; an existing file stays as it is.
        """
        content = io.BytesIO()
        np.savez(
            content,
            features=self.features,
            names=np.array(self.names, np.str_),
            splits=np.array(self.splits, np.str_),
            labels=self.labels,
            classes=np.array(self.classes, np.str_),
        )
        durable.write_bytes(Path(path), content.getvalue())
        return Path(path)


def embed(
    data: DataSource,
    model: RunSource = LITE0,
    *,
    data_dir: str | None = None,
    labels: str | None = None,
    splits: str | None = None,
    classes_are_folders: bool | None = None,
    device: str = "auto",
    ray: bool | str = False,
    progress: Progress | None = None,
) -> Embedding:
    """Computes the features of images: what a network gives to its last linear layer. They are cached.

    Args:
        data: as for `train`, with all its splits; those of the run where it is the data of the run. Also an image file,
            a pattern such as `photos/**/*.jpg`, or a folder whose images all lie in itself: these have no labels.
        model: `lite0`, the network with ImageNet weights that is installed with Tenfold; or a run, run folder or model
            file.
        data_dir: folder that holds a copy of CIFAR.
        labels: where the labels of `data` come from, as the key `data.labels` says.
        splits: which folders of `data` are splits, such as `a=train,b=test`.
        classes_are_folders: whether the outermost folders of `data` are classes, whatever their names.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        ray: whether the features are computed on a Ray cluster; or its address, HOST:PORT or `auto`.
        progress: receives messages; shown in notebooks and silent elsewhere by default.

    Raises:
        ModelError: when the network has no features: it does not end in one linear layer.
        DataError: when the data is missing or damaged.
        RunError: when a run folder holds no model.

    Example:
        >>> found = tenfold.embed("my-photos")  # doctest: +SKIP
        >>> found.features.shape, found.classes  # doctest: +SKIP
        ((397, 1280), ('ants', 'bees'))
    """
    options = ray_options(ray)
    progress = progress or default_progress()
    if model == LITE0:
        source, classifier = None, pretrained_classifier()
        if options is None:
            classifier.model.to(choose_device(device))
    else:
        source = path_of(model, "run")
        classifier = load(source, device=device if options is None else "cpu").classifier
    cluster = None if options is None else _Cluster(model_place(source or LITE0, device), options)
    keys = {"data_dir": data_dir, "labels": labels, "splits": splits, "classes_are_folders": classes_are_folders}
    given = {key: value for key, value in keys.items() if value is not None}
    if isinstance(data, str | Path) and not given and is_unlabeled(str(data)):
        return _of_files(str(data), classifier, progress, cluster)
    if isinstance(data, str | Path):
        dataset = build_dataset(request_for(classifier, source, str(data), given), progress.prepare)
    else:
        section = resolve(Recipe(), {"data": given}).data
        dataset = cast("Dataset", given_dataset(data, section))
    report_left_out(dataset.notes, dataset.skipped, progress)
    return _of_dataset(dataset, classifier, progress, cluster)


class _Cluster(NamedTuple):
    """A Ray cluster, and the model that its workers load."""

    place: ModelPlace
    options: RayOptions


def _of_files(source: str, classifier: Classifier, progress: Progress, cluster: _Cluster | None) -> Embedding:
    """Returns the features of images without labels."""
    names: list[str] = []
    rows: list[NDArray[Any]] = []
    if cluster is None:
        extractor = FeatureExtractor(classifier)
        for batch in read_unlabeled(source, classifier.preprocessing, progress):
            names += batch.names
            rows.append(extractor(batch.images).numpy())
        extractor.flush()
    else:
        place, options = cluster
        read = partial(read_features_on_ray, place, options=options)
        for batch in read_unlabeled(source, classifier.preprocessing, progress, read):
            names += batch.names
            rows.append(batch.images)
    if not rows:
        raise DataError(f"none of the images of {escaped(source)} can be read; expected at least one")
    labels = np.full(len(names), UNKNOWN, np.int64)
    return Embedding(np.concatenate(rows), tuple(names), ("",) * len(names), labels)


def _of_dataset(dataset: Dataset, classifier: Classifier, progress: Progress, cluster: _Cluster | None) -> Embedding:
    """Returns the features of the images of all splits."""
    parts = {name: split for name, split in dataset.splits().items() if len(split)}
    if cluster is None:
        images = [classifier.preprocessing.all_fitted(split.images) for split in parts.values()]
        rows = [features_of(classifier, each, progress=progress.prepare) for each in images]
    else:
        with connected(cluster.options):  # once for all splits
            rows = [features_on_ray(cluster.place, split.images, cluster.options) for split in parts.values()]
    return Embedding(
        features=np.concatenate(rows),
        names=tuple(image for name, split in parts.items() for image in image_names(split, name)),
        splits=tuple(name for name, split in parts.items() for _ in range(len(split))),
        labels=np.concatenate([split.labels for split in parts.values()]),
        classes=dataset.classes,
    )
