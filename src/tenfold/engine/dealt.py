"""Evaluation and features by several processes: each computes some, and all get those of all images.

No image is computed twice, and the results have the bits of one process. A user's own network on CPUs rounds by the
number of threads, as everywhere.

Shapes: N images, B in a batch, H×W pixels, C classes, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.data.share import part
from tenfold.engine.distributed import ALONE, Processes
from tenfold.runs.artifact import Classifier
from tenfold.runs.features import FeatureExtractor
from tenfold.runs.inference import default_batch_size


@dataclass(frozen=True)
class DealtClassifier(Classifier):
    """A classifier that several processes evaluate together: each computes some whole batches.

    Every method that returns something is a collective.

    Args:
        processes: that hold the same network.
    """

    processes: Processes = ALONE

    @classmethod
    def of(cls, classifier: Classifier, processes: Processes) -> "DealtClassifier":
        """Returns the same classifier, evaluated together."""
        values = {field.name: getattr(classifier, field.name) for field in fields(Classifier)}
        return cls(**values, processes=processes)

    def tta_logits(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Returns the logits of all images; see `Classifier.tta_logits`."""
        world = self.processes.world
        size = self.batch_size or default_batch_size(self.model, self.preprocessing.image_size)
        num_batches = -(-len(images) // size)
        shares = [part(num_batches, rank, world.size) for rank in range(world.size)]  # batches
        rows = [range(batches.start * size, min(batches.stop * size, len(images))) for batches in shares]
        own = rows[world.rank]
        both = torch.zeros(0, 2, len(self.classes))
        if len(own):
            both = torch.stack(super().tta_logits(images[own.start : own.stop]), 1)  # n 2 C
        averaged, plain = self.processes.gather_rows(both, [max(0, len(part)) for part in rows]).unbind(1)
        return averaged, plain

    def save(self, path: Path, *, architecture: str, arguments: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
        """Writes a model file on rank 0; see `Classifier.save`."""
        if self.processes.is_main:
            super().save(path, architecture=architecture, arguments=arguments, metrics=metrics)

    def load_weights(self, path: Path) -> None:
        """Loads the weights of a model file on rank 0, for all processes; see `Classifier.load_weights`."""
        self.processes.from_main(lambda: super(DealtClassifier, self).load_weights(path))
        self.processes.broadcast_tensors([*self.model.parameters(), *self.model.buffers()])


class DealtExtractor(FeatureExtractor):
    """Computes features together: rank 0 knows which are missing, and alone writes them to the cache folder.

    Args:
        classifier: evaluated together.
        autocast: see `FeatureExtractor`.
    """

    def __init__(self, classifier: DealtClassifier, autocast: torch.dtype | None = None) -> None:
        super().__init__(classifier, autocast)
        self._processes = classifier.processes

    def computed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns features of all images, float32 [B, D], of which this process computes some."""
        world = self._processes.world
        parts = [part(len(images), rank, world.size) for rank in range(world.size)]
        own, rows = parts[world.rank], torch.zeros(0, self.num_features)
        if len(own):
            rows = torch.from_numpy(super().computed(images[own.start : own.stop]))
        found: NDArray[np.float32] = self._processes.gather_rows(rows, list(map(len, parts))).numpy()
        return found

    def flush(self) -> None:
        """Writes new features to the cache folder of rank 0."""
        if self._processes.is_main:
            super().flush()

    def _missing(self, keys: list[bytes]) -> list[int]:
        return self._processes.broadcast_object(super()._missing(keys))

    def _rows(self, keys: list[bytes]) -> NDArray[np.float32]:
        rows = super()._rows(keys) if self._processes.is_main else np.zeros((len(keys), self.num_features), np.float32)
        self._processes.broadcast_tensors([torch.from_numpy(rows)])
        return rows


def feature_extractor(classifier: Classifier, autocast: torch.dtype | None) -> FeatureExtractor:
    """Returns the extractor of a classifier: one for all processes, where several evaluate it together."""
    if isinstance(classifier, DealtClassifier):
        return DealtExtractor(classifier, autocast)
    return FeatureExtractor(classifier, autocast)
