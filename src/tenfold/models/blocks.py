"""Layers that several networks share.

Shapes: B images, C channels, H×W pixels.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization that uses the running statistics where a batch has one value per channel.

    PyTorch raises an error there. The last batch of an epoch may be a single image whose features have shrunk to 1×1.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        """Returns normalized features, float [B, C, H, W], for features of the same shape."""
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
