"""Marks for tests that need something that not every machine has."""

import os
import platform
from pathlib import Path

import pytest
import torch

from harness.compiler import NO_COMPILER
from harness.skip_rule import NO_BFLOAT16, NO_GPU, NO_REAL_DATA, OTHER_SYSTEM
from tenfold.core.devices import supports_bfloat16
from tenfold.engine.kernels.programs import compiler

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
needs_bfloat16 = pytest.mark.skipif(not supports_bfloat16(torch.device("cpu")), reason=NO_BFLOAT16)
needs_compiler = pytest.mark.skipif(compiler() is None, reason=NO_COMPILER)
"""Also makes the compiler visible to the test; see harness/compiler.py."""

CIFAR10_JPEG = Path(__file__).parents[2].parent / "shared/data/cifar10-jpeg.tar.xz"
"""60,000 real images, which are too many for the repository."""
needs_real_data = pytest.mark.skipif(not CIFAR10_JPEG.exists(), reason=NO_REAL_DATA)
LITE0_OF_TIMM = CIFAR10_JPEG.with_name("tf_efficientnet_lite0.in1k.safetensors")
"""The weights of lite0 under timm's names."""
needs_weights_of_timm = pytest.mark.skipif(not LITE0_OF_TIMM.exists(), reason=NO_REAL_DATA)
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason=OTHER_SYSTEM)
needs_pseudo_terminal = pytest.mark.skipif(not hasattr(os, "openpty"), reason=OTHER_SYSTEM)
