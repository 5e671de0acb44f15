"""Networks: normalised pictures in, logits out."""

from tenfold.models import speed, tutorial

__all__ = ["speed", "tutorial"]  # importing them registers their networks
