"""Simulated test results of settings and seeds, with a known truth. R experiments, K settings, S seeds, N images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Simulation(NamedTuple):
    """Accuracies of the runs and the fraction of the seeds that predicted each image correctly."""

    accuracies: Array  # R K S
    correct: Array  # R K N


def simulate(
    num_experiments: int,
    num_settings: int,
    num_seeds: int,
    num_images: int,
    *,
    seed_std: float,
    accuracy: float = 0.9,
    noisy: float = 1.0,
    gain: float = 0.0,
    seed: int = 0,
) -> Simulation:
    """Draws images of different difficulty, runs of different quality, and whether each run is right on each image.

    Args:
        num_experiments: R.
        num_settings: K, all equally good but for `gain`.
        num_seeds: S.
        num_images: N, drawn anew in each experiment.
        seed_std: standard deviation of a run's true accuracy between seeds.
        accuracy: mean over all images; the probability to be right on an image has a beta distribution around it.
        noisy: factor of `seed_std` for the last setting.
        gain: true accuracy of the first setting minus that of the others.
        seed: of the generator.
    """
    generator = np.random.default_rng(seed)
    shape = (num_experiments, num_settings, num_seeds)
    images = generator.beta(accuracy, 1 - accuracy, (num_experiments, 1, num_images)).astype(np.float32)
    runs = generator.normal(0, seed_std, shape).astype(np.float32)
    runs[:, -1] *= noisy
    runs[:, 0] += gain
    weights = images * (1 - images)  # a better run gains on images that are neither easy nor hopeless
    weights /= weights.mean(-1, keepdims=True)
    accuracies, correct = np.empty(shape), np.zeros((num_experiments, num_settings, num_images))
    for s in range(num_seeds):
        right = generator.random(correct.shape, dtype=np.float32) < images + runs[:, :, s, None] * weights
        accuracies[:, :, s] = right.mean(-1)
        correct += right / num_seeds
    return Simulation(accuracies, correct)
