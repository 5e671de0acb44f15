"""Layers that several networks share.

Shapes: B pictures, C channels, H×W pixels.
"""

from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function_unary


class Norm(nn.BatchNorm2d):
    """Normalisation over the batch; of a single value, which has no deviation, by the running statistics.

    A last batch of one picture that has shrunk to 1×1 would otherwise end the training.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that PyTorch's modules use
        """Returns float [B, C, H, W] for the same."""
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


def norm_gelu(features: Tensor, norm: Norm, *, pool: bool = False) -> Tensor:
    """Normalises features, or their 2×2 maxima, and applies GELU.

    Three operations for PyTorch; whoever overrides its functions (`torch.overrides`) can carry them out as one.

    Args:
        features: float [B, C, H, W].
        norm: of C channels.
        pool: whether 2×2 max-pooling comes first.

    Returns:
        Float [B, C, H, W], or half as high and wide.
    """
    if has_torch_function_unary(features):
        result: Tensor = handle_torch_function(norm_gelu, (features,), features, norm, pool=pool)
        return result
    return F.gelu(norm(F.max_pool2d(features, 2) if pool else features))
