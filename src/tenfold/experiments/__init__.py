"""Several runs with a question: sweeps, searches and comparisons."""
