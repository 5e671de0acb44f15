"""Labels from tables and file names, on real files; what cannot be right is refused with the flag that works."""

import csv
import io
import json
import re
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.images import png, write_tree
from tenfold.core.errors import DataError
from tenfold.data.build import build_dataset
from tenfold.data.listed_source import listed_source
from tenfold.data.request import DataRequest
from tenfold.data.sources.rules import parse_labels

PETS = [("a1", "cat"), ("a2", "cat"), ("a3", "cat"), ("b1", "dog"), ("b2", "dog"), ("b3", "dog")]


def table_text(columns, rows, delimiter=","):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def pets(root, folder="images", suffix=".png", **files):
    """Writes six images and other files below `root`, and returns it."""
    images = {f"{folder}/{name}{suffix}".lstrip("/"): png(seed) for seed, (name, _) in enumerate(PETS)}
    return write_tree(root, images | {name.replace("__", "."): text.encode() for name, text in files.items()})


def labels(dataset):
    """Returns the class of each image by its path."""
    return {
        path: dataset.classes[label]
        for split in dataset.splits().values()
        for path, label in zip(split.paths, split.labels, strict=True)
    }


def build(root, labels="", **settings):
    return build_dataset(DataRequest(str(root), labels=labels, **settings))


def expected(folder="images", suffix=".png"):
    return {f"{folder}/{name}{suffix}".lstrip("/"): label for name, label in PETS}


@pytest.mark.parametrize(
    ("name", "columns", "write"),
    [
        ("t.csv", ("id", "label"), lambda rows: table_text(("id", "label"), rows)),
        ("t.csv", ("Filename", "Class"), lambda rows: table_text(("Filename", "Class"), rows, ";")),
        ("t.tsv", ("x", "target", "image"),
         lambda rows: table_text(("x", "target", "image"), [(7, b, a) for a, b in rows], "\t")),
        ("t.jsonl", ("path", "category"),
         lambda rows: "\n".join(json.dumps({"path": f"{a}.png", "category": b}) for a, b in rows)),
    ],
)  # fmt: skip
def test_columns_are_found_by_their_names(tmp_path, name, columns, write):
    root = pets(tmp_path / "d", **{name.replace(".", "__"): write(PETS)})
    assert labels(build(root, name)) == expected()


def test_a_parquet_table_labels_images(tmp_path):
    root = pets(tmp_path / "d")
    pq.write_table(
        pa.table({"id": [name for name, _ in PETS], "label": [1 if b == "dog" else 0 for _, b in PETS]}),
        tmp_path / "t.parquet",
    )
    assert set(labels(build(root, str(tmp_path / "t.parquet"))).values()) == {"0", "1"}


def test_columns_that_are_named_win_and_names_replace_numbers(tmp_path):
    rows = [(name, "x", int(label == "dog")) for name, label in PETS]
    root = pets(tmp_path / "d", t__csv=table_text(("code", "label", "kind"), rows), names__txt="cat\ndog\n")
    dataset = build(root, "t.csv:file=code,label=kind,names=names.txt")
    assert labels(dataset) == expected()
    assert dataset.layout == "labels: column kind of t.csv, files in code"


def test_images_may_lie_in_several_folders_and_be_named_without_suffix(tmp_path):
    root = pets(tmp_path / "d", "part_1", t__csv=table_text(("image_id", "label"), [*PETS, ("c", "cat")]))
    write_tree(root, {"part_2/c.png": png(9)})
    assert labels(build(root, "t.csv")) == {**expected("part_1"), "part_2/c.png": "cat"}


def test_a_table_decides_splits_and_groups(tmp_path):
    rows = [(*row, split, f"p{number // 2}") for number, (row, split) in enumerate(
        zip(PETS, ("train", "training", "test") * 2, strict=True))]  # fmt: skip
    root = pets(tmp_path / "d", t__csv=table_text(("file_name", "label", "split", "group"), rows))
    dataset = build(root, "t.csv")
    assert dataset.train.paths == ("images/a1.png", "images/a2.png", "images/b1.png", "images/b2.png")
    assert dataset.train.groups == ("p0", "p0", "p1", "p2")
    assert (dataset.test.groups, dataset.drawn) == (("p1", "p2"), ())


