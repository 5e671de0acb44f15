"""From a recipe's `[optim]` to something that updates weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from tenfold.core.errors import RecipeError
from tenfold.optim.groups import group_parameters
from tenfold.optim.muon import Muon


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
    """Several optimisers, each for weights of its own, that step together.

    Args:
        optimizers: at least one; no weight appears in two.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = tuple(optimizers)
        self._peaks = [float(group["lr"]) for group in self._groups]

    @property
    def _groups(self) -> list[dict[str, Any]]:
        # Looked up each time: an optimiser that loads a state puts new groups in the place of the old ones.
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def step(self) -> None:
        """Updates every weight from its gradient, then forgets the gradients."""
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def scale_lr(self, factor: float) -> None:
        """Sets every learning rate to `factor` times the one it was built with."""
        for group, peak in zip(self._groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def state_tensors(self) -> dict[str, Tensor]:
        """Returns what the optimisers remember, by `optimiser.weight.name`; learning rates are not part of it."""
        return {
            f"{i}.{weight}.{name}": value
            for i, optimizer in enumerate(self._optimizers)
            for weight, entries in optimizer.state_dict()["state"].items()
            for name, value in entries.items()
            if isinstance(value, Tensor)
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_tensors` returned, in each weight's own memory format."""
        for i, optimizer in enumerate(self._optimizers):
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                which, place, name = key.split(".", 2)
                if int(which) == i:
                    # Fused updates walk memory side by side: a buffer must lie in memory as its weight does.
                    like = weights[int(place)] if value.ndim else value
                    state.setdefault(int(place), {})[name] = torch.empty_like(like).copy_(value)
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


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
    optimizers: list[Optimizer] = []
    if decayed or groups.vectors:
        optimizers.append(_sgd(decayed, groups.vectors, settings))
    if settings.name == "muon":
        if not groups.filters:
            raise RecipeError(
                "optim.name = 'muon' needs convolutions, and this network has none; use optim.name = 'sgd'"
            )
        optimizers.append(Muon(groups.filters, lr=settings.muon_lr, momentum=settings.muon_momentum))
    return CombinedOptimizer(optimizers)


def _sgd(decayed: list[nn.Parameter], plain: list[nn.Parameter], settings: OptimizerSettings) -> SGD:
    weights = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    device = (decayed + plain)[0].device.type
    return SGD(
        [group for group in weights if group["params"]],
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        fused=device in ("cpu", "cuda"),
    )
