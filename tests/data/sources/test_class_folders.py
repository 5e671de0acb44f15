"""Tests of class folders: layouts, odd files, archives."""

import errno
import io
import os
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest

from harness.images import class_tree, png, write_tree
from tenfold.core.errors import DataError, StorageError
from tenfold.core.text import natural_key
from tenfold.data.sources.class_folders import list_folder, read_images, scan

TWO = {"a/1.png": png(1), "b/1.png": png(2)}


def members(layout, split):
    return [(entry.path, layout.classes[entry.label]) for entry in layout.entries if entry.split == split]


def reasons(layout):
    return {skipped.path: skipped.reason for skipped in layout.skipped}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:" + path.suffix[1:].replace("tar", "")) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_splits_and_classes_are_found(tmp_path):
    root = class_tree(tmp_path, {"train/dog": 2, "train/cat": 1, "test/cat": 1, "val/dog": 1})
    layout = scan(root)
    assert layout.classes == ("cat", "dog")
    assert members(layout, "train") == [
        ("train/cat/0.png", "cat"), ("train/dog/0.png", "dog"), ("train/dog/1.png", "dog"),
    ]  # fmt: skip
    assert members(layout, "test") == [("test/cat/0.png", "cat")]
    assert members(layout, "val") == [("val/dog/0.png", "dog")]
    assert layout.understood == "layout: train → train, test → test, val → val"
    assert layout.notes == ()


@pytest.mark.parametrize("name", ["valid", "validation", "Val"])
def test_validation_folders_have_several_names(tmp_path, name):
    root = class_tree(tmp_path, {"Train/a": 1, "Train/b": 1, "test/b": 1, f"{name}/a": 1})
    assert len(members(scan(root), "val")) == 1


def test_class_folders_alone_are_all_train(tmp_path):
    layout = scan(class_tree(tmp_path, {"10": 1, "2": 1, "1": 1, "b/inner/deep": 1}))
    assert layout.classes == ("1", "2", "10", "b")
    assert not layout.indices_of("test")


def test_names_are_sorted_naturally():
    names = ["b10", "b9", "A", "1", "01", "10", "2", "a", "9" * 5000]
    assert sorted(names, key=natural_key) == ["01", "1", "2", "10", "9" * 5000, "A", "a", "b9", "b10"]


def test_a_class_may_be_called_train(tmp_path):
    assert scan(class_tree(tmp_path, {"bus": 1, "train": 2})).classes == ("bus", "train")


def test_hidden_files_are_ignored(tmp_path):
    extra = {".hidden/x.png": png(), "a/.x.png": png(), "__MACOSX/a/x.png": png(), ".DS_Store": b""}
    layout = scan(write_tree(tmp_path, TWO | extra))
    assert (layout.classes, len(layout.entries), layout.skipped) == (("a", "b"), 2, ())


def test_links_pipes_and_sockets_are_listed_and_never_opened(tmp_path):
    root = write_tree(tmp_path / "root", TWO)
    write_tree(tmp_path / "outside", {"c.png": png()})
    (root / "a/link.png").symlink_to(tmp_path / "outside/c.png")
    (root / "outside").symlink_to(tmp_path / "outside", target_is_directory=True)
    (root / "a/loop").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "a/pipe.png")
    here = Path.cwd()
    os.chdir(root)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
    os.chdir(here)
    layout = scan(root)
    assert len(layout.entries) == 2
    assert reasons(layout) == {
        "a/link.png": "a link; links are not followed",
        "a/loop": "a link; links are not followed",
        "outside": "a link; links are not followed",
        "a/pipe.png": "a named pipe; not opened",
        "s.png": "a device or socket; not opened",
    }


def test_odd_names_work_or_are_skipped_with_a_reason(tmp_path):
    root = write_tree(tmp_path, TWO | {"a/new\nline.png": png(3), "<b>html</b>/1.png": png(4)})
    Path(os.fsdecode(os.fsencode(root) + b"/a/caf\xe9.png")).write_bytes(png(5))
    layout = scan(root)
    assert layout.classes == ("<b>html<", "a", "b")
    assert ("a/new\nline.png", "a") in members(layout, "train")
    assert reasons(layout) == {r"a/caf\udce9.png": "its name is no UTF-8; rename it"}


def test_other_files_and_files_without_a_class_are_listed(tmp_path):
    extra = {"a/notes.txt": b"", "a/README": b"Read this.", "a/x.mp4": b"", "stray.png": png(), "a/list.csv": png()}
    layout = scan(write_tree(tmp_path, TWO | extra))
    assert reasons(layout) == {
        "a/notes.txt": "not an image: .txt",
        "a/README": "not an image: a name without a suffix",
        "a/x.mp4": "not an image: .mp4",
        "a/list.csv": "not an image: .csv",
        "stray.png": "not in a class folder",
    }


