"""From a network's name and arguments to the network."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, ValidationError, validate_call
from torch import nn

from tenfold.core.errors import ModelError, RecipeError
from tenfold.core.registry import Registry, did_you_mean
from tenfold.models.timm_bridge import PREFIX, build_timm

AtLeastOne = Annotated[int, Field(ge=1)]
"""A width, a depth or the side of a kernel: refused below 1 before PyTorch meets it."""

models: Registry[Callable[..., nn.Module]] = Registry("model", RecipeError)
"""Builders `(classes, image_size, **arguments) -> nn.Module`; arguments are keys of a recipe's `[model]`."""


def build_model(name: str, arguments: Mapping[str, Any], *, classes: int, image_size: tuple[int, int]) -> nn.Module:
    """Builds the network called `name` with fresh random weights, in float32 on the CPU.

    Args:
        name: a registered network, or `timm:<name>`; see `build_timm`.
        arguments: further keys of `[model]`, for the network's builder.
        classes: number of classes, at least 2.
        image_size: height and width of the pictures, in pixels.

    Raises:
        RecipeError: when the name or an argument is unknown, or an argument has a wrong type or range.
        ModelError: when no such network can exist for this picture size.

    Example:
        >>> sum(p.numel() for p in build_model("tutorial", {}, classes=10, image_size=(32, 32)).parameters())
        62006
    """
    if name.startswith(PREFIX):
        return build_timm(name.removeprefix(PREFIX), arguments, classes=classes, image_size=image_size)
    builder = models.get(name)
    accepted = [key for key in builder.__annotations__ if key not in ("classes", "image_size", "return")]
    for key in arguments:
        if key not in accepted:
            raise RecipeError(
                f"model.{key} is no argument of '{name}'{did_you_mean(key, accepted)} "
                f"(known: {', '.join(accepted) or 'none'})"
            )
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(builder)
    try:
        return checked(classes=classes, image_size=image_size, **arguments)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f"model.{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}") from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"model '{name}' cannot be built with {dict(arguments)}: {error}") from error


def check_model(name: str, arguments: Mapping[str, Any], *, classes: int, image_size: tuple[int, int]) -> None:
    """Refuses what `build_model` would refuse; the arguments and errors are its own.

    The process's random numbers stay as they are, and but for a network of timm no weight takes memory or time.
    """
    meta = torch.device("meta")
    # A network of timm may look at values while it is built, which meta tensors do not have.
    with torch.random.fork_rng(devices=[]), nullcontext() if name.startswith(PREFIX) else meta:
        build_model(name, arguments, classes=classes, image_size=image_size)
