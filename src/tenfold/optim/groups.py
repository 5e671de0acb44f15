"""Which weights are treated alike."""

from dataclasses import dataclass

from torch import nn


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
