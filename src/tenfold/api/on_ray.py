"""Bulk prediction and features as tasks of a Ray cluster: the results of one machine, in the same order."""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenfold.api.evaluate import load, model_file
from tenfold.core import durable
from tenfold.core.devices import choose_device
from tenfold.core.errors import DataError, RunError, TenfoldError
from tenfold.deploy.predictor import Prediction, Predictor, ReadImage, read_images
from tenfold.experiments.sweep.pool import (
    Job,
    JobFunction,
    Pool,
    SendReport,
    ignore_report,
    ignore_retry,
    never_stop,
)
from tenfold.experiments.sweep.ray_cluster import RayOptions, connected
from tenfold.experiments.sweep.ray_pool import RayPool
from tenfold.models.pretrained import LITE0
from tenfold.runs.artifact import Classifier
from tenfold.runs.features import FeatureExtractor, pretrained_classifier

CHUNK = 256
"""Images of a task: those that one machine predicts at once, so that the bits are the same."""


class ModelPlace(NamedTuple):
    """How a worker loads the model.

    Args:
        path: of the model file, absolute, or `lite0`.
        digest: of the file, empty for `lite0`.
        device: see `tenfold.load`.
        model: see `tenfold.load`.
        views: see `tenfold.load`.
    """

    path: str
    digest: str
    device: str
    model: str | None = None
    views: str | None = None


class Files(NamedTuple):
    """Some image files, as a worker finds them.

    Args:
        folder: the driver's, for relative names.
        names: of the files.
        present: whether the driver sees each.
    """

    folder: str
    names: list[str]
    present: list[bool]


def model_place(source: str | Path, device: str, model: str | None = None, views: str | None = None) -> ModelPlace:
    """Returns what workers need to load a model; each must see its file. Raises RunError where there is none."""
    if str(source) == LITE0:
        return ModelPlace(LITE0, "", device)
    path = Path(source) if Path(source).suffix in (".pth", ".pt") else model_file(Path(source))
    return ModelPlace(str(path.absolute()), durable.digest(path), device, model, views)


def predict_on_ray(place: ModelPlace, paths: Sequence[Path], options: RayOptions) -> list[Prediction]:
    """Returns the prediction of each image file, in order; see `Predictor.predict_all`.

    Raises:
        TenfoldError: when a machine does not see the model or a file, or cannot run the task.
    """
    return [each for chunk in _on_cluster(_predict_files, _chunks(place, paths), options, place) for each in chunk]


def read_features_on_ray(place: ModelPlace, paths: Sequence[Path], options: RayOptions) -> Iterator[list[ReadImage]]:
    """Yields image files in batches, with their features in place of their pixels; see `read_images`."""
    return _on_cluster(_features_of_files, _chunks(place, paths), options, place)


def features_on_ray(place: ModelPlace, images: NDArray[np.uint8], options: RayOptions) -> NDArray[np.float32]:
    """Returns the features of images, float32 [N, D]; the cluster gets their pixels, uint8 [N, H, W, 3]."""
    payloads = ((place, np.array(images[first : first + CHUNK])) for first in range(0, len(images), CHUNK))
    return np.concatenate(list(_on_cluster(_features_of_images, payloads, options, place)))


def in_order(pool: Pool, function: JobFunction, payloads: Iterator[Any]) -> Iterator[Any]:
    """Yields what `function` returns for each payload, in the order of the payloads.

    Args:
        pool: runs the jobs, in any order.
        function: see `JobFunction`.
        payloads: one for each job.

    Raises:
        TenfoldError: when a job fails.
    """
    jobs = (Job(str(number), payload) for number, payload in enumerate(payloads))
    values: dict[str, Any] = {}
    wanted = map(str, count())
    key = next(wanted)
    results = pool(
        lambda: next(jobs, None), function, on_report=ignore_report, on_retry=ignore_retry, should_stop=never_stop
    )
    for result in results:
        if result.error is not None:
            raise TenfoldError(result.error)
        values[result.key] = result.value
        while key in values:
            yield values.pop(key)
            key = next(wanted)


def _on_cluster(
    function: JobFunction, payloads: Iterator[Any], options: RayOptions, place: ModelPlace
) -> Iterator[Any]:
    with connected(options):
        yield from in_order(RayPool(options.for_device(place.device, cpus=1), threads=1), function, payloads)


def _chunks(place: ModelPlace, paths: Sequence[Path]) -> Iterator[tuple[ModelPlace, Files]]:
    folder = str(Path.cwd())
    for first in range(0, len(paths), CHUNK):
        chunk = paths[first : first + CHUNK]
        yield place, Files(folder, list(map(str, chunk)), [path.exists() for path in chunk])


def _predict_files(payload: tuple[ModelPlace, Files], send_report: SendReport) -> list[Prediction]:
    place, files = payload
    return list(_predictor(place).predict_all(_visible(files)))


def _features_of_files(payload: tuple[ModelPlace, Files], send_report: SendReport) -> list[ReadImage]:
    place, files = payload
    extractor = _extractor(place)
    (read,) = read_images(_visible(files), _classifier(place).preprocessing)
    pixels = [each.image for each in read if each.image is not None]
    rows = iter(extractor(np.stack(pixels)).numpy() if pixels else ())
    extractor.flush()
    return [each if each.image is None else replace(each, image=next(rows)) for each in read]


def _features_of_images(payload: tuple[ModelPlace, NDArray[np.uint8]], send_report: SendReport) -> NDArray[np.float32]:
    place, images = payload
    return _extractor(place).all_of(_classifier(place).preprocessing.all_fitted(images))


def _visible(files: Files) -> list[str]:
    """Returns the names of files after entering the driver's folder.

    Raises:
        DataError: when this machine does not see a file that the driver sees.
    """
    if Path(files.folder).is_dir():
        os.chdir(files.folder)
    for name, present in zip(files.names, files.present, strict=True):
        if present and not Path(name).exists():
            raise DataError(f"the machine {socket.gethostname()} does not see {name}; {_SHARE}")
    return files.names


_SHARE = "every machine of the Ray cluster needs the images and the model under the same path, as in a shared folder"


@lru_cache(maxsize=1)
def _classifier(place: ModelPlace) -> Classifier:
    """Loads the model once for all tasks of this worker."""
    return _predictor(place).classifier


@lru_cache(maxsize=1)
def _predictor(place: ModelPlace) -> Predictor:
    if place.path == LITE0:
        classifier = pretrained_classifier()
        classifier.model.to(choose_device(place.device))
        return Predictor(classifier)
    path = Path(place.path)
    if not path.is_file() or durable.digest(path) != place.digest:
        found = "another file as" if path.is_file() else "no"
        raise RunError(f"the machine {socket.gethostname()} sees {found} {path}; {_SHARE}")
    return load(path, device=place.device, model=place.model, views=place.views)


@lru_cache(maxsize=1)
def _extractor(place: ModelPlace) -> FeatureExtractor:
    return FeatureExtractor(_classifier(place))
