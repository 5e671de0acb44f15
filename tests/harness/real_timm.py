"""Imports timm beside any build of torch."""

import sys
from importlib import import_module
from types import ModuleType

from torch.library import Library

_OPERATORS = Library("torchvision", "FRAGMENT")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_timm() -> ModuleType:
    """Imports timm, and first declares the operators that torchvision looks up on import.

    torchvision has no build that matches the CPU build of torch, so its own operators cannot be loaded there. timm uses
    none of them.
    """
    try:
        return import_module("timm")
    except RuntimeError:  # operator torchvision::nms does not exist
        for name in [name for name in sys.modules if name.split(".")[0] in ("timm", "torchvision")]:
            del sys.modules[name]
        for name in ("nms", "qnms"):
            _OPERATORS.define(name + _SCHEMA)
        return import_module("timm")
