"""A run keeps copies of its image lists."""

from pathlib import Path

import pytest

from tenfold.core.errors import StorageError
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe
from tenfold.runs.folders import copy_image_lists


def test_lists_are_copied_and_the_recipe_names_the_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("suspects.csv").write_bytes(b"picture\r\n1\r\n")
    Path("run").mkdir()
    kept = copy_image_lists(resolve(Recipe(), ["data.exclude=suspects.csv"]), Path("run"))
    assert kept == resolve(Recipe(), {"data.exclude": str(tmp_path / "run/exclude.csv")})
    assert Path(kept.data.exclude).read_bytes() == b"picture\r\n1\r\n"
    assert [path.name for path in Path("run").iterdir()] == ["exclude.csv"]


def test_both_lists_are_copied(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("picture\n1\n")
    (tmp_path / "b.csv").write_text("picture,suggested\n2,cat\n")
    (tmp_path / "run").mkdir()
    named = {"data.exclude": str(tmp_path / "a.csv"), "data.relabel": str(tmp_path / "b.csv")}
    kept = copy_image_lists(resolve(Recipe(), named), tmp_path / "run")
    assert Path(kept.data.exclude).read_text() == "picture\n1\n"
    assert Path(kept.data.relabel).read_text() == "picture,suggested\n2,cat\n"


def test_an_existing_copy_is_kept(tmp_path: Path) -> None:
    original, run = tmp_path / "list.csv", tmp_path / "run"
    run.mkdir()
    original.write_text("picture\n1\n")
    recipe = resolve(Recipe(), {"data.exclude": str(original)})
    first = copy_image_lists(recipe, run)
    original.write_text("picture\n2\n")
    assert copy_image_lists(recipe, run) == copy_image_lists(first, run) == first
    original.unlink()
    assert copy_image_lists(first, run) == first
    assert Path(first.data.exclude).read_text() == "picture\n1\n"


def test_a_moved_folder_uses_its_own_copy(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("picture\n1\n")
    (tmp_path / "run").mkdir()
    kept = copy_image_lists(resolve(Recipe(), {"data.exclude": str(tmp_path / "list.csv")}), tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert copy_image_lists(kept, tmp_path / "moved").data.exclude == str(tmp_path / "moved/exclude.csv")


def test_without_lists_nothing_is_copied(tmp_path: Path) -> None:
    assert copy_image_lists(Recipe(), tmp_path) == Recipe()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*gone\.csv: no such file"):
        copy_image_lists(resolve(Recipe(), {"data.exclude": str(tmp_path / "gone.csv")}), tmp_path)
