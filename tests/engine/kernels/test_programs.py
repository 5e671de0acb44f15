"""Compiling the C++ programs and calling their kernels."""

import platform
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.needs import needs_compiler
from harness.skip_rule import NO_BFLOAT16
from tenfold.core.errors import TrainingError
from tenfold.engine.kernels import programs
from tenfold.engine.kernels.programs import Workspace, compiler, program, programs_folder

SOURCES = ("winograd.cpp", "winograd_transforms.h", "bfloat16_matmul.h", "bfloat16.h")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


def compiler_script(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines]))
    path.chmod(0o755)
    return str(path)


def test_a_failing_compiler_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = compiler_script(tmp_path / "broken++", "echo 'step.cpp:1: error: no such luck' >&2", "exit 1")
    monkeypatch.setenv("CXX", broken)
    with pytest.raises(
        TrainingError, match=r"broken\+\+ cannot compile the training step: .*no such luck.*eager"
    ) as raised:
        program(SOURCES, [])
    assert "\n" not in str(raised.value)
    assert not any(path.is_dir() for path in programs_folder().iterdir())


def test_a_compiler_that_fails_without_a_message_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", compiler_script(tmp_path / "silent++", "exit 3"))
    with pytest.raises(TrainingError, match="cannot compile the training step: exit code 3 without a message; use"):
        program(SOURCES, [])


@needs_compiler
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason=NO_BFLOAT16)
def test_every_kernel_compiles_for_avx512_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where no kernel can run, the source and the names of its functions are checked."""
    cross = compiler_script(tmp_path / "cross++", f'exec {compiler()} "$@" -march=cooperlake -O0')
    monkeypatch.setenv("CXX", cross)
    Workspace(threads=1)
    assert len(list(programs_folder().glob("*.so"))) == 1


def test_a_kernel_that_asks_for_more_memory_is_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def kernel(values: int, count: int, memory: int, size: int, threads: int) -> int:
        calls.append((values, count, size, threads))
        return 100

    monkeypatch.setattr(programs, "program", lambda sources, flags: None)
    monkeypatch.setattr(programs, "_load", lambda path: SimpleNamespace(kernel=kernel))
    workspace, values = Workspace(threads=3), torch.zeros(5)
    workspace.call("kernel", values, 5)
    assert calls == [(values.data_ptr(), 5, 0, 3), (values.data_ptr(), 5, 100, 3)]
    workspace.call("kernel", values, 5)
    assert calls[2:] == [(values.data_ptr(), 5, 100, 3)]
