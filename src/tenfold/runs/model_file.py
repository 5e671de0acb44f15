"""Model files: one `.safetensors` file with weights and everything needed to predict, and plain `.pth` files.

Tensors have their names in the `state_dict`. The metadata key `tenfold` holds a versioned JSON object, the `ModelCard`.
No code from a file is ever executed.
"""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.core import durable
from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import DataError, ModelError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.runs.checkpoint import tensors_to_save

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
_KEY = "tenfold"
# The limit of safetensors.
_MAX_HEADER_BYTES = 100_000_000
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys of checkpoints


@dataclass(frozen=True)
class ModelCard:
    """Description of a model: everything besides the weights that is needed to use it.

    Args:
        architecture: registered name of the network.
        arguments: arguments of the network's builder, as JSON values.
        classes: class names in the order of the logits.
        preprocessing: turns an image into the network's input.
        recipe: the training recipe, as JSON values.
        metrics: results of the model, as plain numbers.
        temperature: divisor of the logits that calibrates the probabilities, above 0; None for a model without one.
        format_version: version of the file format.
    """

    architecture: str
    arguments: dict[str, Any]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    recipe: dict[str, Any]
    metrics: dict[str, Any]
    temperature: float | None = None
    format_version: int = FORMAT_VERSION

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON object, which `from_json` reads."""
        return {
            "format_version": self.format_version,
            "architecture": {"name": self.architecture, "arguments": self.arguments},
            "classes": list(self.classes),
            "preprocessing": self.preprocessing.to_json(),
            "recipe": self.recipe,
            "metrics": self.metrics,
            **({} if self.temperature is None else {"temperature": self.temperature}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ModelCard":
        """Returns the card for a JSON object of `to_json`.

        Raises:
            ModelError: when its version is newer, or a key is missing or invalid. The message does not name the file.
        """
        try:
            version = int(value["format_version"])
            if version > FORMAT_VERSION:
                raise ModelError(
                    f"has format version {version}, expected at most {FORMAT_VERSION}; "
                    "it was written by a newer tenfold, update yours"
                )
            return cls(
                architecture=str(value["architecture"]["name"]),
                arguments=dict(value["architecture"]["arguments"]),
                classes=_class_names(value["classes"]),
                preprocessing=Preprocessing.from_json(value["preprocessing"]),
                recipe=dict(value["recipe"]),
                metrics=dict(value["metrics"]),
                temperature=_temperature(value.get("temperature")),
                format_version=version,
            )
        except (KeyError, TypeError, ValueError, DataError) as error:
            raise ModelError(f"has a damaged description ({error!r}); get the file again") from error


def save_model(path: Path, state: Mapping[str, "Tensor"], card: ModelCard) -> None:
    """Writes a model file durably.

    Args:
        path: the file, ending in `.safetensors`; its folder must exist.
        state: the network's `state_dict`, on any device and with any layout.
        card: see `ModelCard`.

    Raises:
        StorageError: when writing fails. The old file stays.
        ValueError: when the card contains NaN or infinity.
    """
    from safetensors.torch import save

    description = json.dumps(card.to_json(), ensure_ascii=True, allow_nan=False)
    # A single key: safetensors writes several in random order, and equal models must give equal files.
    durable.write_bytes(path, save(tensors_to_save(state), metadata={_KEY: description}))


def load_model(path: Path) -> tuple[dict[str, "Tensor"], ModelCard]:
    """Reads a model file.

    Returns:
        The `state_dict` on the CPU, and the card.

    Raises:
        ModelError: when the file is missing, truncated, damaged, not from Tenfold or in a newer format.
        StorageError: when it cannot be read.
    """
    state, card = read_safetensors(path)
    if card is not None:
        return state, card
    raise ModelError(
        f"{display_path(path)} contains weights without a description of their network, expected a file written by "
        "tenfold; for plain weights use a .pth file and name its network with --model"
    )


def read_safetensors(path: Path) -> tuple[dict[str, "Tensor"], ModelCard | None]:
    """Reads a `.safetensors` file of any origin.

    Returns:
        Tensors by name, on the CPU, and the card of a file that Tenfold has written.

    Raises:
        ModelError: when the file is missing, truncated or damaged, or in a newer format of Tenfold's.
        StorageError: when it cannot be read.
    """
    data = _read(path)
    try:
        description = _read_header(data).get("__metadata__", {}).get(_KEY)
        card = None if description is None else ModelCard.from_json(_json_object(description))
        state = _tensors(data)
        _check_finite(state)
        return state, card
    except ModelError as error:
        raise ModelError(f"{display_path(path)} {error}") from error


def read_state_dict(path: Path) -> dict[str, "Tensor"]:
    """Reads a plain `.pth` file, `torch.save(model.state_dict(), path)` or a checkpoint. Executes no code from it.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        ModelError: when the file is missing, damaged, or not a mapping from names to tensors.
        StorageError: when it cannot be read.
    """
    import torch

    data = _read(path)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise any error
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
        found = f"found '{forbidden[1]}', which could run code" if forbidden else "it is damaged or another file type"
        raise ModelError(
            f"{display_path(path)} cannot be loaded: {found}; "
            "expected a file written by torch.save(model.state_dict(), …)"
        ) from error
    return _checked(state, path)


def write_state_dict(path: Path, state: Mapping[str, "Tensor"]) -> None:
    """Writes a plain `.pth` file durably, like `torch.save(model.state_dict(), path)`.

    Args:
        path: the file; its folder must exist.
        state: tensors by name, on any device.

    Raises:
        StorageError: when writing fails. The old file stays.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(tensors_to_save(state), buffer)
    durable.write_bytes(path, buffer.getvalue())