def test_a_table_inside_an_archive_labels_its_images(tmp_path):
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("d/t.csv", table_text(("id", "label"), PETS))
        for seed, (name, _) in enumerate(PETS):
            archive.writestr(f"d/images/{name}.png", png(seed))
    assert labels(build(tmp_path / "d.zip", "t.csv")) == expected("d/images")


def test_the_metadata_of_hugging_face_is_found_by_itself(tmp_path):
    parts = {"train": PETS[:2] + PETS[3:5], "test": [PETS[2], PETS[5]]}
    files = {}
    for split, rows in parts.items():
        files |= {f"{split}/{name}.png": png(seed + 10 * (split == "test")) for seed, (name, _) in enumerate(rows)}
        files[f"{split}/metadata.jsonl"] = "\n".join(
            json.dumps({"file_name": f"{name}.png", "label": label}) for name, label in rows).encode()  # fmt: skip
    dataset = build(write_tree(tmp_path / "d", files))
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (4, 2, ("cat", "dog"))
    assert dataset.layout.startswith("labels: column label of ")


def test_cifar10_in_the_kaggle_form(tmp_path):
    names = ("frog", "truck", "deer")
    files = {f"train/{number}.png": png(number, 32, 32) for number in range(1, 31)}
    files |= {f"test/{number}.png": png(100 + number, 32, 32) for number in range(1, 41)}
    rows = [(number, names[number % 3]) for number in range(1, 31)]
    files["trainLabels.csv"] = table_text(("id", "label"), rows).encode()
    files["sampleSubmission.csv"] = table_text(("id", "label"), [(n, "cat") for n in range(1, 41)]).encode()
    root = write_tree(tmp_path / "cifar", files)
    with pytest.raises(DataError, match=r"trainLabels.csv labels them: --labels 'trainLabels\.csv'$"):
        build(root)
    dataset = build(root, "trainLabels.csv")
    assert labels(dataset) == {f"train/{number}.png": name for number, name in rows}
    assert (dataset.image_size, dataset.drawn, len(dataset.test)) == ((32, 32), ("test",), 6)
    assert (
        dataset.layout == "labels: column label of trainLabels.csv, files in id; left out: test (40 unlabeled images)"
    )


def test_labels_from_names_are_proposed_and_the_proposal_works(tmp_path):
    names = [f"{name}.{number}.jpg" for name in ("cat", "dog") for number in range(5)]
    root = write_tree(tmp_path, {f"train/{name}": png(seed) for seed, name in enumerate(names)})
    with pytest.raises(DataError) as error:
        build(root)
    flag = re.search(r"--labels '(.*)'$", str(error.value))[1]
    assert flag == "name:^(?P<label>[a-z]+)"
    assert build(root, flag).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["great_dane_1.jpg", "great_dane_2.jpg", "Persian_1.jpg", "Persian_2.jpg"],
         r"name:^(?P<label>[^0-9].*?)[ _.-]*[0-9]+\.[^.]+$"),
        (["1_cat.jpg", "2_cat.jpg", "3_dog.jpg", "4_dog.jpg"], "name:^[0-9]+[ _-](?P<label>[A-Za-z]+)"),
        (["1.jpg", "2.jpg", "3.png", "4.png"], None),
        (["IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg"], None),
    ],
)  # fmt: skip
def test_a_pattern_is_proposed_only_where_names_have_labels(tmp_path, names, pattern):
    with pytest.raises(DataError) as error:
        build(write_tree(tmp_path, {name: png() for name in names}))
    flag = re.search(r"--labels '(.*)'$", str(error.value))
    assert (flag and flag[1]) == pattern


