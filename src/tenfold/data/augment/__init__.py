"""Augmentation of training images, for whole batches on any device."""

from tenfold.data.augment.augmentation import Augmentation

__all__ = ["Augmentation"]
