"""HTML pages of runs, sweeps and dataset checks: one self-contained file each."""
