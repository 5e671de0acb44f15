"""Benchmark of photos: whole commands with and without known features, and the speed of the features.

B images in a batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.core.cache import cache_folder
from tenfold.core.progress import Progress
from tenfold.experiments.bench.loading import empty_cache
from tenfold.experiments.bench.timed_runs import TimedRun, run_tenfold, summarize_runs
from tenfold.experiments.bench.timing import NUM_ROUNDS, Samples, measure_in_turns
from tenfold.runs.features import FeatureExtractor, pretrained_classifier

_SIDES = (128, 160, 224)
_NUM_IMAGES = 32


@dataclass(frozen=True)
class Throughput:
    """Speed of the features at one image size.

    Args:
        side: of the images, in pixels.
        features: images per second of a `FeatureExtractor`.
        plain: images per second of the same network as PyTorch runs it.
    """

    side: int
    features: Samples
    plain: Samples

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {"side": self.side, "features": self.features.to_json(), "plain": self.plain.to_json()}


@dataclass(frozen=True)
class PhotoBench:
    """How long training on photos takes.

    Args:
        recipe: its name.
        data: name of the dataset.
        first: whole commands that computed all features.
        again: whole commands that found them in the cache folder.
        throughput: speed of the features by image size.
    """

    recipe: str
    data: str
    first: tuple[TimedRun, ...]
    again: tuple[TimedRun, ...]
    throughput: tuple[Throughput, ...]

    def protocol(self) -> list[str]:
        """Returns sentences that say what was timed and what was not."""
        return [
            f"{len(self.first)} whole commands of `tenfold train` with an empty cache of features, each followed by "
            "one that finds them there: wall time from the start of the process to its end, with import, evaluation "
            "and saving, without charts; one seed for each pair",
            "not timed: preparing the images, which were in their store before",
            f"images/s: {_NUM_IMAGES} images of noise through EfficientNet-Lite0 without its head, beside the same "
            f"network as PyTorch runs it, one batch in evaluation mode; in turns, {NUM_ROUNDS} rounds after a warm-up",
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain values, every single run included."""
        return {
            "benchmark": "photo",
            "recipe": self.recipe,
            "data": self.data,
            "protocol": self.protocol(),
            "first": summarize_runs(self.first),
            "again": summarize_runs(self.again),
            "throughput": [one.to_json() for one in self.throughput],
        }


def time_photo_runs(
    recipe: str, flags: Sequence[str], num_runs: int, progress: Progress
) -> tuple[tuple[TimedRun, ...], tuple[TimedRun, ...]]:
    """Runs `tenfold train` several times, each seed with an empty cache of features and again with a full one.

    Args:
        recipe: name of a shipped recipe, or a TOML file.
        flags: further options, such as `--data`.
        num_runs: at least 1.
        progress: shows each run.

    Raises:
        TrainingError: when a run fails.
    """
    first: list[TimedRun] = []
    again: list[TimedRun] = []
    with TemporaryDirectory(prefix="tenfold-bench-") as folder:
        for seed in range(num_runs):
            with _without_features():
                for runs, what in ((first, "features computed"), (again, "features known")):
                    runs.append(run_tenfold(recipe, flags, seed, Path(folder)))
                    progress.message(f"seed {seed}, {what}: {runs[-1]}")
    return tuple(first), tuple(again)


@contextmanager
def _without_features() -> Iterator[None]:
    """Gives the processes of the block a cache folder with all that is known, except for features."""
    known = [path for path in cache_folder().glob("*") if path.name != "features"]
    with empty_cache() as folder:
        for path in known:
            (folder / path.name).symlink_to(path)
        yield


def measure_features(seconds: float, sides: Sequence[int] = _SIDES) -> tuple[Throughput, ...]:
    """Measures features of lite0 on the CPU in turns with the plain network.

    Args:
        seconds: measuring time for each side and each of the two, above 0.
        sides: of the images, in pixels.

    Raises:
        ModelError: when the weights of lite0 are missing or damaged.
    """
    return tuple(_throughput(side, seconds) for side in sides)


def _throughput(side: int, seconds: float) -> Throughput:
    classifier = pretrained_classifier()
    images = replace(classifier.preprocessing, image_size=(side, side))
    classifier = replace(classifier, preprocessing=images)
    extractor, device = FeatureExtractor(classifier), torch.device("cpu")
    generator = np.random.default_rng(0)
    pixels: NDArray[np.uint8] = generator.integers(0, 256, (_NUM_IMAGES, side, side, 3), dtype=np.uint8)

    def features() -> None:
        extractor.computed(pixels)

    def plain() -> None:
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()  # B 3 H W
        with torch.inference_mode():
            classifier.model((batch.float() / 255 - 0.5) / 0.5)

    times = measure_in_turns([features, plain], device, seconds)
    ours, theirs = (Samples(tuple(_NUM_IMAGES / value for value in each.values)) for each in times)
    return Throughput(side, ours, theirs)
