"""Muon against a plain reference, and properties of its update."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tenfold.optim.muon import Muon, orthogonalize, padded


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 99))
def test_singular_values_are_near_one_and_vectors_unchanged(rows: int, columns: int, seed: int) -> None:
    # Well conditioned: singular values between 1 and 3.
    rank = min(rows, columns)
    left, _ = torch.linalg.qr(random(rows, rank, seed=seed))
    right, _ = torch.linalg.qr(random(columns, rank, seed=seed + 100))
    values = torch.linspace(1, 3, rank)
    result = orthogonalize(left * values @ right.T, iterations=6)
    inner = left.T @ result @ right
    assert result.shape == (rows, columns)
    torch.testing.assert_close(inner, torch.diag(inner.diag()), rtol=0, atol=1e-4)
    assert ((inner.diag() > 0.65) & (inner.diag() < 1.25)).all()


def test_the_result_does_not_depend_on_the_scale() -> None:
    matrix = random(8, 12)
    torch.testing.assert_close(orthogonalize(1000 * matrix), orthogonalize(matrix), rtol=1e-4, atol=1e-5)


def test_a_transposed_matrix_gives_the_transposed_result() -> None:
    matrix = random(8, 12)
    torch.testing.assert_close(orthogonalize(matrix.T), orthogonalize(matrix).T)


def test_a_matrix_of_zeros_is_unchanged() -> None:
    assert torch.equal(orthogonalize(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_matrices_of_any_shapes_are_orthogonalized_in_one_batch() -> None:
    matrices = [random(8, 12), random(20, 5, seed=1), random(3, 40, seed=2)]
    batch = orthogonalize(padded(matrices, torch.float32))
    assert batch.shape == (3, 8, 40)
    for matrix, result in zip(matrices, batch, strict=True):
        rows, columns = sorted(matrix.shape)
        expected = orthogonalize(matrix if len(matrix) == rows else matrix.T)
        torch.testing.assert_close(result[:rows, :columns], expected)
        assert result[rows:].count_nonzero() == result[:, columns:].count_nonzero() == 0


def test_a_gradient_may_lie_in_memory_otherwise_than_its_weight() -> None:
    weights = [nn.Parameter(random(8, 4, 3, 3).contiguous(memory_format=torch.channels_last)) for _ in range(2)]
    for weight, memory_format in zip(weights, (torch.channels_last, torch.contiguous_format), strict=True):
        weight.grad = random(8, 4, 3, 3, seed=1).contiguous(memory_format=memory_format)
        Muon([weight], lr=0.1, momentum=0.6).step()
    torch.testing.assert_close(*weights)


def reference_muon(filters: Tensor, gradients: list[Tensor], lr: float, momentum: float) -> Tensor:
    """Returns the weight after the same updates in double precision."""
    weight, average = filters.double(), torch.zeros_like(filters).double()
    for gradient in gradients:
        average = momentum * average + gradient.double()
        update = (gradient.double() + momentum * average).flatten(1)
        x = update / update.norm()
        for _ in range(3):
            x = 3.4445 * x - 4.7750 * (x @ x.T) @ x + 2.0315 * (x @ x.T) @ (x @ x.T) @ x
        weight = weight * len(weight) ** 0.5 / weight.norm() - lr * x.view_as(weight)
    return weight


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (40, 3, 2, 2)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_steps_equal_the_reference(shape: tuple[int, ...], memory_format: torch.memory_format) -> None:
    start = random(*shape)
    weight = nn.Parameter(start.clone(memory_format=memory_format))
    optimizer = Muon([weight], lr=0.1, momentum=0.6)
    gradients = [random(*shape, seed=step + 1) for step in range(4)]
    for gradient in gradients:
        weight.grad = gradient.clone(memory_format=memory_format)
        optimizer.step()
    torch.testing.assert_close(weight.double(), reference_muon(start, gradients, 0.1, 0.6), rtol=1e-4, atol=1e-5)


def test_a_weight_without_gradient_is_unchanged() -> None:
    weight = nn.Parameter(random(2, 3, 1, 1))
    before = weight.detach().clone()
    Muon([weight], lr=0.1, momentum=0.6).step()
    assert torch.equal(weight, before)


def test_bfloat16_products_change_an_update_by_little() -> None:
    weights = [nn.Parameter(random(40, 12, 3, 3)) for _ in range(2)]
    for weight, dtype in zip(weights, (torch.float32, torch.bfloat16), strict=True):
        rule = Muon([weight], lr=0.1, momentum=0.6, dtype=dtype)
        weight.grad = random(40, 12, 3, 3, seed=1)
        rule.step()
    exact, rounded = (weight.detach() for weight in weights)
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    start = random(40, 12, 3, 3)
    start *= len(start) ** 0.5 / start.norm()
    assert (rounded - exact).norm() < 0.02 * (exact - start).norm()


def test_a_fused_update_equals_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_function = torch.compile
    # Only traced: writing and compiling C++ takes a minute on a CPU.
    monkeypatch.setattr(torch, "compile", lambda *args, **options: compile_function(*args, backend="eager", **options))
    weights = [nn.Parameter(random(8, 4, 3, 3).contiguous(memory_format=torch.channels_last)) for _ in range(2)]
    rules = [Muon([weight], lr=0.1, momentum=0.6) for weight in weights]
    rules[1].fuse()
    for lr in (0.1, 0.05):
        for weight, rule in zip(weights, rules, strict=True):
            rule.move_lr_to_device()
            rule.set_lr(lr)
            weight.grad = random(8, 4, 3, 3, seed=int(100 * lr))
            rule.step()
    torch.testing.assert_close(*weights)
