"""Networks: from normalized images to logits."""

from tenfold.models import resnet, speed, tutorial

__all__ = ["resnet", "speed", "tutorial"]  # importing them registers their networks
