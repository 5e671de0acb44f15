"""Datasets: sources, decoding, stores, splits, and batches on the device."""
