from pathlib import Path

import pytest

from tenfold.core.errors import TrainingError
from tenfold.engine.kernels.programs import program, programs_folder

SOURCES = ("winograd.cpp", "winograd.h", "bfloat16.h")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


def test_a_compiler_that_fails_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken++"
    broken.write_text("#!/bin/sh\necho 'step.cpp:1: error: no such luck' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(
        TrainingError, match=r"broken\+\+ cannot compile the training step: .*no such luck.*eager"
    ) as raised:
        program(SOURCES, [])
    assert "\n" not in str(raised.value)
    assert not any(path.is_dir() for path in programs_folder().iterdir())


def test_a_compiler_that_fails_without_a_word_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tmp_path / "silent++"
    silent.write_text("#!/bin/sh\nexit 3\n")
    silent.chmod(0o755)
    monkeypatch.setenv("CXX", str(silent))
    with pytest.raises(TrainingError, match=r"cannot compile the training step: it ended with 3 and said nothing; use"):
        program(SOURCES, [])
