"""The features of images: what a classifier's frozen network gives to its head, computed once per image.

Shapes: N images, B in a batch, D features, H×W pixels.
"""

import hashlib
import platform
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.core.cores import one_core_each
from tenfold.core.devices import evaluation_kernels
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.data.store.feature_cache import FeatureCache, image_key
from tenfold.data.types import ProgressCallback, no_progress
from tenfold.models.build import build_model
from tenfold.models.features import FeatureNetwork
from tenfold.models.pretrained import LITE0, pretrained_record, pretrained_weights
from tenfold.runs.artifact import Classifier
from tenfold.runs.inference import cpu_batch_size

_CPU_IMAGES, _GPU_IMAGES = 8, 256
"""Largest number of images that a CPU core computes at once, and a GPU: smaller batches are filled up."""

_FLUSH_SECONDS = 20.0
"""Time after which new features are written, so that a killed run has not computed them in vain."""


class FeatureExtractor:
    """Computes features of images with the network of a classifier, and remembers them in the cache folder.

    Args:
        classifier: its network ends in one linear layer; it is copied, so that later training changes nothing here.
        autocast: dtype of convolutions and matrix products, or None for float32.

    Raises:
        ModelError: when the network has no linear head.
        StorageError: when no cache folder can be determined.

    Attributes:
        num_features: D.
        num_computed: number of images that were not in the cache so far.
    """

    def __init__(self, classifier: Classifier, autocast: torch.dtype | None = None) -> None:
        self._preprocessing = classifier.preprocessing
        self._device, self._autocast = classifier.device, autocast
        network = FeatureNetwork(classifier.model, len(classifier.classes), classifier.preprocessing.image_size)
        self.num_features, self.num_computed = network.num_features, 0
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        on_cpu, size = self._device.type == "cpu", classifier.preprocessing.image_size
        self._batch_size = min(_CPU_IMAGES, cpu_batch_size(size)) if on_cpu else _GPU_IMAGES
        self._cache = FeatureCache(self._digest(network), self.num_features)
        self._flushed = perf_counter()

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        """Returns features, float32 [B, D] on the CPU, for images as training or evaluation show them.

        Args:
            images: uint8 [B, H, W, 3].
        """
        images = self._preprocessing.center(images)
        keys = [image_key(image) for image in images]
        if missing := self._missing(keys):
            for index, row in zip(missing, self.computed(images[missing]), strict=True):
                self._cache.add(keys[index], row)
            self.num_computed += len(missing)
        if perf_counter() - self._flushed > _FLUSH_SECONDS:
            self.flush()
        return torch.from_numpy(self._rows(keys))

    def all_of(
        self, images: NDArray[np.uint8], progress: ProgressCallback = no_progress, *, mirrored: bool = False
    ) -> NDArray[np.float32]:
        """Returns the features of many images, float32 [N, D], and writes new ones to the cache folder.

        Args:
            images: uint8 [N, H, W, 3]; may be memory-mapped.
            progress: called with the number of images that are done, of those that are not in the cache.
            mirrored: whether the images are mirrored first.
        """
        keys = self._keys(images, mirrored=mirrored)
        missing = self._missing(keys)
        for first in range(0, len(missing), _GPU_IMAGES):
            self(_shown(images[missing[first : first + _GPU_IMAGES]], mirrored=mirrored))
            progress("Computing features", min(first + _GPU_IMAGES, len(missing)), len(missing))
        self.flush()
        return self._rows(keys)

    def num_missing(self, images: NDArray[np.uint8]) -> int:
        """Returns how many of the images, uint8 [N, H, W, 3], have no features in the cache yet."""
        return len(self._missing(self._keys(images)))

    def _keys(self, images: NDArray[np.uint8], *, mirrored: bool = False) -> list[bytes]:
        """Returns the keys of many images."""
        starts = range(0, len(images), _GPU_IMAGES)
        parts = (_shown(images[first : first + _GPU_IMAGES], mirrored=mirrored) for first in starts)
        return [image_key(image) for part in parts for image in self._preprocessing.center(part)]

    def _missing(self, keys: list[bytes]) -> list[int]:
        """Returns the positions of the images that have no features yet; of equal ones, one."""
        return list({key: index for index, key in enumerate(keys) if self._cache.get(key) is None}.values())

    def _rows(self, keys: list[bytes]) -> NDArray[np.float32]:
        """Returns the features of images that all have some, float32 [N, D]."""
        found = [row for key in keys if (row := self._cache.get(key)) is not None]
        return np.stack(found) if found else np.zeros((0, self.num_features), np.float32)

    def computed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns features, float32 [B, D], for images of the network's size, uint8 [B, H, W, 3], without the cache."""
        starts = range(0, len(images), self._batch_size)
        with evaluation_kernels(tf32=False), one_core_each(self._device) as run_all:
            batches = run_all(self._compute, [images[first : first + self._batch_size] for first in starts])
        return np.concatenate(batches)[: len(images)]

    def flush(self) -> None:
        """Writes new features to the cache folder."""
        self._cache.flush()
        self._flushed = perf_counter()

    def _compute(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns features of at most a batch of images, and of some again: other sizes of batches may round otherwise.

        A smaller batch is filled up, on a GPU to the next power of two.
        """
        on_cpu = self._device.type == "cpu"
        rows = np.resize(np.arange(len(images)), self._batch_size if on_cpu else 1 << (len(images) - 1).bit_length())
        batch = torch.from_numpy(images[rows]).permute(0, 3, 1, 2).to(self._device)  # B 3 H W, channels_last
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, self._autocast, enabled=self._autocast is not None),
        ):
            features: NDArray[np.float32] = self._network(self._preprocessing.normalize(batch)).float().cpu().numpy()
        return features

    def _digest(self, network: FeatureNetwork) -> str:
        """Returns a digest of what decides the features besides the image, to the last bit."""
        content = hashlib.sha256()
        for name, tensor in network.state_dict().items():
            content.update(name.encode())
            content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        images = self._preprocessing
        arithmetic = (torch.__version__, self._device.type, str(self._autocast))
        settings = (images.image_size, images.mean, images.std, self._batch_size, platform.machine(), *arithmetic)
        content.update(repr(settings).encode())
        return content.hexdigest()


def _shown(images: NDArray[np.uint8], *, mirrored: bool) -> NDArray[np.uint8]:
    """Returns some images, uint8 [B, H, W, 3], read from a file where they are in one."""
    read = np.array(images)
    return read[:, :, ::-1] if mirrored else read


def features_of(
    classifier: Classifier, images: NDArray[np.uint8], *, progress: ProgressCallback = no_progress
) -> NDArray[np.float32]:
    """Returns the features of images, float32 [N, D]; see `FeatureExtractor.all_of`.

    Raises:
        ModelError: when the network has no linear head.
    """
    return FeatureExtractor(classifier).all_of(images, progress)


def pretrained_classifier() -> Classifier:
    """Returns lite0 with its ImageNet weights as a classifier of their 1,000 classes, for its features.

    Raises:
        ModelError: when the weights are missing or damaged.
    """
    record = pretrained_record(LITE0)
    assert record is not None
    size, weights = record.image_size, pretrained_weights(LITE0, {}, record.image_size)
    num_classes = len(list(weights.state.values())[-1])
    with torch.random.fork_rng(devices=[]):
        model = build_model(LITE0, {}, num_classes=num_classes, image_size=size)
    model.load_state_dict(dict(weights.state))
    preprocessing = Preprocessing(size, record.fit, record.mean, record.std)
    return Classifier(model.eval(), tuple(map(str, range(num_classes))), preprocessing)
