"""The pages that a run, or a family of runs, is read on: one HTML file each, with everything in it."""
