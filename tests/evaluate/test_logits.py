"""Prediction: the model's own answers, and the model left as it was."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tenfold.core.errors import DataError, ModelError
from tenfold.evaluate import logits as predict

torch.set_num_threads(1)


def averaged(*given: Any, **options: Any) -> Tensor:
    """Returns what `predict_logits` gives for all views together."""
    return predict.predict_logits(*given, **options)[0]


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 36, 5)
    )
    model[1].eval()  # frozen by its owner
    return model


def _half(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 127.5 - 1


def _batches(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(256, (size, 3, 8, 8), dtype=torch.uint8, generator=generator) for size in sizes]


def test_logits_are_those_of_the_model_in_evaluation_mode():
    model, batches = _model(), _batches(4, 3)
    logits = averaged(model, batches, _half)
    with torch.no_grad():
        expected = model.eval()(_half(torch.cat(batches)))
    torch.testing.assert_close(logits, expected)
    assert (logits.dtype, logits.device.type, logits.shape) == (torch.float32, "cpu", (7, 5))


def test_every_module_gets_its_own_mode_back():
    model = _model()
    before = [module.training for module in model.modules()]
    averaged(model, _batches(2), _half)
    assert [module.training for module in model.modules()] == before


def test_modes_come_back_after_an_error_too():
    model = _model()
    before = [module.training for module in model.modules()]
    with pytest.raises(RuntimeError):
        averaged(model, [torch.zeros(2, 4, 8, 8, dtype=torch.uint8)], _half)
    assert [module.training for module in model.modules()] == before
    assert not torch.is_inference_mode_enabled()


def test_prediction_leaves_running_statistics_alone():
    model = _model().train()
    before = model[1].running_mean.clone()
    averaged(model, _batches(8), _half)
    assert torch.equal(model[1].running_mean, before)


def test_the_result_is_an_ordinary_tensor():
    logits = averaged(_model(), _batches(2), _half)
    assert not logits.is_inference()
    assert not logits.requires_grad


def test_autocast_computes_in_bfloat16_and_returns_float32():
    model, batches = _model(), _batches(4)
    seen = []
    model[0].register_forward_hook(lambda _module, _input, output: seen.append(output.dtype))
    logits = averaged(model, batches, _half, autocast=torch.bfloat16)
    assert seen == [torch.bfloat16]
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, averaged(model, batches, _half), atol=0.05, rtol=0.05)


def test_batches_may_be_a_generator():
    assert averaged(_model(), (batch for batch in _batches(2, 2)), _half).shape == (4, 5)


def test_no_batches_are_refused():
    with pytest.raises(DataError, match="no pictures to predict"):
        averaged(_model(), [], _half)


@pytest.mark.parametrize(("model", "found"), [(nn.Identity(), r"\[2, 3, 8, 8\]"), (nn.Flatten(0), r"\[384\]")])
def test_a_model_without_rows_of_logits_is_refused(model, found):
    with pytest.raises(ModelError, match=rf"returned {found} for 2 pictures; expected one row of logits"):
        averaged(model, _batches(2), _half)
