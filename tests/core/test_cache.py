from pathlib import Path

import pytest

from tenfold.core.cache import cache_folder
from tenfold.core.errors import StorageError


def test_the_environment_variable_sets_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"


def test_without_a_home_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENFOLD_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *args, **kwargs: "~/.cache/tenfold")
    monkeypatch.setattr(Path, "expanduser", lambda path: (_ for _ in ()).throw(RuntimeError()))
    with pytest.raises(StorageError, match=r"no home folder .* set TENFOLD_CACHE to a writable folder"):
        cache_folder()