def test_a_pattern_finds_splits_and_groups_in_paths(tmp_path):
    files = {f"{label}/{split}/p{number}_x.png": png(number + 10 * len(label) + 100 * len(split))
             for label in ("cat", "horse") for split in ("train", "test") for number in range(2)}  # fmt: skip
    dataset = build(write_tree(tmp_path, files), r"name:(?P<label>[^/]+)/(?P<split>[^/]+)/(?P<group>p[0-9])_[^/]+$")
    assert (dataset.classes, len(dataset.train), len(dataset.test)) == (("cat", "horse"), 4, 4)
    assert dataset.train.groups == ("p0", "p1", "p0", "p1")


def test_rows_and_images_without_partner_are_counted_and_named(tmp_path):
    rows = [*PETS, ("gone", "cat")]
    root = pets(tmp_path / "d", t__csv=table_text(("id", "label"), rows))
    write_tree(root, {"images/extra.png": png(50)})
    with pytest.raises(DataError) as error:
        build(root, "t.csv")
    assert "1 of 7 rows of t.csv name no image (at most 5 % may): line 8: there is no image 'gone'" in str(error.value)
    assert "--set data.max_unreadable=0.15" in str(error.value)
    dataset = build(root, "t.csv", max_unreadable=0.2)
    assert dataset.notes[0] == "1 row of t.csv left out: line 8 (there is no image 'gone')"
    assert [(file.path, file.reason) for file in dataset.skipped] == [("images/extra.png", "no row in t.csv")]


def test_images_whose_label_is_empty_are_left_out_and_listed(tmp_path):
    rows = [*PETS[:3], *((name, "") for name, _ in PETS[3:]), ("b1", "dog")]
    root = pets(tmp_path / "d", folder="", t__csv=table_text(("path", "label"), rows))
    dataset = build(root, "t.csv", test_fraction=0.4)
    assert set(labels(dataset)) == {"a1.png", "a2.png", "a3.png", "b1.png"}
    assert [(file.path, file.reason) for file in dataset.skipped if file.path != "t.csv"] == [
        ("b2.png", "its label in t.csv is empty"),
        ("b3.png", "its label in t.csv is empty"),
    ]


def test_a_table_without_any_label_is_refused(tmp_path):
    root = pets(tmp_path / "d", t__csv=table_text(("path", "label"), [(name, "") for name, _ in PETS]))
    with pytest.raises(DataError, match=r"t\.csv has an empty label in each of its 6 rows; expected the class of each"):
        build(root, "t.csv")


