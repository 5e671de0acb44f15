"""The training step prepared for timing, and its number of operations."""

import copy

import pytest
import torch
from torch import nn

from harness import tiny
from tenfold.engine.precision import choose_hardware
from tenfold.engine.run import make_classifier
from tenfold.engine.setup import training_loader
from tenfold.engine.step_timing import endless, flops_per_image, timed_step

SIDE = 8
FIRST = 2 * SIDE * SIDE * 3 * 4 * 9  # of a 3×3 convolution from 3 to 4 channels, for one image
SECOND = 2 * SIDE * SIDE * 4 * 5 * 9
LAST = 2 * (5 * SIDE * SIDE) * 7


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.Flatten(),
        nn.Linear(5 * SIDE * SIDE, 7),
    )  # fmt: skip


def test_a_forward_pass_counts_two_operations_per_multiply_add() -> None:
    assert flops_per_image(network(), (SIDE, SIDE), backward=False) == FIRST + SECOND + LAST


def test_a_backward_pass_counts_no_gradient_of_the_images() -> None:
    assert flops_per_image(network(), (SIDE, SIDE), backward=True) == 2 * FIRST + 3 * SECOND + 3 * LAST


def test_a_frozen_first_layer_has_no_gradient_to_compute() -> None:
    frozen = network()
    frozen[0].requires_grad_(False)
    assert flops_per_image(frozen, (SIDE, SIDE), backward=True) == FIRST + 3 * SECOND + 3 * LAST


def test_counting_does_not_change_the_network() -> None:
    counted = network().eval()
    before = copy.deepcopy(counted.state_dict())
    flops_per_image(counted, (SIDE, SIDE), backward=True)
    assert all(torch.equal(value, before[name]) for name, value in counted.state_dict().items())
    assert not counted.training
    assert all(weight.grad is None for weight in counted.parameters())


@pytest.mark.parametrize("name", ["quick", "tutorial", "mlp"])
def test_shipped_networks_are_counted(name: str) -> None:
    recipe, data = tiny.recipe(name), tiny.dataset()
    model = make_classifier(recipe, data, None).model
    forward = flops_per_image(model, data.image_size, backward=False)
    assert forward < flops_per_image(model, data.image_size, backward=True) <= 3 * forward


def test_steps_train_on_the_recipes_batches_epoch_after_epoch() -> None:
    changes = ("model.hidden=[4]", "train.execution=eager", "train.shuffle=true", "data.augment.flip=random")
    recipe, data = tiny.recipe("mlp", *changes), tiny.dataset(train=24)
    hardware = choose_hardware(recipe.train)
    with torch.random.fork_rng(devices=[]):
        classifier = make_classifier(recipe, data, None)
    before = copy.deepcopy(classifier.model.state_dict())
    loader = training_loader(recipe, data, hardware)
    first = next(loader.epoch(0))
    step, used, *_ = timed_step(recipe, classifier.model, classifier.preprocessing, hardware, first)
    batches = endless(loader)
    seen = []
    for _ in range(2 * loader.order.num_batches):
        batch = next(batches)
        step(batch)
        seen.append(batch.indices)
    assert loader.order.batch_size == 6  # four batches at least, as in a run
    assert torch.equal(torch.cat(seen[:4]).sort().values, torch.arange(24))
    assert not torch.equal(torch.cat(seen[:4]), torch.cat(seen[4:]))
    assert any(not torch.equal(value, before[name]) for name, value in classifier.model.state_dict().items())
    assert used == hardware
