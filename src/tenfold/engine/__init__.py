"""Training: the loop, its step, and what a run needs to survive."""
