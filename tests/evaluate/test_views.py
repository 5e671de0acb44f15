"""Views: what each shows, how they are weighed, and that no picture's answer depends on its neighbours."""

from typing import Any, get_args

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tenfold.core.errors import UsageError
from tenfold.evaluate import logits as predict
from tenfold.evaluate.views import VIEWS, View, averaged_logits, seen, views_named
from tenfold.recipes.schema import EvaluateSection

torch.set_num_threads(1)


def averaged(*given: Any, **options: Any) -> Tensor:
    """Returns what `predict_logits` gives for all views together."""
    return predict.predict_logits(*given, **options)[0]


def _pictures(count: int, side: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def _half(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


class Counted(nn.Module):
    """Counts how many pictures a network is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.network = _network()
        self.shown: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(len(images))
        logits: Tensor = self.network(images)
        return logits


def test_recipes_know_the_same_views() -> None:
    assert get_args(EvaluateSection.model_fields["views"].annotation) == tuple(VIEWS)


@pytest.mark.parametrize("name", VIEWS)
def test_weights_add_up_to_one_and_the_plain_view_comes_first(name: str) -> None:
    assert sum(view.weight for view in VIEWS[name]) == 1
    assert VIEWS[name][0][1:] == (0, False)
    assert len({view[1:] for view in VIEWS[name]}) == len(VIEWS[name]) == {"plain": 1, "mirror": 2, "shifts": 6}[name]


def test_a_shift_moves_the_picture_and_reflects_its_edge() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(1, 3, 3, 3)
    up = torch.tensor([[4.0, 5, 4], [7, 8, 7], [4, 5, 4]])
    down = torch.tensor([[4.0, 3, 4], [1, 0, 1], [4, 3, 4]])
    assert torch.equal(seen(image, View(1.0, 1))[0, 2], up)
    assert torch.equal(seen(image, View(1.0, -1))[0, 0], down)
    assert torch.equal(seen(image, View(1.0, 1, mirrored=True))[0, 1], up.flip(1))
    assert seen(image, View(1.0)) is image


@given(st.integers(2, 9), st.integers(2, 9), st.sampled_from([view for views in VIEWS.values() for view in views]))
def test_a_view_has_the_shape_of_the_picture_and_none_but_its_pixels(height: int, width: int, view: View) -> None:
    image = torch.rand(2, 3, height, width)
    shown = seen(image, view)
    assert shown.shape == image.shape
    assert set(shown.flatten().tolist()) <= set(image.flatten().tolist())


def test_mirror_and_shifts_weigh_the_views_as_they_say() -> None:
    network, images = _network(), _pictures(4)

    def of(view: View) -> Tensor:
        return averaged(network, [seen(images.float(), view)], _half)

    both = [(of(View(1, shift)) + of(View(1, shift, mirrored=True))) / 2 for shift in (0, 1, -1)]
    torch.testing.assert_close(averaged(network, [images], _half, views="mirror"), both[0])
    expected = both[0] / 2 + both[1] / 4 + both[2] / 4
    torch.testing.assert_close(averaged(network, [images], _half, views="shifts"), expected)


def test_views_of_a_mirror_image_give_the_same_answer() -> None:
    network, images = _network(), _pictures(4)
    turned = averaged(network, [images.flip(3)], _half, views="mirror")
    assert torch.equal(averaged(network, [images], _half, views="mirror"), turned)


@pytest.mark.parametrize(("name", "shown"), [("plain", [6]), ("mirror", [6] * 2), ("shifts", [6] * 6)])
def test_each_view_costs_one_pass_and_plain_nothing_more(name: str, shown: list[int]) -> None:
    counted = Counted()
    averaged(counted, [_pictures(6)], _half, views=name)
    assert counted.shown == shown


def test_only_unsure_pictures_are_given_the_other_views() -> None:
    counted, images = Counted(), _pictures(20)
    plain, full = (averaged(counted, [images], _half, views=name) for name in ("plain", "shifts"))
    limit = float(plain.softmax(1).amax(1).sort().values[11:13].mean())  # 12 pictures below, 8 above
    counted.shown.clear()
    found = averaged(counted, [images], _half, views="shifts", unsure_below=limit)
    assert counted.shown == [20, *[12] * 5]
    unsure = plain.softmax(1).amax(1) < limit
    assert torch.equal(found[~unsure], plain[~unsure])
    torch.testing.assert_close(found[unsure], full[unsure], rtol=0, atol=1e-6)


def test_no_unsure_picture_means_no_other_pass() -> None:
    counted = Counted()
    found = averaged(counted, [_pictures(6)], _half, views="shifts", unsure_below=1e-6)
    assert counted.shown == [6]
    assert torch.equal(found, averaged(counted, [_pictures(6)], _half))


def test_with_1_a_picture_that_leaves_no_doubt_is_given_all_views_too() -> None:
    def sure_of_plain(images: Tensor) -> Tensor:  # the top left pixel is 1 in the plain view alone
        return torch.stack([images[:, 0, 0, 0] * 1000, images[:, 0, 0, 1]], 1)

    image = torch.zeros(1, 3, 4, 4)
    image[0, 0, 0, 0] = 1
    assert sure_of_plain(image).softmax(1).max() == 1
    logits, _ = averaged_logits(sure_of_plain, image, VIEWS["mirror"], unsure_below=1)
    assert logits.tolist() == [[500.0, 0.0]]


@settings(deadline=None, max_examples=40)
@given(data=st.data(), name=st.sampled_from(sorted(VIEWS)), limit=st.sampled_from([0.22, 0.3, 0.4, 0.6, 1.0]))
def test_a_picture_gets_the_same_answer_alone_and_in_any_batch(data: st.DataObject, name: str, limit: float) -> None:
    network, images = _network(), _pictures(24, seed=data.draw(st.integers(0, 99)))
    plain = averaged(network, [images], _half).softmax(1).amax(1)
    assume(bool(((plain - limit).abs() > 1e-5).all()))  # matrix products of other sizes round otherwise
    order = torch.tensor(data.draw(st.permutations(range(24))))
    cuts = sorted(data.draw(st.sets(st.integers(1, 23), max_size=6)))
    batches = images[order].tensor_split(cuts)
    mixed = averaged(network, batches, _half, views=name, unsure_below=limit)
    alone = averaged(network, images.split(1), _half, views=name, unsure_below=limit)
    torch.testing.assert_close(mixed, alone[order], rtol=0, atol=1e-6)


def test_unknown_views_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"^'miror' are no views; did you mean 'mirror'\?; expected plain, mirror, sh"):
        views_named("miror")
    with pytest.raises(UsageError, match="'six' are no views; expected plain, mirror, shifts"):
        averaged(_network(), [_pictures(1)], _half, views="six")


def test_what_the_plain_view_says_comes_beside_what_all_say() -> None:
    network, images = _network(), _pictures(12)
    plain = averaged(network, [images], _half)
    for limit in (1.0, 0.3):
        _, beside = predict.predict_logits(network, [images], _half, views="shifts", unsure_below=limit)
        assert torch.equal(beside, plain)
