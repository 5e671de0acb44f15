"""Fixtures of the tests that need a CUDA GPU: no test leaves memory or settings of CUDA to the next."""

import gc
from collections.abc import Iterator

import pytest
import torch

from harness.gpu import DEVICE, DRY_RUN
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset


@pytest.fixture
def device() -> torch.device:
    """The GPU, or the CPU in a dry run."""
    return DEVICE


@pytest.fixture(scope="session", autouse=True)
def own_compiler_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what PyTorch's compiler writes apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@pytest.fixture(autouse=True)
def clean_device() -> Iterator[None]:
    """Frees the device's memory after each test, and ends a mode in which waiting for the device is an error."""
    yield
    if torch.cuda.is_available():
        if torch.cuda.get_sync_debug_mode():
            torch.cuda.set_sync_debug_mode("default")
        gc.collect()
        torch.cuda.empty_cache()


@pytest.fixture(scope="session")
def shapes_to_learn() -> Dataset:
    """Drawn images on which a short training reaches more than chance."""
    return build_shapes(train=200 if DRY_RUN else 600, test=200)
