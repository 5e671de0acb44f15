"""Which images are the same, or nearly the same."""
