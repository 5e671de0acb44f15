"""Networks: from normalized images to logits."""

from tenfold.models import efficientnet_lite, resnet, speed, tutorial

__all__ = ["efficientnet_lite", "resnet", "speed", "tutorial"]  # importing them registers their networks