@pytest.mark.parametrize(
    ("text", "labels", "message"),
    [
        ("a,b\n1,2\n", "t.csv", "t.csv has the columns a, b, and none is known as the file or the label"),
        ("id,b\na1,2\n", "t.csv",
         "none is known as the label; expected label, class, target, category in the first line, or name it"),
        ("id,label,class\na1,x,y\n", "t.csv", "several columns that may be the label (label, class); name one"),
        ("id,label,label\na1,x,y\n", "t.csv", "t.csv has 2 columns named 'label', expected one; rename or remove"),
        ("id,label\na1,x\n", "t.csv:label=lable", "'lable' for label; did you mean 'label'? (it has: id, label)"),
        ("id,label\na1,x,y\n", "t.csv", "line 2 of t.csv has 3 cells; expected 2 as in line 1"),
        ("id,label\na1,cat\na1,dog\nb1,dog\n", "t.csv",
         "line 3 of t.csv labels images/a1.png 'dog', and another row 'cat'"),
        ("id,label\na1,cat\n", "other.csv", "there is no table other.csv, neither in"),
        ("id,label,split\na1,cat,tset\n", "t.csv", "line 2 of t.csv has the split 'tset'; expected train, test, val"),
        ("", "t.csv", "t.csv is empty"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_are_refused(tmp_path, text, labels, message):
    with pytest.raises(DataError) as error:
        build(pets(tmp_path / "d", t__csv=text), labels, max_unreadable=0.9)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("name:[a-z]+", "without a group label; expected it where the label is"),
        ("name:(?P<label>[a-z]+", "no regular expression"),
        ("name:(?P<label>a)(?P<who>b)", "a pattern with the group who"),
        ("t.csv:image=x", "names 'image', which no column is for"),
        ("t.csv:file=", "without a value"),
    ],
)
def test_invalid_labels_are_refused_before_any_file_is_read(labels, message):
    with pytest.raises(DataError, match=message):
        DataRequest("missing", labels=labels)


def test_a_column_of_numbers_is_no_class(tmp_path):
    files = {f"{number}.png": png() for number in range(60)}
    files["t.csv"] = table_text(("id", "label"), [(n, n / 7) for n in range(60)]).encode()
    with pytest.raises(DataError, match="60 different ones for 60 images"):
        build(write_tree(tmp_path, files), "t.csv")


def test_a_table_that_contradicts_the_folders_is_asked_for(tmp_path):
    root = pets(tmp_path / "d", "part_1", t__csv=table_text(("id", "label"), [*PETS, ("c", "cat"), ("d", "dog")]))
    write_tree(root, {"part_2/c.png": png(8), "part_2/d.png": png(9)})
    with pytest.raises(
        DataError, match=r"2 folders with images, and t.csv labels these images otherwise.*--labels 't\.csv'"
    ):
        build(root)
    assert build(root, classes_are_folders=True).classes == ("part_1", "part_2")


def test_a_table_that_agrees_with_the_folders_does_not_matter(tmp_path):
    root = write_tree(tmp_path / "d", {f"{label}/{name}.png": png(seed) for seed, (name, label) in enumerate(PETS)})
    write_tree(
        root, {"t.csv": table_text(("id", "label"), [(a, len(b + a[0] * (b == "cat"))) for a, b in PETS]).encode()}
    )
    assert build(root).classes == ("cat", "dog")


def test_a_table_that_names_the_images_and_is_not_used_is_noted(tmp_path):
    rows = [*PETS, ("c", "nv"), ("d", "mel")]
    root = pets(tmp_path / "d", "part_1", meta__csv=table_text(("image_id", "dx"), rows))
    write_tree(root, {"part_2/c.png": png(8), "part_2/d.png": png(9)})
    assert build(root).notes[0] == (
        "meta.csv names these images and was not used; for labels from it: --labels 'meta.csv:label=COLUMN'"
    )
    assert build(root, classes_are_folders=True).notes[0].startswith("no test folder")


def test_a_changed_table_is_prepared_anew(tmp_path):
    root = pets(tmp_path / "d", t__csv=table_text(("id", "label"), PETS))
    assert build(root, "t.csv").classes == ("cat", "dog")
    renamed = [(name, label.replace("cat", "lynx")) for name, label in PETS]
    write_tree(root, {"t.csv": table_text(("id", "label"), renamed).encode()})
    assert build(root, "t.csv").classes == ("dog", "lynx")


def test_a_table_is_the_same_by_another_path(tmp_path, monkeypatch):
    root = pets(tmp_path / "d", t__csv=table_text(("id", "label"), PETS))
    monkeypatch.chdir(tmp_path)
    for labels in ("t.csv", "d/t.csv", str(root / "t.csv")):
        assert build(root, labels).layout == "labels: column label of t.csv, files in id"
    digests = {
        listed_source(DataRequest(str(root), labels=path)).digest for path in ("t.csv", "d/t.csv", str(root / "t.csv"))
    }
    assert len(digests) == 1


def test_a_rule_is_written_as_it_is_read():
    for text in ("t.csv", "t.csv:file=a,label=b,names=n.txt", "label=b", "name:(?P<label>.+)_[0-9]+"):
        assert parse_labels(text).text == text