def test_files_outside_the_splits_are_listed(tmp_path):
    layout = scan(class_tree(tmp_path, {"train/a": 1, "train/b": 1, "old/a": 1, "train": 1}))
    assert reasons(layout) == {
        "old/a/0.png": "outside train, test and val",
        "train/0.png": "not in a class folder",
    }


def test_an_empty_class_is_noted(tmp_path):
    root = write_tree(tmp_path, TWO)
    (root / "c").mkdir()
    layout = scan(root)
    assert layout.classes == ("a", "b")
    assert layout.notes == ("class folder 'c' holds no images: left out",)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/1.png": b"", "a/2.png": b""}, "only one class, 'a'; expected images"),
        ({"a/1.txt": b""}, r"no images, .*; expected images \(JPEG, .*\) as train/<class>/… and test/<class>/…, or"),
        ({}, "no images"),
        ({"1.png": b"", "2.png": b""}, "images but no class folder"),
        (
            {"train/a/1.png": b"", "train/b/1.png": b"", "test/c/1.png": b""},
            r"class 'c' in test but none in train; .* \(train has: a, b\)",
        ),
        ({"test/a/1.png": b"", "val/b/1.png": b""}, "class 'a' in test but none in train"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_trained_on_are_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        scan(write_tree(tmp_path, files))


def test_a_missing_path_and_another_file_are_refused(tmp_path):
    with pytest.raises(DataError, match="missing does not exist; expected a folder or an archive"):
        scan(tmp_path / "missing")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"a\.txt is neither a folder nor an archive"):
        scan(tmp_path / "a.txt")


def test_a_name_that_is_too_long_is_one_clear_line():
    with pytest.raises(StorageError, match="name is too long"):
        scan(Path("x" * 5000))


def test_a_folder_that_may_not_be_read_is_listed(tmp_path, monkeypatch):
    root = write_tree(tmp_path, TWO | {"c/1.png": png()})
    scandir = os.scandir

    def refuse(folder):  # root may read everything, so permissions alone would not do
        if folder == root / "c":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert reasons(scan(root)) == {"c": "a folder that cannot be read (Permission denied)"}


@pytest.mark.parametrize("kind", ["folder", "a.zip", "a.tar"])
def test_a_file_without_a_suffix_is_an_image_by_its_first_bytes(tmp_path, kind):
    files = TWO | {"a/photo": png(7), "b/README": b"Read this."}
    root = {"folder": write_tree, "a.zip": zipped, "a.tar": tarred}[kind](tmp_path / kind, files)
    found = {}
    for layout in (scan(root), scan(root, on_image=found.__setitem__)):
        assert [entry.path for entry in layout.entries] == [*list(TWO)[:1], "a/photo", *list(TWO)[1:]]
        assert reasons(layout) == {"b/README": "not an image: a name without a suffix"}
    assert found.keys() == {*TWO, "a/photo"}


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
@pytest.mark.parametrize("wrapping", ["", "my images/"])
def test_an_archive_is_read_like_a_folder(tmp_path, kind, wrapping):
    tree = {f"{split}/{name}/{number}.png": png(number) for split in ("train", "test")
            for name in "ab" for number in range(2)}  # fmt: skip
    write_tree(tmp_path / "folder", tree)
    files = {wrapping + name: content for name, content in tree.items()}
    extra = {wrapping + "notes.txt": b"", "__MACOSX/._x.png": b"", wrapping + "train/a/.x.png": b""}
    pack = zipped if kind.endswith("zip") else tarred
    layout = scan(pack(tmp_path / kind, files | extra))
    plain = scan(tmp_path / "folder")
    assert [e._replace(path=wrapping + e.path) for e in plain.entries] == list(layout.entries)
    assert reasons(layout) == {wrapping + "notes.txt": "not an image: .txt"}
    read = {
        layout.entries[index].path: content for index, content in read_images(layout, range(len(layout.entries)), {})
    }
    assert read == files


def test_a_name_that_occurs_twice_in_an_archive_counts_once(tmp_path):
    with tarfile.open(tmp_path / "twice.tar", "w") as archive:
        for name, seed in [("a/1.png", 0), ("b/1.png", 1), ("a/1.png", 2)]:
            member = tarfile.TarInfo(name)
            member.size = len(png(seed))
            archive.addfile(member, io.BytesIO(png(seed)))
    layout = scan(tmp_path / "twice.tar")
    assert [content for _, content in read_images(layout, range(len(layout.entries)), {})] == [png(0), png(1)]
    assert reasons(layout) == {"a/1.png": "a second file of this name in the archive"}


def test_on_image_is_called_with_every_image(tmp_path):
    found = {}
    scan(zipped(tmp_path / "a.zip", TWO), on_image=found.__setitem__)
    assert found == TWO


def test_a_folder_is_only_read(tmp_path):
    root = write_tree(tmp_path, TWO)
    before = sorted((path, path.stat().st_mtime_ns) for path in [root, *root.rglob("*")])
    scan(root, list_folder(root))
    assert sorted((path, path.stat().st_mtime_ns) for path in [root, *root.rglob("*")]) == before