def _class_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("classes must be a list of names")
    twice = sorted(name for name, count in Counter(value).items() if count > 1)
    if twice:
        raise ModelError(f"has the class {twice[0]!r} more than once; expected different names, get the file again")
    return tuple(value)


def _temperature(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"temperature is {value!r}; expected a number above 0")
    return float(value)


def _read(path: Path) -> bytes:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise ModelError(f"{display_path(path)} {found}; expected a model file")
    with storage_errors("read", path):
        return path.read_bytes()


def _read_header(data: bytes) -> dict[str, Any]:
    """Returns the JSON header of a safetensors file; raises ModelError without the file name."""
    if data[:2] in (b"PK", b"\x80\x02"):
        raise ModelError("is a PyTorch file, expected .safetensors; name its network with --model")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > _MAX_HEADER_BYTES or data[8:9] not in (b"{", b""):
        raise ModelError("is not a safetensors file, expected a model written by tenfold; check the path")
    if len(data) < 8 + length:
        raise ModelError(_truncated(len(data), 8 + length))
    header = _json_object(data[8 : 8 + length])
    ends = [
        entry["data_offsets"][1]
        for name, entry in header.items()
        if name != "__metadata__" and isinstance(entry, dict) and "data_offsets" in entry
    ]
    if len(data) < 8 + length + max(ends, default=0):
        raise ModelError(_truncated(len(data), 8 + length + max(ends)))
    return header


def _truncated(found: int, expected: int) -> str:
    return f"is truncated: found {found} bytes, expected {expected} or more; get the file again"


def _json_object(text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError("has a damaged header, expected JSON; get the file again") from error
    if not isinstance(value, dict):
        raise ModelError("has a damaged header, expected a JSON object; get the file again")
    return value


def _tensors(data: bytes) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors: dict[str, Tensor] = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"has a damaged header ({error}); get the file again") from error
    return tensors


def _checked(state: object, path: Path) -> dict[str, "Tensor"]:
    """Returns the value as a dict of tensors; raises ModelError when it is something else."""
    import torch

    expected = "expected tensors by name, as in model.state_dict()"
    wrapped = (state.get(key) for key in _WRAPPERS) if isinstance(state, Mapping) else ()
    state = next((value for value in wrapped if isinstance(value, Mapping)), state)
    if not isinstance(state, Mapping):
        raise ModelError(f"{display_path(path)} contains a {type(state).__name__}; {expected}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelError(f"{display_path(path)} contains a {type(value).__name__} under {name!r}; {expected}")
        # A tensor may repeat few stored values, and claim terabytes.
        if value.layout != torch.strided or value.nbytes > value.untyped_storage().nbytes():
            raise ModelError(f"{display_path(path)} does not store every value of {name!r}; {expected}")
    tensors = {name: value.detach() for name, value in state.items()}
    try:
        _check_finite(tensors)
    except ModelError as error:
        raise ModelError(f"{display_path(path)} {error}") from error
    return tensors


def _check_finite(state: Mapping[str, "Tensor"]) -> None:
    """Raises ModelError, without the file name, when a weight is not a finite number: it would predict nothing."""
    for name, weight in state.items():
        values = weight.float() if weight.is_floating_point() and weight.itemsize == 1 else weight
        if not values.isfinite().all():
            raise ModelError(
                f"has weights that are not finite numbers, in {name!r}: training has diverged, or the file is damaged; "
                "use an earlier file or train again with a smaller learning rate (--lr)"
            )
