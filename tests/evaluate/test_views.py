"""Test-time augmentation: each view, its weight, and that no result depends on the rest of the batch."""

from typing import Any, get_args

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tenfold.core.errors import UsageError
from tenfold.evaluate.logits import predict_logits
from tenfold.evaluate.views import VIEWS, View, apply_view, averaged_logits, views_named
from tenfold.recipes.schema import EvaluateSection

torch.set_num_threads(1)


def logits_with(*arguments: Any, **options: Any) -> Tensor:
    """Returns the averaged logits of `predict_logits`."""
    return predict_logits(*arguments, **options)[0]


def random_images(count: int, side: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def normalized(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


class CountingNetwork(nn.Module):
    """Records the batch size of each forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.network = small_network()
        self.batch_sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batch_sizes.append(len(images))
        logits: Tensor = self.network(images)
        return logits


def test_recipes_accept_the_same_views() -> None:
    assert get_args(EvaluateSection.model_fields["views"].annotation) == tuple(VIEWS)


@pytest.mark.parametrize("name", VIEWS)
def test_weights_add_up_to_one_and_the_plain_view_comes_first(name: str) -> None:
    assert sum(view.weight for view in VIEWS[name]) == 1
    assert VIEWS[name][0][1:] == (0, False)
    assert len({view[1:] for view in VIEWS[name]}) == len(VIEWS[name]) == {"plain": 1, "mirror": 2, "shifts": 6}[name]


def test_a_shift_moves_the_image_and_reflects_its_edge() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(1, 3, 3, 3)
    up = torch.tensor([[4.0, 5, 4], [7, 8, 7], [4, 5, 4]])
    down = torch.tensor([[4.0, 3, 4], [1, 0, 1], [4, 3, 4]])
    assert torch.equal(apply_view(image, View(1.0, 1))[0, 2], up)
    assert torch.equal(apply_view(image, View(1.0, -1))[0, 0], down)
    assert torch.equal(apply_view(image, View(1.0, 1, mirrored=True))[0, 1], up.flip(1))
    assert apply_view(image, View(1.0)) is image


@given(st.integers(2, 9), st.integers(2, 9), st.sampled_from([view for views in VIEWS.values() for view in views]))
def test_a_view_keeps_the_shape_and_adds_no_new_pixel_values(height: int, width: int, view: View) -> None:
    image = torch.rand(2, 3, height, width)
    transformed = apply_view(image, view)
    assert transformed.shape == image.shape
    assert set(transformed.flatten().tolist()) <= set(image.flatten().tolist())


def test_mirror_and_shifts_weight_the_views_as_documented() -> None:
    network, images = small_network(), random_images(4)

    def of(view: View) -> Tensor:
        return logits_with(network, [apply_view(images.float(), view)], normalized)

    both = [(of(View(1, shift)) + of(View(1, shift, mirrored=True))) / 2 for shift in (0, 1, -1)]
    torch.testing.assert_close(logits_with(network, [images], normalized, views="mirror"), both[0])
    expected = both[0] / 2 + both[1] / 4 + both[2] / 4
    torch.testing.assert_close(logits_with(network, [images], normalized, views="shifts"), expected)


def test_a_mirror_image_gives_the_same_logits() -> None:
    network, images = small_network(), random_images(4)
    turned = logits_with(network, [images.flip(3)], normalized, views="mirror")
    assert torch.equal(logits_with(network, [images], normalized, views="mirror"), turned)


@pytest.mark.parametrize(("name", "batch_sizes"), [("plain", [6]), ("mirror", [6] * 2), ("shifts", [6] * 6)])
def test_each_view_costs_one_forward_pass(name: str, batch_sizes: list[int]) -> None:
    counting = CountingNetwork()
    logits_with(counting, [random_images(6)], normalized, views=name)
    assert counting.batch_sizes == batch_sizes


def test_only_unsure_images_get_the_other_views() -> None:
    counting, images = CountingNetwork(), random_images(20)
    plain, full = (logits_with(counting, [images], normalized, views=name) for name in ("plain", "shifts"))
    limit = float(plain.softmax(1).amax(1).sort().values[11:13].mean())  # 12 images below, 8 above
    counting.batch_sizes.clear()
    found = logits_with(counting, [images], normalized, views="shifts", unsure_below=limit)
    assert counting.batch_sizes == [20, *[12] * 5]
    unsure = plain.softmax(1).amax(1) < limit
    assert torch.equal(found[~unsure], plain[~unsure])
    torch.testing.assert_close(found[unsure], full[unsure], rtol=0, atol=1e-6)


def test_without_unsure_images_there_is_one_forward_pass() -> None:
    counting = CountingNetwork()
    found = logits_with(counting, [random_images(6)], normalized, views="shifts", unsure_below=1e-6)
    assert counting.batch_sizes == [6]
    assert torch.equal(found, logits_with(counting, [random_images(6)], normalized))


def test_with_1_an_image_of_confidence_1_gets_all_views() -> None:
    def sure_of_plain(images: Tensor) -> Tensor:  # the top left pixel is 1 in the plain view alone
        return torch.stack([images[:, 0, 0, 0] * 1000, images[:, 0, 0, 1]], 1)

    image = torch.zeros(1, 3, 4, 4)
    image[0, 0, 0, 0] = 1
    assert sure_of_plain(image).softmax(1).max() == 1
    logits, _ = averaged_logits(sure_of_plain, image, VIEWS["mirror"], unsure_below=1)
    assert logits.tolist() == [[500.0, 0.0]]


@settings(deadline=None, max_examples=40)
@given(data=st.data(), name=st.sampled_from(sorted(VIEWS)), limit=st.sampled_from([0.22, 0.3, 0.4, 0.6, 1.0]))
def test_an_image_gets_the_same_logits_in_any_batch(data: st.DataObject, name: str, limit: float) -> None:
    network, images = small_network(), random_images(24, seed=data.draw(st.integers(0, 99)))
    plain = logits_with(network, [images], normalized).softmax(1).amax(1)
    assume(bool(((plain - limit).abs() > 1e-5).all()))  # matrix products of other sizes round differently
    order = torch.tensor(data.draw(st.permutations(range(24))))
    cuts = sorted(data.draw(st.sets(st.integers(1, 23), max_size=6)))
    batches = images[order].tensor_split(cuts)
    mixed = logits_with(network, batches, normalized, views=name, unsure_below=limit)
    alone = logits_with(network, images.split(1), normalized, views=name, unsure_below=limit)
    torch.testing.assert_close(mixed, alone[order], rtol=0, atol=1e-6)


def test_unknown_views_are_refused_with_the_known_names() -> None:
    with pytest.raises(UsageError, match=r"^unknown views 'miror'; did you mean 'mirror'\?; expected plain, m"):
        views_named("miror")
    with pytest.raises(UsageError, match="unknown views 'six'; expected plain, mirror, shifts"):
        logits_with(small_network(), [random_images(1)], normalized, views="six")


def test_logits_without_tta_are_returned_too() -> None:
    network, images = small_network(), random_images(12)
    plain = logits_with(network, [images], normalized)
    for limit in (1.0, 0.3):
        _, without_tta = predict_logits(network, [images], normalized, views="shifts", unsure_below=limit)
        assert torch.equal(without_tta, plain)
