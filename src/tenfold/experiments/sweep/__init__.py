"""Many trials of one recipe: grids, searches, seeds, in worker processes."""
