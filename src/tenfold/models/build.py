"""The registry of networks; builds a network from its name and arguments."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from inspect import signature
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, ValidationError, validate_call
from torch import nn

from tenfold.core.errors import ModelError, RecipeError
from tenfold.core.registry import Registry, did_you_mean
from tenfold.models.timm_bridge import PREFIX, build_timm

PositiveInt = Annotated[int, Field(ge=1)]
"""Type of widths, depths and kernel sizes in the arguments of a builder; values below 1 are rejected."""

models: Registry[Callable[..., nn.Module]] = Registry("model", RecipeError)
"""Builders `(num_classes, image_size, **arguments) -> nn.Module`. The arguments are keys of a recipe's `[model]`."""


def build_model(name: str, arguments: Mapping[str, Any], *, num_classes: int, image_size: tuple[int, int]) -> nn.Module:
    """Builds the network called `name` with random weights, in float32 on the CPU.

    Args:
        name: name of a registered network, or `timm:<name>`; see `build_timm`.
        arguments: the other keys of `[model]`, passed to the builder.
        num_classes: number of classes, at least 2.
        image_size: height and width of the images, in pixels.

    Raises:
        RecipeError: when the name or an argument is unknown, or an argument has the wrong type or range.
        ModelError: when the network cannot have this image size.

    Example:
        >>> sum(p.numel() for p in build_model("tutorial", {}, num_classes=10, image_size=(32, 32)).parameters())
        62006
    """
    if name.startswith(PREFIX):
        return build_timm(name.removeprefix(PREFIX), arguments, num_classes=num_classes, image_size=image_size)
    check_names(name, arguments)
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(models.get(name))
    try:
        return checked(num_classes=num_classes, image_size=image_size, **arguments)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f"model.{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}") from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"model '{name}' cannot be built with {dict(arguments)}: {error}") from error


def default_arguments(name: str) -> dict[str, Any]:
    """Returns the arguments of the network called `name` with their defaults; none for a timm network.

    Raises:
        RecipeError: when there is no such network.

    Example:
        >>> default_arguments("mlp")
        {'hidden': (128, 64), 'dropout': 0.0}
    """
    if name.startswith(PREFIX):
        return {}
    parameters = signature(models.get(name)).parameters
    return {key: each.default for key, each in parameters.items() if key not in ("num_classes", "image_size")}


def check_names(name: str, arguments: Mapping[str, Any]) -> None:
    """Raises RecipeError when a network or one of its arguments is unknown; networks of timm are not looked up."""
    if name.startswith(PREFIX):
        return
    accepted = list(default_arguments(name))
    for key in arguments:
        if key not in accepted:
            raise RecipeError(
                f"model.{key} is not an argument of '{name}'{did_you_mean(key, accepted)} "
                f"(known: {', '.join(accepted) or 'none'})"
            )


def check_model(name: str, arguments: Mapping[str, Any], *, num_classes: int, image_size: tuple[int, int]) -> None:
    """Raises the errors that `build_model` would raise, for the same arguments.

    The random state is unchanged. No memory is allocated for weights, except by timm networks.
    """
    meta = torch.device("meta")
    # Some timm networks read tensor values while they are built; meta tensors have none.
    with torch.random.fork_rng(devices=[]), nullcontext() if name.startswith(PREFIX) else meta:
        build_model(name, arguments, num_classes=num_classes, image_size=image_size)
