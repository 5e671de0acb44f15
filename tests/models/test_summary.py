"""The layer table against figures calculated by hand."""

import torch
from torch import Tensor, nn

from tenfold import models as _registers  # noqa: F401
from tenfold.models.build import build_model
from tenfold.models.summary import LayerRow, summarize


def test_rows_of_the_tutorial_network() -> None:
    model = build_model("tutorial", {}, num_classes=10, image_size=(32, 32))
    assert summarize(model, (32, 32)) == [
        LayerRow("conv1", "Conv2d", (6, 28, 28), 3 * 25 * 6 + 6, 28 * 28 * 6 * 75),
        LayerRow("pool", "MaxPool2d", (6, 14, 14), 0, 0),
        LayerRow("conv2", "Conv2d", (16, 10, 10), 6 * 25 * 16 + 16, 10 * 10 * 16 * 150),
        LayerRow("pool", "MaxPool2d", (16, 5, 5), 0, 0),
        LayerRow("fc1", "Linear", (120,), 400 * 120 + 120, 48_000),
        LayerRow("fc2", "Linear", (84,), 120 * 84 + 84, 10_080),
        LayerRow("fc3", "Linear", (10,), 84 * 10 + 10, 840),
    ]


def test_the_rows_add_up_to_the_parameters() -> None:
    model = build_model("quick", {}, num_classes=4, image_size=(24, 40))
    rows = summarize(model, (24, 40))
    assert sum(row.parameters for row in rows) == sum(weight.numel() for weight in model.parameters())
    assert rows[0] == LayerRow("whiten", "Whitening", (24, 23, 39), 24 * 12 + 24, 23 * 39 * 24 * 12)
    assert rows[-1] == LayerRow("head", "Linear", (4,), 128 * 4, 128 * 4)


def test_multiply_adds_of_grouped_and_repeated_layers() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(3, 6, 3, groups=3, padding=1, bias=False)
            self.mix = nn.Linear(6, 5)

        def forward(self, images: Tensor) -> Tensor:
            return self.mix(self.depthwise(images).flatten(2).transpose(1, 2)).mean(1)

    rows = summarize(Tokens(), (4, 8))
    assert [(row.parameters, row.multiply_adds) for row in rows] == [(54, 6 * 32 * 9), (35, 32 * 6 * 5)]


def test_the_network_is_unchanged() -> None:
    model = build_model("quick", {}, num_classes=4, image_size=(32, 32)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    summarize(model, (32, 32))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_network_of_a_single_layer_has_a_name() -> None:
    assert summarize(nn.Conv2d(3, 2, 1), (4, 4))[0].name == "(network)"


class Attentive(nn.Module):
    """A small transformer: weights outside layers, layers with several outputs, a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.position = nn.Parameter(torch.zeros(1, 4, 8))
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.lstm = nn.LSTM(8, 6, batch_first=True)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.position  # B T C
        tokens = self.norm(tokens + self.attention(*[self.norm(tokens)] * 3)[0])
        logits: Tensor = self.head(self.lstm(tokens)[0][:, -1])
        return logits


def test_weights_outside_layers_are_counted_once() -> None:
    model = Attentive()
    rows = summarize(model, (8, 8))
    assert sum(row.parameters for row in rows) == sum(weight.numel() for weight in model.parameters())
    by_name = {row.name: row for row in rows}
    assert [row.parameters for row in rows if row.name == "norm"] == [16, 0]
    assert by_name["attention"] == LayerRow("attention", "MultiheadAttention", (4, 8), 8 * 24 + 24 + 8 * 8 + 8, 0)
    assert by_name["lstm"].output_shape == (4, 6)
    assert rows[-1] == LayerRow("(network)", "Attentive", (5,), 4 * 8 + 6, 0), "positions and the unused layer"


class ReturnsMapping(nn.Module):
    """A layer that returns a mapping."""

    def forward(self, images: Tensor) -> dict[str, object]:
        return {"note": "a layer may return anything", "features": [images.mean((2, 3))]}


class ReturnsNone(nn.Module):
    """A layer that returns nothing."""

    def forward(self, _features: Tensor) -> None:
        return None


def test_outputs_of_any_type_are_supported() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mapping, self.none = ReturnsMapping(), ReturnsNone()

        def forward(self, images: Tensor) -> Tensor:
            features = self.mapping(images)["features"][0]
            self.none(features)
            return torch.as_tensor(features)

    assert [(row.name, row.output_shape) for row in summarize(Odd(), (4, 4))] == [("mapping", (3,)), ("none", ())]
