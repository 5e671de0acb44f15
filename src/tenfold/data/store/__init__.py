"""Datasets decoded once, memory-mapped from the cache folder."""
