"""Networks of timm (https://github.com/huggingface/pytorch-image-models), named `timm:<name>`.

timm is imported only when such a network is built. It needs the torchvision release that matches torch. Weights come
from the cache of the Hugging Face hub, or from the hub itself.

Shapes: B images, H×W pixels.
"""

import socket
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn

from tenfold.core.errors import ModelError, RecipeError
from tenfold.core.registry import did_you_mean
from tenfold.core.text import one_line, size_text
from tenfold.models.weights import Weights, WeightsRecord

PREFIX = "timm:"

MAX_ARGUMENT = 65_536
"""Largest number in the arguments of a network; the largest width or depth that anyone could mean is far below."""

_RESERVED_ARGUMENTS = ("num_classes", "in_chans", "img_size", "checkpoint_path")
"""Arguments of timm that the data determines, or that would make a model file depend on another file."""


def build_timm(name: str, arguments: Mapping[str, Any], *, num_classes: int, image_size: tuple[int, int]) -> nn.Module:
    """Builds a network of timm with random weights and tests it on one image.

    Args:
        name: name in timm, such as `resnet18`; `timm.list_models()` lists all. A name of weights after a dot, as in
            `resnet18.a1_in1k`, makes no difference here.
        arguments: arguments for timm, such as `{"drop_rate": 0.1}`.
        num_classes: number of classes.
        image_size: height and width of the images, in pixels.

    Raises:
        RecipeError: when timm has no such network, or an argument cannot be set in a recipe.
        ModelError: when timm cannot be imported, or the network cannot have this image size.
    """
    timm = _timm(name)
    _check(timm, name, arguments)
    # Only networks with a fixed image size take it as an argument.
    size = {"img_size": image_size} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=False, num_classes=num_classes, in_chans=3, **size, **arguments
        )
        logits = _test_forward(model, image_size)
    except Exception as error:  # external code can raise any error
        raise ModelError(
            f"model '{PREFIX}{name}' cannot be built with {dict(arguments)} for images of "
            f"{size_text(image_size)}: {_reason(error)}; try other arguments or another data.image_size"
        ) from error
    if not isinstance(logits, Tensor) or logits.shape != (1, num_classes):
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"model '{PREFIX}{name}' returns {found} for an image, expected [1, {num_classes}]; it is not a classifier"
        )
    return _allow_single_values(model)


def timm_record(name: str) -> WeightsRecord | None:
    """Returns the record of the weights of a network, or None if timm has none for it.

    Args:
        name: name in timm; a name of weights may follow after a dot, otherwise they are timm's default for it.

    Raises:
        ModelError: when timm cannot be imported.
        RecipeError: when timm has no such network.
    """
    timm = _timm(name)
    _check_name(timm, name)
    record = timm.get_pretrained_cfg(name)
    if record is None or not (record.hf_hub_id or record.url or record.file):
        return None
    fit = {"squash": "stretch", "border": "pad"}.get(record.crop_mode, "crop")
    if fit == "crop":
        fit = f"crop:{record.crop_pct:g}" + f":{record.interpolation}" * (record.interpolation != "bicubic")
    height, width = record.input_size[1:]
    (red, green, blue), (red_std, green_std, blue_std) = record.mean, record.std
    return WeightsRecord((height, width), fit, (red, green, blue), (red_std, green_std, blue_std))


def timm_weights(name: str, arguments: Mapping[str, Any], image_size: tuple[int, int]) -> Weights:
    """Returns the pretrained weights of a network, from the hub's cache or from the hub.

    Args:
        name: see `timm_record`.
        arguments: see `build_timm`.
        image_size: height and width of the images, in pixels; position embeddings are resampled to it.

    Raises:
        RecipeError: when timm has no such network, or no weights for it.
        ModelError: when timm cannot be imported, the weights can neither be found nor downloaded, or do not fit.
    """
    timm = _timm(name)
    _check(timm, name, arguments)
    if timm_record(name) is None:
        raise RecipeError(f"timm {timm.__version__} has no weights for '{name}'; leave model.pretrained out")
    size = {"img_size": image_size} if timm.get_pretrained_cfg_value(name, "fixed_input_size") else {}
    try:
        file = _cached_file(timm, name)
        with torch.random.fork_rng(devices=[]):
            model = timm.create_model(
                name, pretrained=True, pretrained_cfg_overlay=file, in_chans=3, **size, **arguments
            )
    except Exception as error:  # the hub's client and timm can raise any error
        raise ModelError(_not_loaded(timm, name, error)) from error
    return Weights(model.state_dict(), f"{PREFIX}{name}")


