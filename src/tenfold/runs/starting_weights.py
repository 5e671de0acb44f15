"""The weights that a recipe's network starts from: published ones, a file, or another model of Tenfold's."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from tenfold.core.disk import display_path, expanded, storage_errors
from tenfold.core.errors import ModelError, RecipeError
from tenfold.core.text import escaped
from tenfold.models.pretrained import pretrained_record, pretrained_weights
from tenfold.models.weights import Weights, WeightsRecord
from tenfold.recipes.schema import ModelSection
from tenfold.runs.artifact import CUSTOM_ARCHITECTURE
from tenfold.runs.model_file import ModelCard, read_safetensors, read_state_dict

_PICKLED = (".pth", ".pt", ".bin")


def starting_weights(model: ModelSection, image_size: tuple[int, int]) -> Weights | None:
    """Returns the weights that the network of a recipe starts from; None for random ones.

    Args:
        model: of the recipe.
        image_size: height and width of the images, in pixels.

    Raises:
        RecipeError: when there are no published weights for the network.
        ModelError: when they are missing, damaged, of another network, or not the file that the recipe means.
        StorageError: when they cannot be read.
    """
    if model.pretrained:
        return pretrained_weights(model.name, model.arguments, image_size)
    if not model.weights:
        return None
    state, card = _read(model)
    return Weights(state, escaped(display_path(expanded(model.weights))), None if card is None else card.classes)


def weights_record(model: ModelSection) -> WeightsRecord | None:
    """Returns the record of the weights that the network of a recipe starts from.

    A file without a record has that of the weights that are published for its network. None if there are none, or the
    network starts from random weights.

    Raises:
        TenfoldError: see `starting_weights`.
    """
    card = _read(model)[1] if model.weights else None
    if card is not None:
        images = card.preprocessing
        return WeightsRecord(images.image_size, images.fit, images.mean, images.std)
    if not model.starts_from_weights:
        return None
    record = pretrained_record(model.name)
    if record is None and model.pretrained:
        pretrained_weights(model.name, model.arguments, (0, 0))  # says what there is instead
    return record


def needed_record(model: ModelSection) -> WeightsRecord:
    """Returns the record of the weights where images are normalized by it.

    Raises:
        RecipeError: when they have none.
        TenfoldError: see `starting_weights`.
    """
    record = weights_record(model)
    if record is None:
        raise RecipeError(
            f"the weights in {escaped(model.weights)} do not say how their images were normalized; set data.normalize "
            "to half, data, or {mean = [r, g, b], std = [r, g, b]}"
        )
    return record


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file.

    Raises:
        ModelError: when there is no such file.
        StorageError: when it cannot be read.
    """
    if not path.is_file():
        found = "is a folder; expected a file, or a run folder with --from" if path.is_dir() else "does not exist"
        raise ModelError(f"model.weights: {escaped(display_path(path))} {found}")
    with storage_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(model: ModelSection) -> tuple[Mapping[str, Tensor], ModelCard | None]:
    path = expanded(model.weights)
    name = escaped(display_path(path))
    found = sha256_of(path)
    if model.weights_sha256 not in ("", found):
        raise ModelError(
            f"{name} has SHA-256 {found}, but the recipe means {escaped(model.weights_sha256)}: the file has changed; "
            "restore it, or name it again: --set model.weights=FILE"
        )
    if path.suffix in _PICKLED:
        return read_state_dict(path), None
    if path.suffix != ".safetensors":
        raise RecipeError(f"model.weights is {name}; expected a file that ends in .safetensors, {', '.join(_PICKLED)}")
    state, card = read_safetensors(path)
    if card is not None and card.architecture not in (model.name, CUSTOM_ARCHITECTURE):
        raise ModelError(
            f"{name} holds the network '{card.architecture}', but model.name is '{model.name}'; expected the same: "
            f"--from {name} takes the network over too"
        )
    return state, card
