"""Which weights are treated alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from tenfold.core.errors import RecipeError
from tenfold.optim.muon import Muon
from tenfold.optim.update import Adam, MomentumSGD, RMSprop, Update, restore


@dataclass(frozen=True)
class ParameterGroups:
    """The learning weights of a network, by how they are best updated.

    Args:
        filters: of convolutions, four dimensions.
        matrices: of other layers, two dimensions or more.
        vectors: biases and normalisation weights, fewer than two dimensions; never decayed.
    """

    filters: list[nn.Parameter]
    matrices: list[nn.Parameter]
    vectors: list[nn.Parameter]

    @property
    def hidden_matrices(self) -> list[nn.Parameter]:
        """Those of linear layers, without the last, whose outputs are the logits."""
        return [weight for weight in self.matrices if weight.ndim == 2][:-1]


def group_parameters(model: nn.Module) -> ParameterGroups:
    """Sorts the weights of `model` that learn; frozen ones are left out.

    Example:
        >>> groups = group_parameters(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)))
        >>> len(groups.filters), len(groups.matrices), len(groups.vectors)
        (1, 1, 2)
    """
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    return ParameterGroups(
        filters=[weight for weight in learning if weight.ndim == 4],
        matrices=[weight for weight in learning if weight.ndim >= 2 and weight.ndim != 4],
        vectors=[weight for weight in learning if weight.ndim < 2],
    )


@dataclass(frozen=True)
class OptimizerSettings:
    """What is needed to build an optimiser; the fields are keys of a recipe's `[optim]`, explained there."""

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

    @classmethod
    def of(cls, section: object) -> "OptimizerSettings":
        """Takes the fields from any object that has them all, such as a recipe's `[optim]`."""
        return cls(**{field.name: getattr(section, field.name) for field in fields(cls)})


class CombinedOptimizer:
    """Several update rules, each for weights of its own, that step together.

    Args:
        rules: at least one; no weight appears in two.
    """

    def __init__(self, rules: Sequence[Update]) -> None:
        self.rules = tuple(rules)
        self._peaks = tuple(float(rule.lr) for rule in rules)

    def step(self) -> None:
        """Updates every weight from its gradient, then forgets the gradients."""
        for rule in self.rules:
            rule.step()

    def scale_lr(self, factor: float) -> None:
        """Sets every learning rate to `factor` times the one it was built with."""
        for rule, peak in zip(self.rules, self._peaks, strict=True):
            rule.set_lr(peak * factor)

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns what the rules remember, by `rule.name.weight`; learning rates are not part of it."""
        return {
            f"{i}.{name}.{place}": tensor
            for i, rule in enumerate(self.rules)
            for name, tensors in rule.memory.items()
            for place, tensor in enumerate(tensors)
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned.

        Raises:
            RunError: when another optimiser's memory is given; nothing is changed then.
        """
        restore(self.state_tensors(), tensors, "optimiser")


def build_optimizer(
    model: nn.Module, settings: OptimizerSettings, precision: torch.dtype | None = None
) -> CombinedOptimizer:
    """Builds the optimiser for `model`, which must already lie on its device.

    Args:
        model: the network.
        settings: see `OptimizerSettings`.
        precision: dtype of the matrix products in Muon; float32 where None.

    Raises:
        RecipeError: when the optimiser has nothing to work on.
    """
    groups = group_parameters(model)
    if not groups.filters and not groups.matrices and not groups.vectors:
        raise RecipeError("this network has no weights that learn; set requires_grad on some, or use another network")
    by_muon = _weights_for_muon(groups, settings)
    taken = set(map(id, by_muon))
    decayed = [weight for weight in groups.matrices + groups.filters if id(weight) not in taken]
    rules = [
        _rule(weights, decay, settings) for weights, decay in _by_decay(decayed, groups.vectors, settings.weight_decay)
    ]
    if by_muon:
        rules.append(Muon(by_muon, settings.muon_lr, settings.muon_momentum, precision or torch.float32))
    return CombinedOptimizer(rules)


def _weights_for_muon(groups: ParameterGroups, settings: OptimizerSettings) -> list[nn.Parameter]:
    if settings.name != "muon":
        return []
    weights = groups.filters + (groups.hidden_matrices if settings.muon_matrices else [])
    if not weights:
        needed = "convolutions or hidden linear layers" if settings.muon_matrices else "convolutions"
        also = "" if settings.muon_matrices or not groups.hidden_matrices else " or set optim.muon_matrices = true"
        raise RecipeError(
            f"optim.name = 'muon' needs {needed}, and this network has none; use optim.name = 'sgd'{also}"
        )
    return weights


def _rule(weights: list[nn.Parameter], decay: float, settings: OptimizerSettings) -> Update:
    """Returns the rule that the recipe names; beside Muon that is SGD."""
    match settings.name:
        case "adam" | "adamw":
            decoupled = settings.name == "adamw"
            return Adam(weights, settings.lr, settings.beta1, settings.beta2, settings.epsilon, decay, decoupled)
        case "rmsprop":
            alpha = settings.rmsprop_alpha
            return RMSprop(weights, settings.lr, settings.momentum, alpha, settings.epsilon, decay)
        case _:
            return MomentumSGD(weights, settings.lr, settings.momentum, settings.nesterov, decay)


def _by_decay(
    decayed: list[nn.Parameter], plain: list[nn.Parameter], decay: float
) -> list[tuple[list[nn.Parameter], float]]:
    """Returns weights with their weight decay; all together where there is none, for one fused update."""
    split = [(decayed, decay), (plain, 0.0)] if decay else [(decayed + plain, 0.0)]
    return [(weights, share) for weights, share in split if weights]
