"""Learning rates that fall from the head of a network to its first layers, which pretrained weights fit best already.

As in K. Clark et al., "ELECTRA: pre-training text encoders as discriminators rather than generators"
(arXiv:2003.10555).
"""

from itertools import takewhile

from torch import nn


def layer_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """Groups the weights of a network by layer, from the first to the head.

    A group has the names up to and including their first number (`blocks.3`, `layer1.0`), or without one those of a
    module of the network (`conv_stem`). Modules of vectors alone, such as batch norms, belong to the group before
    them; weights of the network itself, such as position embeddings, to the first.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
        >>> [len(group) for group in layer_groups(model)]
        [4, 2]
    """
    named: dict[str, list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        named.setdefault(_layer_name(name), []).append(weight)
    groups: list[list[nn.Parameter]] = [[]]
    has_layer = False
    for name, weights in named.items():
        is_layer = bool(name) and any(weight.ndim > 1 for weight in weights)
        if is_layer and has_layer:
            groups.append([])
        has_layer = has_layer or is_layer
        groups[-1] += weights
    return groups


def layer_rates(model: nn.Module, decay: float) -> dict[nn.Parameter, float]:
    """Returns the factor on the learning rate of each weight: `decay` to the power of its distance from the head.

    Args:
        model: the network.
        decay: in (0, 1]; with 1 all factors are 1.
    """
    from_head = reversed(layer_groups(model))
    return {weight: decay**distance for distance, group in enumerate(from_head) for weight in group}


def _layer_name(parameter: str) -> str:
    """Returns the part of a parameter's name that names its layer; empty for one of the network itself.

    Example:
        >>> [_layer_name(name) for name in ("blocks.3.0.bn1.weight", "conv_stem.weight", "cls_token")]
        ['blocks.3', 'conv_stem', '']
    """
    modules = parameter.split(".")[:-1]
    named = list(takewhile(lambda part: not part.isdigit(), modules))
    return ".".join(modules[: len(named) + 1] if len(named) < len(modules) else modules[:1])
