"""Sweeps: many trials of one recipe (grids, searches, seeds) in worker processes."""
