"""Grad-CAM: a known map, every shipped network, and a model that stays as it was."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tenfold.evaluate.gradcam import class_activation
from tenfold.models.build import build_model

torch.set_num_threads(1)


class ColorNetwork(nn.Module):
    """The mean of red supports class 0 and opposes class 1, that of blue the opposite; green has no effect."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Conv2d(3, 2, 4, bias=False)  # over the whole image: its output is 1×1
        nn.init.dirac_(self.features.weight)
        say = torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0]])
        self.head.weight.data = say[:, :, None, None].expand(2, 3, 4, 4).clone() / 16

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images)).flatten(1)


def image_with(*values: tuple[int, int, int, float]) -> torch.Tensor:
    """Returns a black image, float [1, 3, 4, 4], with (channel, row, column, value) set."""
    image = torch.zeros(1, 3, 4, 4)
    for channel, row, column, value in values:
        image[0, channel, row, column] = value
    return image


def model_state(model: nn.Module) -> list[object]:
    modules = [(m.training, len(m._forward_hooks), len(m._backward_hooks)) for m in model.modules()]
    return [modules, *((w.requires_grad, w.grad, w.tolist()) for w in [*model.parameters(), *model.buffers()])]


def test_the_map_is_the_positive_part_of_the_weighted_features():
    image = image_with((0, 0, 1, 4.0), (0, 2, 3, 1.0), (1, 1, 1, 9.0), (2, 3, 0, 2.0))
    maps = class_activation(ColorNetwork(), image.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    red, blue = image[0, 0] / 4, image[0, 2] / 2
    torch.testing.assert_close(maps, torch.stack([red, blue]))
    assert (maps.dtype, maps.requires_grad, maps.is_inference()) == (torch.float32, False, False)


def test_a_batch_norm_right_after_the_convolution_takes_away_its_offset():
    convolution, norm = nn.Conv2d(3, 1, 1, bias=False), nn.BatchNorm2d(1)
    model = nn.Sequential(convolution, norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2, bias=False)).eval()
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        norm.running_mean.fill_(3.0)  # what is below it speaks against the class
        model[-1].weight.copy_(torch.tensor([[1.0], [-1.0]]))
    image = torch.full((1, 3, 8, 8), 0.5)
    image[:, :, :4] = 2.0
    found = class_activation(model, image, torch.tensor([0]))
    assert found[0, 0].min() == 1.0
    assert found[0, -1].max() == 0.0


def test_an_image_without_support_for_the_class_has_a_zero_map():
    both = torch.cat([image_with((2, 1, 1, 5.0)), image_with((0, 1, 1, 5.0))])
    maps = class_activation(ColorNetwork(), both, torch.tensor([0, 0]))
    assert not maps[0].any()
    assert maps[1].max() == 1


