"""The networks of timm (https://github.com/huggingface/pytorch-image-models), called `timm:<name>`.

timm is imported only when one of them is built. It needs torchvision, of the release that belongs to torch.

Shapes: B pictures, H×W pixels.
"""

from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.core.errors import ModelError, RecipeError
from tenfold.core.registry import did_you_mean

PREFIX = "timm:"

_DECIDED = ("num_classes", "in_chans", "img_size", "checkpoint_path")
"""Arguments of timm that the data decides, or that would make a model file depend on another file."""


def build_timm(name: str, arguments: Mapping[str, Any], *, classes: int, image_size: tuple[int, int]) -> nn.Module:
    """Builds a network of timm with fresh random weights, and tries it out on one picture.

    Args:
        name: as timm calls it, e.g. `resnet18`; `timm.list_models()` lists all.
        arguments: for timm, e.g. `{"drop_rate": 0.1}`.
        classes: number of classes.
        image_size: height and width of the pictures, in pixels.

    Raises:
        RecipeError: when timm has no such network, or an argument is not the recipe's to decide.
        ModelError: when timm cannot be imported, or no such network can exist for this picture size.
    """
    timm = _timm(name)
    _check(timm, name, arguments)
    # Only networks that are tied to one picture size take it as an argument.
    size = {"img_size": image_size} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=False, num_classes=classes, in_chans=3, **size, **arguments
        )
        logits = _try_out(model, image_size)
    except Exception as error:  # another's code, which can fail in any way
        raise ModelError(
            f"model '{PREFIX}{name}' cannot be built with {dict(arguments)} for pictures of "
            f"{image_size[0]}×{image_size[1]}: {_reason(error)}; other arguments or another data.image_size may do"
        ) from error
    if not isinstance(logits, Tensor) or logits.shape != (1, classes):
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"model '{PREFIX}{name}' returns {found} for a picture, expected [1, {classes}]; it is no classifier"
        )
    return _learning_from_single_values(model)


def _timm(name: str) -> ModuleType:
    try:
        import timm
    except Exception as error:  # a torchvision of another release than torch raises RuntimeError
        raise ModelError(
            f"model '{PREFIX}{name}' needs timm, which cannot be imported ({_reason(error)}); "
            f"run: pip install 'tenfold[timm]' and the torchvision that belongs to torch {torch.__version__}"
        ) from error
    module: ModuleType = timm
    return module


def _check(timm: ModuleType, name: str, arguments: Mapping[str, Any]) -> None:
    names = timm.list_models()
    if name not in names:
        meant = did_you_mean(name.partition(".")[0], names)  # behind the dot timm names pretrained weights
        raise RecipeError(f"timm {timm.__version__} has no network '{name}'{meant or '; timm.list_models() lists all'}")
    for key in arguments:
        if key in _DECIDED or key.startswith("pretrained"):
            raise RecipeError(
                f"model.{key} cannot be set: a network of timm is trained from scratch, "
                "for the classes and the picture size of the data"
            )


def _reason(error: Exception) -> str:
    """Returns the first line of a message, or the kind of an error without one."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".;:")


@torch.no_grad()
def _try_out(model: nn.Module, image_size: tuple[int, int]) -> object:
    """Returns what `model` makes of a grey picture; leaves it in training mode."""
    logits: object = model.eval()(torch.zeros(1, 3, *image_size))
    model.train()
    return logits


def _learning_from_single_values(model: nn.Module) -> nn.Module:
    """Returns `model`, whose batch normalisation takes a single value by the running statistics, as `blocks.Norm` does.

    Networks made for large pictures shrink small ones to 1×1, where a last batch of one has no deviation.
    """
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.__class__ = _lenient(type(layer))  # type: ignore[assignment, arg-type]
    return model


@cache
def _lenient(kind: type[nn.Module]) -> type[nn.Module]:
    """Returns a subclass of a batch normalisation, since timm has several, each with an activation of its own."""

    def forward(self: Any, input: Tensor, *rest: Any) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        if not self.training or input.numel() > self.num_features:
            return kind.forward(self, input, *rest)  # type: ignore[no-any-return]
        self.training = False
        try:
            return kind.forward(self, input, *rest)  # type: ignore[no-any-return]
        finally:
            self.training = True

    return type(kind.__name__, (kind,), {"forward": forward})
