"""Logits are those of the model in evaluation mode, and the model stays as it was."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import DataError, ModelError
from tenfold.evaluate.logits import predict_logits

torch.set_num_threads(1)


def logits_of(*arguments: Any, **options: Any) -> Tensor:
    """Returns the averaged logits of `predict_logits`."""
    return predict_logits(*arguments, **options)[0]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 36, 5)
    )
    model[1].eval()  # frozen by its owner
    return model


def normalized(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 127.5 - 1


def batches_of(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(256, (size, 3, 8, 8), dtype=torch.uint8, generator=generator) for size in sizes]


def test_logits_are_those_of_the_model_in_evaluation_mode():
    model, batches = network(), batches_of(4, 3)
    logits = logits_of(model, batches, normalized)
    with torch.no_grad():
        expected = model.eval()(normalized(torch.cat(batches)))
    torch.testing.assert_close(logits, expected)
    assert (logits.dtype, logits.device.type, logits.shape) == (torch.float32, "cpu", (7, 5))


def test_every_module_keeps_its_own_mode():
    model = network()
    before = [module.training for module in model.modules()]
    logits_of(model, batches_of(2), normalized)
    assert [module.training for module in model.modules()] == before


def test_modes_are_restored_after_an_error():
    model = network()
    before = [module.training for module in model.modules()]
    with pytest.raises(RuntimeError):
        logits_of(model, [torch.zeros(2, 4, 8, 8, dtype=torch.uint8)], normalized)
    assert [module.training for module in model.modules()] == before
    assert not torch.is_inference_mode_enabled()


def test_prediction_leaves_running_statistics_unchanged():
    model = network().train()
    before = model[1].running_mean.clone()
    logits_of(model, batches_of(8), normalized)
    assert torch.equal(model[1].running_mean, before)


def test_the_result_is_an_ordinary_tensor():
    logits = logits_of(network(), batches_of(2), normalized)
    assert not logits.is_inference()
    assert not logits.requires_grad


def test_autocast_computes_in_bfloat16_and_returns_float32():
    model, batches = network(), batches_of(4)
    seen = []
    model[0].register_forward_hook(lambda _module, _input, output: seen.append(output.dtype))
    logits = logits_of(model, batches, normalized, autocast=torch.bfloat16)
    assert seen == [torch.bfloat16]
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, logits_of(model, batches, normalized), atol=0.05, rtol=0.05)


def test_batches_may_be_a_generator():
    assert logits_of(network(), (batch for batch in batches_of(2, 2)), normalized).shape == (4, 5)


def test_no_batches_are_refused():
    with pytest.raises(DataError, match="no images to predict"):
        logits_of(network(), [], normalized)


@pytest.mark.parametrize(("model", "found"), [(nn.Identity(), r"\[2, 3, 8, 8\]"), (nn.Flatten(0), r"\[384\]")])
def test_a_model_without_one_row_of_logits_per_image_is_refused(model, found):
    with pytest.raises(ModelError, match=rf"returned {found} for 2 images; expected one row of logits"):
        logits_of(model, batches_of(2), normalized)
