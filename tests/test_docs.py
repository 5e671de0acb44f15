"""The documentation against the tree: every path that a page names exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_PATH = re.compile(r"`((?:src|tests|docs|benchmarks)/[\w./*<>-]+)`")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def missing_paths(text: str, page: Path) -> Iterator[str]:
    """Yields each path in backticks, and each target of a relative link, that does not exist."""
    for name in _PATH.findall(text):
        if "<" not in name and not list(ROOT.glob(name.rstrip("/"))):
            yield name
    for name in _LINK.findall(text):
        if not (page.parent / name).exists():
            yield name


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    path = ROOT / page
    assert list(missing_paths(path.read_text("utf-8"), path)) == []


def test_a_planted_missing_path_is_caught() -> None:
    text = "`src/tenfold/nowhere.py` and `src/tenfold/core/errors.py`, [a page](docs/none.md), [another](README.md)"
    assert list(missing_paths(text, ROOT / "README.md")) == ["src/tenfold/nowhere.py", "docs/none.md"]


def test_the_architecture_page_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = [
        path.parent.relative_to(ROOT / "src" / "tenfold").as_posix() for path in ROOT.glob("src/tenfold/*/__init__.py")
    ]
    assert [room for room in rooms if f"`{room}/" not in text] == []