def test_coarse_features_are_upsampled_to_the_image():
    model = nn.Sequential(nn.Conv2d(3, 3, 4, stride=4, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model[0].weight.data = torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4).clone()
    images = torch.zeros(1, 3, 8, 12)
    images[0, 1, 4:, :4] = 1
    (found,) = class_activation(model, images, torch.tensor([1]))
    expected = F.interpolate(torch.tensor([[[[0.0, 0, 0], [1, 0, 0]]]]), (8, 12), mode="bilinear")[0, 0]
    torch.testing.assert_close(found, expected)


def test_a_position_that_the_network_ignores_has_a_zero_map():
    network = ColorNetwork()
    network.head.weight.data[:, :, 2:] = 0  # ignores the lower half
    (found,) = class_activation(network, image_with((0, 0, 1, 1.0), (0, 3, 3, 4.0)), torch.tensor([0]))
    torch.testing.assert_close(found, image_with((0, 0, 1, 1.0))[0, 0])


def test_a_fine_map_is_preferred_to_a_later_coarse_one():
    fine, coarse = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 4, stride=4, bias=False)
    nn.init.dirac_(fine.weight)
    coarse.weight.data = torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4).clone()
    model = nn.Sequential(fine, coarse, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.zeros(1, 3, 8, 8)
    images[0, 1, 5, 2] = 1
    (found,) = class_activation(model, images, torch.tensor([1]))
    torch.testing.assert_close(found, images[0, 1])


@pytest.mark.parametrize(("name", "size"), [("quick", 32), ("tutorial", 32), ("deep3", 32), ("resnet18", 16)])
def test_convolutional_networks_have_a_map_for_each_image(name, size):
    torch.manual_seed(0)
    model = build_model(name, {"width": 4} if name == "resnet18" else {}, num_classes=5, image_size=(size, size))
    images, classes = torch.randn(3, 3, size, size), torch.tensor([0, 4, 2])
    before = model_state(model)
    maps = class_activation(model, images, classes)
    assert maps.shape == (3, size, size)
    assert ((maps >= 0) & (maps <= 1)).all()
    assert maps.any()
    assert model_state(model) == before
    alone = [class_activation(model, images[i : i + 1], classes[i : i + 1])[0] for i in range(3)]
    torch.testing.assert_close(maps, torch.stack(alone), atol=1e-4, rtol=1e-4)
    with torch.inference_mode():  # in inference mode, frozen, channels_last
        same = class_activation(
            model.requires_grad_(False).to(memory_format=torch.channels_last),
            images.clone().to(memory_format=torch.channels_last),
            classes.clone(),
        )
    torch.testing.assert_close(maps, same.clone(), atol=1e-4, rtol=1e-4)
    assert not any(weight.requires_grad for weight in model.parameters())


def test_inplace_activations_are_supported():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert class_activation(model, torch.randn(2, 3, 8, 8), torch.tensor([0, 3])).shape == (2, 8, 8)


def test_an_mlp_has_no_map():
    model = build_model("mlp", {}, num_classes=5, image_size=(8, 8))
    before = model_state(model)
    assert class_activation(model, torch.randn(2, 3, 8, 8), torch.tensor([0, 1])) is None
    assert model_state(model) == before


def test_a_convolution_without_a_gradient_gives_no_map():
    class Frozen(ColorNetwork):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return super().forward(images)

    assert class_activation(Frozen(), torch.randn(1, 3, 4, 4), torch.tensor([0])) is None


def test_the_model_stays_as_it_was_after_an_error():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(7, 2)).train()
    model[1].eval()  # frozen by its owner
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = [(m.training, len(m._forward_hooks)) for m in model.modules()]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        class_activation(model, torch.randn(2, 3, 8, 8), torch.tensor([0, 1]))
    assert [(m.training, len(m._forward_hooks)) for m in model.modules()] == before
    assert model[0].weight.grad.eq(1).all()
    assert torch.is_grad_enabled()


def test_the_map_of_a_trained_network_lies_on_the_object():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        images, labels, _ = striped_patches(32, generator)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    images, labels, inside = striped_patches(64, generator)
    assert (model(images).argmax(1) == labels).float().mean() > 0.9
    maps = class_activation(model, images, labels)
    total = maps.sum((1, 2))
    assert (total > 0).float().mean() > 0.9
    within = (maps * inside).sum((1, 2))[total > 0] / total[total > 0]
    assert within.mean() > 2 * inside.mean(), "the object has twice the activation that it has by chance"


def striped_patches(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns noise with a patch of vertical (class 0) or horizontal stripes, its class, and the mask of the patch."""
    images = 0.1 * torch.randn(count, 3, 16, 16, generator=generator)
    inside = torch.zeros(count, 16, 16)
    labels = torch.randint(2, (count,), generator=generator)
    stripes = torch.tensor([1.0, -1.0]).repeat(3)  # 6
    for i, (row, column) in enumerate(torch.randint(11, (count, 2), generator=generator).tolist()):
        patch = stripes[None, :].expand(6, 6) if labels[i] == 0 else stripes[:, None].expand(6, 6)
        images[i, :, row : row + 6, column : column + 6] += patch
        inside[i, row : row + 6, column : column + 6] = 1
    return images, labels, inside
