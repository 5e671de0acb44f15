"""Builds the optimizer: groups the weights of a network and assigns an update rule to each group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from tenfold.core.errors import RecipeError
from tenfold.optim.layer_rates import layer_rates
from tenfold.optim.muon import Muon
from tenfold.optim.update import SGD, Adam, RMSprop, UpdateRule, restore_tensors


@dataclass(frozen=True)
class ParameterGroups:
    """The trainable weights of a network, grouped by how they are updated.

    Args:
        filters: weights of convolutions (four dimensions).
        matrices: weights of other layers with at least two dimensions.
        vectors: biases and normalization weights (fewer than two dimensions), without weight decay.
    """

    filters: list[nn.Parameter]
    matrices: list[nn.Parameter]
    vectors: list[nn.Parameter]

    @property
    def hidden_matrices(self) -> list[nn.Parameter]:
        """Weights of the linear layers, except the last one, which computes the logits."""
        return [weight for weight in self.matrices if weight.ndim == 2][:-1]


def group_parameters(model: nn.Module) -> ParameterGroups:
    """Groups the trainable weights of `model`. Frozen weights are left out.

    Example:
        >>> groups = group_parameters(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)))
        >>> len(groups.filters), len(groups.matrices), len(groups.vectors)
        (1, 1, 2)
    """
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    return ParameterGroups(
        filters=[weight for weight in trainable if weight.ndim == 4],
        matrices=[weight for weight in trainable if weight.ndim >= 2 and weight.ndim != 4],
        vectors=[weight for weight in trainable if weight.ndim < 2],
    )


@dataclass(frozen=True)
class OptimizerSettings:
    """Settings of the optimizer. The fields are keys of the recipe's `[optim]`, documented there."""

    name: str
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    muon_lr: float = 0.24
    muon_momentum: float = 0.6
    muon_matrices: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    rmsprop_alpha: float = 0.99
    layer_decay: float = 1.0

    @classmethod
    def from_section(cls, section: object) -> "OptimizerSettings":
        """Copies the fields from an object that has them all, such as a recipe's `[optim]`."""
        return cls(**{field.name: getattr(section, field.name) for field in fields(cls)})


class CombinedOptimizer:
    """Several update rules, each for its own weights, that step together.

    Args:
        rules: at least one; no weight is in two of them.
    """

    def __init__(self, rules: Sequence[UpdateRule]) -> None:
        self.rules = tuple(rules)
        self._base_lrs = tuple(float(rule.lr) for rule in rules)

    def step(self) -> None:
        """Updates every weight from its gradient, and sets the gradients to None."""
        for rule in self.rules:
            rule.step()

    def scale_lr(self, factor: float) -> None:
        """Sets every learning rate to `factor` times its initial value."""
        for rule, base_lr in zip(self.rules, self._base_lrs, strict=True):
            rule.set_lr(base_lr * factor)

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns the state of all update rules by `rule.name.weight`. Learning rates are not part of it."""
        return {
            f"{i}.{name}.{index}": tensor
            for i, rule in enumerate(self.rules)
            for name, tensors in rule.state.items()
            for index, tensor in enumerate(tensors)
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned.

        Raises:
            RunError: when the state is from another optimizer. Nothing is changed then.
        """
        restore_tensors(self.state_tensors(), tensors, "optimizer state")


def build_optimizer(
    model: nn.Module, settings: OptimizerSettings, precision: torch.dtype | None = None
) -> CombinedOptimizer:
    """Builds the optimizer for `model`, which must already be on its device.

    Args:
        model: the network.
        settings: see `OptimizerSettings`.
        precision: dtype of the matrix products in Muon (default: float32).

    Raises:
        RecipeError: when the network has no weights for the optimizer.
    """
    groups = group_parameters(model)
    if not groups.filters and not groups.matrices and not groups.vectors:
        raise RecipeError("this network has no trainable weights; set requires_grad on some, or use another network")
    muon_weights = _muon_weights(groups, settings)
    muon_ids = set(map(id, muon_weights))
    decayed = [weight for weight in groups.matrices + groups.filters if id(weight) not in muon_ids]
    rates = layer_rates(model, settings.layer_decay)
    rules = [
        _update_rule(weights, decay, replace(settings, lr=settings.lr * rate))
        for group, decay in _by_decay(decayed, groups.vectors, settings.weight_decay)
        for rate, weights in _by_rate(group, rates).items()
    ]
    if muon_weights:
        rules.append(Muon(muon_weights, settings.muon_lr, settings.muon_momentum, precision or torch.float32))
    return CombinedOptimizer(rules)


def _muon_weights(groups: ParameterGroups, settings: OptimizerSettings) -> list[nn.Parameter]:
    if settings.name != "muon":
        return []
    weights = groups.filters + (groups.hidden_matrices if settings.muon_matrices else [])
    if not weights:
        needed = "convolutions or hidden linear layers" if settings.muon_matrices else "convolutions"
        hint = "" if settings.muon_matrices or not groups.hidden_matrices else " or set optim.muon_matrices = true"
        raise RecipeError(
            f"optim.name = 'muon' needs {needed}, and this network has none; use optim.name = 'sgd'{hint}"
        )
    return weights


def _update_rule(weights: list[nn.Parameter], decay: float, settings: OptimizerSettings) -> UpdateRule:
    """Returns the update rule of the recipe; for the weights that Muon does not update, SGD."""
    match settings.name:
        case "adam" | "adamw":
            decoupled = settings.name == "adamw"
            return Adam(weights, settings.lr, settings.beta1, settings.beta2, settings.epsilon, decay, decoupled)
        case "rmsprop":
            alpha = settings.rmsprop_alpha
            return RMSprop(weights, settings.lr, settings.momentum, alpha, settings.epsilon, decay)
        case _:
            return SGD(weights, settings.lr, settings.momentum, settings.nesterov, decay)


def _by_decay(
    decayed: list[nn.Parameter], not_decayed: list[nn.Parameter], decay: float
) -> list[tuple[list[nn.Parameter], float]]:
    """Returns non-empty groups of weights with their weight decay; one group if it is 0, for one fused update."""
    groups = [(decayed, decay), (not_decayed, 0.0)] if decay else [(decayed + not_decayed, 0.0)]
    return [(weights, weight_decay) for weights, weight_decay in groups if weights]


def _by_rate(weights: list[nn.Parameter], rates: Mapping[nn.Parameter, float]) -> dict[float, list[nn.Parameter]]:
    """Returns the weights of each learning rate: one fused update for each layer, or for all without `layer_decay`."""
    groups: dict[float, list[nn.Parameter]] = {}
    for weight in weights:
        groups.setdefault(rates[weight], []).append(weight)
    return groups
