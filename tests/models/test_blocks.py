from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tenfold.models.blocks import Norm, norm_gelu


class Heard(TorchFunctionMode):
    """Takes down which functions are called, and lets them be."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[..., Any]] = []

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append(func)
        return func(*args, **(kwargs or {}))


def test_norm_gelu_is_pooling_normalisation_and_gelu() -> None:
    torch.manual_seed(0)
    features, norm = torch.randn(3, 4, 5, 6), Norm(4).eval()
    norm.running_mean.normal_()
    assert torch.equal(norm_gelu(features, norm), F.gelu(norm(features)))
    assert torch.equal(norm_gelu(features, norm, pool=True), F.gelu(norm(F.max_pool2d(features, 2))))


def test_norm_gelu_is_one_operation_to_whoever_overrides_functions() -> None:
    features, norm = torch.randn(3, 4, 5, 6), Norm(4)
    with Heard() as heard:
        found = norm_gelu(features, norm, pool=True)
    assert heard.calls == [norm_gelu]
    assert torch.equal(found, norm_gelu(features, norm, pool=True))


def test_a_single_value_is_normalised_by_the_running_statistics() -> None:
    norm = Norm(4).train()
    features = torch.randn(1, 4, 1, 1)
    assert torch.allclose(norm(features), features, atol=1e-4)
