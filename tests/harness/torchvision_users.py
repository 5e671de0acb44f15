"""Imports libraries that import torchvision, beside any build of torch."""

import sys
from functools import cache
from importlib import import_module
from types import ModuleType

from torch.library import Library

_OPERATORS = Library("torchvision", "FRAGMENT")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_with_torchvision(name: str) -> ModuleType:
    """Imports a library, and where needed first declares the operators that torchvision looks up on import.

    torchvision has no build that matches the CPU build of torch, so its own operators cannot be loaded there. timm and
    torchmetrics use none of them.

    Args:
        name: full name of the module, such as `timm`.
    """
    try:
        return import_module(name)
    except RuntimeError:  # operator torchvision::nms does not exist
        halves = (name.split(".")[0], "torchvision")
        for module in [module for module in sys.modules if module.split(".")[0] in halves]:
            del sys.modules[module]
        for operator in ("nms", "qnms"):
            _OPERATORS.define(operator + _SCHEMA)
        return import_module(name)


@cache
def torchmetrics() -> ModuleType:
    """Returns the classification functions of torchmetrics, whose import takes seconds, for the tests that use them."""
    return import_with_torchvision("torchmetrics.functional.classification")
