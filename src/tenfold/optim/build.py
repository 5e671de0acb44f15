"""From a recipe's `[optim]` to something that updates weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from torch import Tensor, nn

from tenfold.core.errors import RecipeError
from tenfold.optim.groups import group_parameters
from tenfold.optim.muon import Muon
from tenfold.optim.update import MomentumSGD, Update


@dataclass(frozen=True)
class OptimizerSettings:
    """What is needed to build an optimiser; the fields are keys of a recipe's `[optim]`, explained there."""

    name: str
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    muon_lr: float
    muon_momentum: float

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
        self._rules = tuple(rules)
        self._peaks = tuple(rule.lr for rule in rules)

    def step(self) -> None:
        """Updates every weight from its gradient, then forgets the gradients."""
        for rule in self._rules:
            rule.step()

    def scale_lr(self, factor: float) -> None:
        """Sets every learning rate to `factor` times the one it was built with."""
        for rule, peak in zip(self._rules, self._peaks, strict=True):
            rule.lr = peak * factor

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns what the rules remember, by `rule.weight`; learning rates are not part of it."""
        return {
            f"{i}.{place}": buffer
            for i, rule in enumerate(self._rules)
            for place, buffer in enumerate(rule.buffers)
            if buffer is not None
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned."""
        for key, value in tensors.items():
            i, place = map(int, key.split("."))
            self._rules[i].load_buffer(place, value)


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> CombinedOptimizer:
    """Builds the optimiser for `model`, which must already lie on its device.

    Args:
        model: the network.
        settings: see `OptimizerSettings`.

    Raises:
        RecipeError: when the optimiser has nothing to work on.
    """
    groups = group_parameters(model)
    decayed = groups.matrices + ([] if settings.name == "muon" else groups.filters)
    if not decayed and not groups.filters and not groups.vectors:
        raise RecipeError("this network has no weights that learn; set requires_grad on some, or use another network")
    if settings.name == "muon" and not groups.filters:
        raise RecipeError("optim.name = 'muon' needs convolutions, and this network has none; use optim.name = 'sgd'")
    rules: list[Update] = []
    for weights, decay in _by_decay(decayed, groups.vectors, settings.weight_decay):
        rules.append(MomentumSGD(weights, settings.lr, settings.momentum, settings.nesterov, decay))
    if settings.name == "muon":
        rules.append(Muon(groups.filters, settings.muon_lr, settings.muon_momentum))
    return CombinedOptimizer(rules)


def _by_decay(
    decayed: list[nn.Parameter], plain: list[nn.Parameter], decay: float
) -> list[tuple[list[nn.Parameter], float]]:
    """Returns weights with their weight decay; all together where there is none, for one fused update."""
    split = [(decayed, decay), (plain, 0.0)] if decay else [(decayed + plain, 0.0)]
    return [(weights, share) for weights, share in split if weights]
