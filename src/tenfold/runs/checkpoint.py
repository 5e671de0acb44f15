"""Checkpoints that survive a kill, a power loss and bit rot.

    checkpoints/step-00000500/    model.safetensors … state.json manifest.json
    checkpoints/step-00000500-2/  the same step, saved again with other content: nothing is ever written over

A checkpoint appears whole or not at all; two are kept; age is a matter of step numbers, never of a clock.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tenfold.core import durable
from tenfold.core.disk import shown, translated
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
    """What a checkpoint holds.

    Args:
        step: steps taken when it was saved.
        tensors: by mapping name and tensor name, on the CPU, contiguous.
        state: as it was saved, after JSON's conversions (tuples are lists, keys are strings).
        warnings: one sentence for each newer checkpoint that had to be skipped.
    """

    step: int
    tensors: dict[str, dict[str, "Tensor"]]
    state: dict[str, Any]
    warnings: tuple[str, ...] = ()


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, "Tensor"]], state: Mapping[str, JSON]
) -> Path:
    """Publishes a checkpoint, then removes all but this one and the newest sound one beside it.

    Saving the same step again changes nothing if the content is the same, and otherwise publishes a second
    folder of that step, which counts as the newer one.

    Args:
        folder: the run's `checkpoints` folder; created if missing.
        step: steps taken so far, 0 or more.
        tensors: by mapping name (fit for a file name) and tensor name; any shape, dtype, device and layout.
        state: everything else that a resume needs.

    Returns:
        The checkpoint's folder.

    Raises:
        StorageError: when the disk refuses; older checkpoints are untouched then.
        ValueError: when the state holds NaN or infinity.
    """
    # Everything is serialised before anything is written, so that only the disk can fail after this.
    contents = {name + _SUFFIX: _tensor_bytes(mapping) for name, mapping in tensors.items()}
    saved = {"format_version": FORMAT_VERSION, "step": step, "state": state}
    contents[_STATE] = json.dumps(saved, allow_nan=False).encode()  # indented, many rows of a log would take seconds
    same_step = [path for path in _candidates(folder) if _order(path)[0] == step]
    if same_step and _holds(same_step[0], contents):
        return same_step[0]
    revision = _order(same_step[0])[1] + 1 if same_step else 1
    target = folder / (f"step-{step:08d}" + (f"-{revision}" if revision > 1 else ""))
    with durable.new_folder(target) as temporary:
        for name, data in contents.items():
            durable.disk.write(temporary / name, data)
    _remove_older(folder, target)
    return target


def load_checkpoint(folder: Path) -> Checkpoint:
    """Returns the newest sound checkpoint, by step number.

    Args:
        folder: the run's `checkpoints` folder.

    Raises:
        RunError: when there is no checkpoint, or none of them is sound.
    """
    warnings: list[str] = []
    for path in _candidates(folder):
        try:
            step, tensors, state = _read(path)
        except (RunError, StorageError) as error:
            warnings.append(f"checkpoint {path.name} is skipped: {error}")
        else:
            return Checkpoint(step, tensors, state, tuple(warnings))
    if warnings:
        raise RunError(
            f"none of the {len(warnings)} checkpoints in {shown(folder)} can be used; "
            f"start the run anew ({warnings[0]})"
        )
    raise RunError(f"no checkpoint in {shown(folder)}: the run ended before its first; start it anew without --resume")


def tensors_to_save(tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Returns copies on the CPU that safetensors accepts: contiguous, and none sharing memory."""
    import torch

    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _tensor_bytes(tensors: Mapping[str, "Tensor"]) -> bytes:
    from safetensors.torch import save

    data: bytes = save(tensors_to_save(tensors))
    return data


def _candidates(folder: Path) -> list[Path]:
    """Returns every checkpoint folder, sound or not, newest first."""
    with translated("read", folder):
        paths = folder.iterdir() if folder.is_dir() else ()
        return sorted((path for path in paths if _NAME.fullmatch(path.name)), key=_order, reverse=True)


def _order(path: Path) -> tuple[int, int]:
    """Returns step and revision, which the name tells."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 1)


def _holds(path: Path, contents: Mapping[str, bytes]) -> bool:
    """Returns whether a checkpoint is sound and has exactly these files."""
    try:
        durable.verify_folder(path, digests=False)
        names = {file.name for file in path.iterdir()} - {durable.MANIFEST}
        return names == set(contents) and all((path / name).read_bytes() == data for name, data in contents.items())
    except (RunError, StorageError, OSError):
        return False


def _remove_older(folder: Path, newest: Path) -> None:
    """Removes all checkpoints but `newest` and one sound one; damaged ones do not count as kept."""
    kept = 0
    for path in _candidates(folder):
        if path == newest or (kept == 0 and _is_sound(path)):
            kept += path != newest
            continue
        # What cannot be removed now is tried again after the next checkpoint; this one is safe already.
        with suppress(OSError):
            durable.disk.remove(path)


def _is_sound(path: Path) -> bool:
    try:
        durable.verify_folder(path)
    except RunError:
        return False
    except StorageError:
        return True  # unreadable today may be readable tomorrow: no reason to delete it
    return True


def _read(path: Path) -> tuple[int, dict[str, dict[str, "Tensor"]], dict[str, Any]]:
    """Returns step, tensors and state; raises RunError when the folder is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    durable.verify_folder(path)
    file = path / _STATE
    try:
        with translated("read", path):
            saved = json.loads(file.read_bytes())
            if saved["format_version"] != FORMAT_VERSION:
                raise RunError(
                    f"{shown(file)} has format version {saved['format_version']}, expected {FORMAT_VERSION}; "
                    "use the version of tenfold that wrote it"
                )
            tensors = {}
            for file in sorted(path.glob("*" + _SUFFIX)):
                tensors[file.name.removesuffix(_SUFFIX)] = load(file.read_bytes())
        return int(saved["step"]), tensors, dict(saved["state"])
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(f"{shown(file)} cannot be read ({error}); delete {shown(path)}") from error
