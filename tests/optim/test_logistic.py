"""Tests of the logistic regression against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from tenfold.optim.logistic import Standardized, fit_logistic


def problem(rows: int = 60, features: int = 8, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns features, float64 [rows, features], and labels that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    true = torch.randn(features, classes, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    return 3 * values + 5, (values @ true + noise).argmax(1)


@pytest.mark.parametrize("l2", [0.01, 1.0])
def test_the_fit_is_that_of_scikit_learn(l2: float) -> None:
    features, labels = problem()
    data = Standardized(features)
    head = data.head(*fit_logistic(data.rows, labels, 3, l2))
    scaled = ((features - features.mean(0)) / features.std(0, correction=0)).numpy()
    oracle = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-10, max_iter=10_000).fit(scaled, labels.numpy())
    expected = torch.from_numpy(oracle.predict_log_proba(scaled))
    torch.testing.assert_close(head.logits(features).log_softmax(1), expected, atol=1e-4, rtol=0)


def test_weights_of_rows_are_those_of_scikit_learn() -> None:
    features, labels = problem()
    weights = torch.rand(len(labels), dtype=torch.float64) + 0.5
    rows = Standardized(features).rows
    weight, bias = fit_logistic(rows, labels, 3, 0.1, weights=weights)
    oracle = LogisticRegression(C=1 / (0.1 * len(labels)), tol=1e-10, max_iter=10_000)
    oracle.fit(rows.numpy(), labels.numpy(), sample_weight=weights.numpy())
    expected = torch.from_numpy(oracle.predict_log_proba(rows.numpy()))
    torch.testing.assert_close((rows @ weight.T + bias).log_softmax(1), expected, atol=1e-4, rtol=0)


def test_fewer_rows_than_features_give_the_same_head_in_fewer_dimensions() -> None:
    features, labels = problem(rows=20, features=50)
    data = Standardized(features)
    assert data.rows.shape == (20, 20)
    head = data.head(*fit_logistic(data.rows, labels, 3, 0.1))
    scaled = (features - features.mean(0)) / features.std(0, correction=0)
    weight, bias = fit_logistic(scaled, labels, 3, 0.1)
    torch.testing.assert_close(head.logits(features), scaled @ weight.T + bias, atol=1e-4, rtol=0)


def test_a_constant_feature_gets_no_weight() -> None:
    features, labels = problem()
    features[:, 2] = 7.0
    data = Standardized(features)
    head = data.head(*fit_logistic(data.rows, labels, 3, 0.1))
    assert head.weight[:, 2].abs().max() < 1e-9
    assert head.logits(features).isfinite().all()


def test_label_smoothing_lowers_the_confidence() -> None:
    features, labels = problem()
    rows = Standardized(features).rows
    plain, smooth = (
        rows @ weight.T + bias
        for weight, bias in (fit_logistic(rows, labels, 3, 1e-3, label_smoothing=s) for s in (0.0, 0.3))
    )
    assert smooth.softmax(1).amax(1).mean() < plain.softmax(1).amax(1).mean() - 0.05
    assert F.cross_entropy(smooth, labels, label_smoothing=0.3) < F.cross_entropy(plain, labels, label_smoothing=0.3)


def test_a_start_leads_to_the_same_minimum() -> None:
    features, labels = problem()
    rows = Standardized(features).rows
    direct = fit_logistic(rows, labels, 3, 0.1)
    started = fit_logistic(rows, labels, 3, 0.1, start=fit_logistic(rows, labels, 3, 1.0))
    for one, other in zip(direct, started, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-4)


def test_a_fit_does_not_call_what_would_import_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("add_param_group", "zero_grad"):
        monkeypatch.setattr(torch.optim.Optimizer, name, None)
    weight, _ = fit_logistic(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), 2, l2=0.1)
    assert weight[1, 0] > 0 > weight[0, 0]


def test_a_small_fit_uses_one_thread_and_gives_back_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    fit_logistic(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), 2, 0.1)
    assert asked == [1, 7]
