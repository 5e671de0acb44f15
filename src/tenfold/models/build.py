"""The registry of networks; builds a network from its name and arguments."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from inspect import signature
from reprlib import repr as short_repr
from threading import get_ident
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, ValidationError, validate_call
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from tenfold.core.errors import ModelError, RecipeError
from tenfold.core.registry import Registry, did_you_mean
from tenfold.models.timm_bridge import MAX_ARGUMENT, PREFIX, build_timm

PositiveInt = Annotated[int, Field(ge=1, le=MAX_ARGUMENT)]
"""Type of widths and kernel sizes in the arguments of a builder. The bound is far above what can be trained: it is for
recipes with a mistyped number and for model files that were made to fill the memory."""

Depth = Annotated[int, Field(ge=1, le=200)]
"""Type of a number of layers, each of which takes time to build."""

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
        raise RecipeError(
            f"model.{'.'.join(map(str, first['loc']))} = {short_repr(first['input'])}: {first['msg']}"
        ) from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"model '{name}' cannot be built with {dict(arguments)}: {error}") from error


@contextmanager
def limited_weights(state: Mapping[str, Tensor], source: str) -> Iterator[None]:
    """Ends the building of a network, in this thread, that is far larger than the weights that it will receive.

    A network may register some weights that it replaces or drops later, hence twice as many are allowed, and some more.

    Args:
        state: the weights by name.
        source: what the message calls their file.

    Raises:
        ModelError: in the block, before memory is filled.
    """
    thread, num_tensors, num_values = get_ident(), 0, 0
    total = sum(weight.numel() for weight in state.values())

    def count(module: nn.Module, name: str, weight: Tensor | None) -> None:
        nonlocal num_tensors, num_values
        if weight is None or get_ident() != thread:
            return
        num_tensors, num_values = num_tensors + 1, num_values + weight.numel()
        if num_tensors > 2 * len(state) + 1_000 or num_values > 2 * total + 10_000_000:
            raise ModelError(
                f"the network described in {source} is larger than its weights ({len(state):,} tensors with {total:,} "
                "values); the file is damaged or was made to fill the memory, get it again from a source you trust"
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


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
