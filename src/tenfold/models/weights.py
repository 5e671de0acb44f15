"""Weights that a network starts from instead of random ones: what they say about themselves, and loading them.

The head, the last layer, may be for other classes. All other tensors must fit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from tenfold.core.errors import ModelError
from tenfold.core.text import escaped, plural

_PREFIXES = ("module.", "model.", "_orig_mod.", "network.", "backbone.")
"""What wrappers such as DistributedDataParallel, Lightning and torch.compile put before the names of tensors."""

_MAX_NAMED = 5


@dataclass(frozen=True)
class WeightsRecord:
    """The images that weights were trained on, as their own record says.

    Args:
        image_size: height and width in pixels.
        fit: how images were brought to that size; a value of `data.fit`.
        mean: mean that was subtracted from each channel, for pixels in [0, 1].
        std: what each channel was divided by.
    """

    image_size: tuple[int, int]
    fit: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Weights:
    """Tensors for a network.

    Args:
        state: tensors by name, on the CPU.
        source: what messages call them.
        classes: names of the outputs; None where they are unknown.
    """

    state: Mapping[str, Tensor]
    source: str
    classes: tuple[str, ...] | None = None


def load_weights(model: nn.Module, weights: Weights, classes: tuple[str, ...]) -> list[str]:
    """Loads weights into a network, which is changed. Its head keeps its random weights where the classes are others.

    Args:
        model: a network with one output per class, on the CPU.
        weights: see `Weights`.
        classes: of the data.

    Returns:
        Lines that say what was loaded and what was not.

    Raises:
        ModelError: when tensors other than those of the head are missing or have another shape; five are named.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        >>> other = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 9))
        >>> load_weights(model, Weights(other.state_dict(), "other.pth"), ("cat", "dog"))
        ['weights: from other.pth with a new head: 2 classes instead of 9']
    """
    expected = model.state_dict()
    found = {_without_prefix(name, expected): weight for name, weight in weights.state.items()}
    head = _head_names(model, expected, len(classes))
    _check_fit(expected, found, head, weights.source)
    reason = _reason_for_a_new_head(expected, found, head, weights, classes)
    fitting = {name: found[name] for name in expected if name in found and not (reason and name in head)}
    model.load_state_dict(fitting, strict=False)
    end = f" with a new head: {reason}" if reason else ""
    if not reason and head and weights.classes is None:
        end = f"; its {plural(len(classes), 'output')} are taken for the classes of the data in their order"
    unused = [name for name in found if name not in expected]
    lines = [f"weights: from {weights.source}{end}"]
    if unused:
        lines.append(f"{plural(len(unused), 'tensor')} of {weights.source} not used: {_listed(unused)}")
    return lines


def _without_prefix(name: str, expected: Mapping[str, Tensor]) -> str:
    stripped = name
    while stripped not in expected:
        prefix = next((each for each in _PREFIXES if stripped.startswith(each)), None)
        if prefix is None:
            return name
        stripped = stripped.removeprefix(prefix)
    return stripped


def head_layers(model: nn.Module, num_classes: int) -> tuple[str, ...]:
    """Returns the names of the layers of the head: those that timm names, or the last one with all classes."""
    layers = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    if layers:
        return (layers,) if isinstance(layers, str) else tuple(layers)
    fitting = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and len(layer.weight) == num_classes
    ]
    return tuple(fitting[-1:])


def _head_names(model: nn.Module, expected: Mapping[str, Tensor], num_classes: int) -> list[str]:
    """Returns the names of the head's tensors."""
    layers = head_layers(model, num_classes)
    return [name for name in expected if name.rpartition(".")[0] in layers]


def _check_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], head: list[str], source: str) -> None:
    body = [name for name in expected if name not in head]
    missing = [name for name in body if name not in found and not name.endswith("num_batches_tracked")]
    shapes = list(_differing_shapes(expected, found, body))
    if not missing and not shapes:
        return
    unknown = [name for name in found if name not in expected]
    parts = []
    if missing:
        parts.append(f"{plural(len(missing), 'tensor')} of the network missing there: {_listed(missing)}")
    if unknown:
        parts.append(f"{plural(len(unknown), 'tensor')} unknown to it: {_listed(unknown)}")
    if shapes:
        parts.append(f"{plural(len(shapes), 'tensor')} of another shape: {'; '.join(shapes[:_MAX_NAMED])}")
    raise ModelError(
        f"the weights of {source} do not fit the network: {'; '.join(parts)}; "
        "choose the network that they were trained with (model.name and its arguments, data.image_size)"
    )


def _differing_shapes(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], names: list[str]) -> Iterator[str]:
    for name in names:
        if name in found and found[name].shape != expected[name].shape:
            yield f"'{escaped(name)}' is {list(found[name].shape)}, expected {list(expected[name].shape)}"


def _reason_for_a_new_head(
    expected: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    head: list[str],
    weights: Weights,
    classes: tuple[str, ...],
) -> str:
    """Returns why the head cannot be taken over, or nothing if it can."""
    if any(name not in found for name in head):
        return "they have none of its name"
    num_outputs = len(found[head[0]]) if head else len(classes)
    if num_outputs != len(classes):
        return f"{len(classes):,} classes instead of {num_outputs:,}"
    if any(_differing_shapes(expected, found, head)):
        return "it has another shape"
    return "" if weights.classes in (None, classes) else "its classes are others"


def _listed(names: list[str]) -> str:
    """Returns the first names."""
    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(f"'{escaped(name)}'" for name in names[:_MAX_NAMED]) + more
