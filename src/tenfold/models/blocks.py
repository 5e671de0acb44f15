"""Layers that several networks share.

Shapes: B pictures, C channels, H×W pixels.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class Norm(nn.BatchNorm2d):
    """Normalisation over the batch; of a single value, which has no deviation, by the running statistics.

    A last batch of one picture that has shrunk to 1×1 would otherwise end the training.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        """Returns float [B, C, H, W] for the same."""
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
