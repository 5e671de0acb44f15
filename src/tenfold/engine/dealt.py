"""Evaluation by several processes: each computes the logits of some whole batches, and all get those of all images.

No image is computed twice, and batches hold the same images as with one process, so the logits have the same bits.

Shapes: N images, H×W pixels, C classes.
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
from tenfold.runs.inference import default_batch_size


@dataclass(frozen=True)
class DealtClassifier(Classifier):
    """A classifier that several processes evaluate together. Every method that returns something is a collective.

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
