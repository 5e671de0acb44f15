"""Checkpoints that survive kills, power losses and damaged files.

    checkpoints/step-00000500/    model.safetensors … state.json manifest.json
    checkpoints/step-00000500-2/  the same step with other content: nothing is overwritten

A checkpoint is complete or absent. Two are kept. The newest is the one with the highest step number; no clock is used.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tenfold.core import durable
from tenfold.core.disk import display_path, storage_errors
from tenfold.core.errors import RunError, StorageError

if TYPE_CHECKING:
    from torch import Tensor

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"

FORMAT_VERSION = 1
_NAME = re.compile(r"step-(\d{8,})(?:-(\d+))?")
_STATE = "state.json"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint.

    Args:
        step: number of steps when it was saved.
        tensors: by group name and tensor name, contiguous, on the CPU.
        state: the saved state after JSON's conversions (tuples become lists, keys become strings).
        warnings: one sentence for each newer checkpoint that was skipped.
    """

    step: int
    tensors: dict[str, dict[str, "Tensor"]]
    state: dict[str, Any]
    warnings: tuple[str, ...] = ()


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, "Tensor"]], state: Mapping[str, JSON]
) -> Path:
    """Saves a checkpoint, then removes all others but the newest intact one.

    Saving the same step again does nothing if the content is the same. Otherwise it writes another folder for the step,
    which counts as newer.

    Args:
        folder: the `checkpoints` folder of the run; created if missing.
        step: number of steps so far, at least 0.
        tensors: by group name (used as file name) and tensor name; any shape, dtype, device and layout.
        state: everything else that resuming needs.

    Returns:
        The folder of the checkpoint.

    Raises:
        StorageError: when writing fails. Older checkpoints are unchanged then.
        ValueError: when the state contains NaN or infinity.
    """
    # Serialize everything before writing anything: after this only the disk can fail.
    contents = {name + _SUFFIX: _tensor_bytes(mapping) for name, mapping in tensors.items()}
    saved = {"format_version": FORMAT_VERSION, "step": step, "state": state}
    contents[_STATE] = json.dumps(saved, allow_nan=False).encode()  # indenting many rows takes seconds
    same_step = [path for path in _checkpoint_folders(folder) if _order(path)[0] == step]
    if same_step and _has_content(same_step[0], contents):
        return same_step[0]
    revision = _order(same_step[0])[1] + 1 if same_step else 1
    target = folder / (f"step-{step:08d}" + (f"-{revision}" if revision > 1 else ""))
    with durable.new_folder(target) as temporary:
        for name, data in contents.items():
            durable.disk.write(temporary / name, data)
    _remove_older(folder, target)
    return target


def load_checkpoint(folder: Path) -> Checkpoint:
    """Returns the newest intact checkpoint, by step number.

    Args:
        folder: the `checkpoints` folder of the run.

    Raises:
        RunError: when there is no checkpoint, or all are damaged.
    """
    warnings: list[str] = []
    for path in _checkpoint_folders(folder):
        try:
            step, tensors, state = _read(path)
        except (RunError, StorageError) as error:
            warnings.append(f"checkpoint {path.name} is skipped: {error}")
        else:
            return Checkpoint(step, tensors, state, tuple(warnings))
    if warnings:
        raise RunError(
            f"none of the {len(warnings)} checkpoints in {display_path(folder)} can be used; "
            f"start a new run ({warnings[0]})"
        )
    raise RunError(
        f"no checkpoint in {display_path(folder)}: the run ended before its first one; start a new run without --resume"
    )


def remove_checkpoint(folder: Path, step: int) -> None:
    """Removes the checkpoints of a step, whose weights are of no use; older ones stay.

    Raises:
        StorageError: when the disk refuses.
    """
    for path in _checkpoint_folders(folder):
        if _order(path)[0] == step:
            with storage_errors("remove", path):
                durable.disk.remove(path)


def tensors_to_save(tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Returns copies on the CPU as safetensors needs them: contiguous, without shared memory."""
    import torch

    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _tensor_bytes(tensors: Mapping[str, "Tensor"]) -> bytes:
    from safetensors.torch import save

    data: bytes = save(tensors_to_save(tensors))
    return data


def _checkpoint_folders(folder: Path) -> list[Path]:
    """Returns all checkpoint folders, newest first, including damaged ones."""
    with storage_errors("read", folder):
        paths = folder.iterdir() if folder.is_dir() else ()
        return sorted((path for path in paths if _NAME.fullmatch(path.name)), key=_order, reverse=True)


def _order(path: Path) -> tuple[int, int]:
    """Returns step and revision from the name of a checkpoint folder."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 1)


def _has_content(path: Path, contents: Mapping[str, bytes]) -> bool:
    """Returns whether a checkpoint is intact and consists of exactly these files."""
    try:
        durable.verify_folder(path, digests=False)
        names = {file.name for file in path.iterdir()} - {durable.MANIFEST}
        return names == set(contents) and all((path / name).read_bytes() == data for name, data in contents.items())
    except (RunError, StorageError, OSError):
        return False


def _remove_older(folder: Path, newest: Path) -> None:
    """Removes all checkpoints except `newest` and the newest intact one besides."""
    kept = 0
    for path in _checkpoint_folders(folder):
        if path == newest or (kept == 0 and _is_intact(path)):
            kept += path != newest
            continue
        # A failed removal is repeated after the next checkpoint; the new checkpoint is already safe.
        with suppress(OSError):
            durable.disk.remove(path)


def _is_intact(path: Path) -> bool:
    try:
        durable.verify_folder(path)
    except RunError:
        return False
    except StorageError:
        return True  # it may be readable later, so keep it
    return True


def _read(path: Path) -> tuple[int, dict[str, dict[str, "Tensor"]], dict[str, Any]]:
    """Returns step, tensors and state; raises RunError when the checkpoint is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    durable.verify_folder(path)
    file = path / _STATE
    try:
        with storage_errors("read", path):
            saved = json.loads(file.read_bytes())
            if saved["format_version"] != FORMAT_VERSION:
                raise RunError(
                    f"{display_path(file)} has format version {saved['format_version']}, expected {FORMAT_VERSION}; "
                    "use the version of tenfold that wrote it"
                )
            tensors = {}
            for file in sorted(path.glob("*" + _SUFFIX)):
                tensors[file.name.removesuffix(_SUFFIX)] = load(file.read_bytes())
        return int(saved["step"]), tensors, dict(saved["state"])
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(f"{display_path(file)} cannot be read ({error}); delete {display_path(path)}") from error