def _cached_file(timm: ModuleType, name: str) -> dict[str, str]:
    """Returns the file of weights in the hub's cache, so that the hub is not asked; empty if it must be.

    Raises:
        OSError: when there is no such file and the hub's address is unknown here: its client would try for a minute.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    hub = timm.get_pretrained_cfg_value(name, "hf_hub_id")
    file_name = timm.get_pretrained_cfg_value(name, "hf_hub_filename") or "model.safetensors"
    if not hub:
        return {}
    file = try_to_load_from_cache(hub, file_name)
    if isinstance(file, str) and file.endswith(".safetensors"):
        return {"file": file}
    if not getproxies():
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    return {}


def _not_loaded(timm: ModuleType, name: str, error: Exception) -> str:
    if isinstance(error, RuntimeError) and "state_dict" in str(error):
        return f"the weights of '{PREFIX}{name}' do not fit the arguments: {one_line(str(error))[:300]}"
    hub = timm.get_pretrained_cfg_value(name, "hf_hub_id")
    return (
        f"the weights of '{PREFIX}{name}' are not in the cache of the Hugging Face hub and cannot be downloaded "
        f"({_reason(error)[:200]}); connect to the network once, or get model.safetensors of "
        f"https://huggingface.co/{hub} elsewhere: --set model.weights=FILE instead of model.pretrained"
    )


def _timm(name: str) -> ModuleType:
    try:
        import timm
    except Exception as error:  # a torchvision that does not match torch raises RuntimeError
        raise ModelError(
            f"model '{PREFIX}{name}' needs timm, which cannot be imported ({_reason(error)}); "
            f"run: pip install -e '.[timm]' and the torchvision that matches torch {torch.__version__}"
        ) from error
    module: ModuleType = timm
    return module


def _check_name(timm: ModuleType, name: str) -> None:
    network, dot, _ = name.partition(".")
    names = timm.list_models()
    if network not in names:
        suggestion = did_you_mean(network, names)
        raise RecipeError(
            f"timm {timm.__version__} has no network '{name}'{suggestion or '; timm.list_models() lists all'}"
        )
    if dot and name not in (tagged := timm.list_pretrained(f"{network}.*")):
        raise RecipeError(
            f"timm {timm.__version__} has no weights '{name}'{did_you_mean(name, tagged)} "
            f"(known: {', '.join(tagged) or 'none for this network'})"
        )


def _check(timm: ModuleType, name: str, arguments: Mapping[str, Any]) -> None:
    _check_name(timm, name)
    for key, value in arguments.items():
        if any(abs(number) > MAX_ARGUMENT for number in _numbers(value)):
            raise RecipeError(
                f"model.{key} has a number above {MAX_ARGUMENT:,}; expected a width or depth of a network"
            )
        if key in _RESERVED_ARGUMENTS or key.startswith("pretrained"):
            raise RecipeError(
                f"model.{key} cannot be set: the data determines a network's classes and image size, and its weights "
                "come by model.pretrained = true or model.weights"
            )


def _numbers(value: object) -> Iterator[float]:
    """Yields the numbers in an argument, also those in lists and mappings."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, Mapping):
        yield from _numbers(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _numbers(each)


def _reason(error: Exception) -> str:
    """Returns the first line of an error message, or the class name of an error without a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".;:")


@torch.no_grad()
def _test_forward(model: nn.Module, image_size: tuple[int, int]) -> object:
    """Returns the output of `model` for an image of zeros. The model is in training mode afterwards."""
    logits: object = model.eval()(torch.zeros(1, 3, *image_size))
    model.train()
    return logits


def _allow_single_values(model: nn.Module) -> nn.Module:
    """Makes the batch norms of `model` use the running statistics for a single value, as `blocks.BatchNorm` does.

    Networks made for large images shrink small ones to 1×1, where a last batch of one image has no variance.
    """
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.__class__ = _single_value_norm(type(layer))  # type: ignore[assignment, arg-type]
    return model


@cache
def _single_value_norm(kind: type[nn.Module]) -> type[nn.Module]:
    """Returns such a subclass of a batch-norm class; timm has several, each with its own activation."""

    def forward(self: Any, input: Tensor, *rest: Any) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        if not self.training or input.numel() > self.num_features:
            return kind.forward(self, input, *rest)  # type: ignore[no-any-return]
        self.training = False
        try:
            return kind.forward(self, input, *rest)  # type: ignore[no-any-return]
        finally:
            self.training = True

    return type(kind.__name__, (kind,), {"forward": forward})
