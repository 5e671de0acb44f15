"""`tenfold.label` and `tenfold label`: what to label next, as a list that training reads when it is filled in."""

import csv
from pathlib import Path

import pytest
from PIL import Image

import tenfold
from harness.images import write_tree
from harness.tiny import CLASSES, dataset, make_split, recipe
from tenfold.api.training_run import Run
from tenfold.cli.main import main
from tenfold.core.errors import DataError, UsageError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tenfold.train(recipe("mlp", "model.hidden=[8]"), data=dataset(), runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty images without labels, some of them in a subfolder; image i shows class i % 3."""
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "new"
    (root / "more").mkdir(parents=True)
    for index, image in enumerate(make_split(20, 9).images):
        Image.fromarray(image).save(root / ("more" if index % 4 == 0 else ".") / f"{index}.png")
    return root


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_images_are_listed_and_the_first_ones_are_ranked(run: Run, folder: Path) -> None:
    found = tenfold.label(folder, run, top=5)
    assert [row.rank for row in found.rows] == [1, 2, 3, 4, 5, *[None] * 15]
    assert {row.path for row in found.rows} == {
        f"more/{index}.png" if index % 4 == 0 else f"{index}.png" for index in range(20)
    }
    margins = [row.margin for row in found.rows]
    assert margins[0] == min(margins)
    assert margins[5:] == sorted(margins[5:])
    by_file = {prediction.path: prediction for prediction in run.load().predict_all(sorted(folder.rglob("*.png")))}
    for row in found.rows:
        assert row.label == ""
        assert row.suggested == by_file[str(folder / row.path)].label
        assert row.probability == pytest.approx(by_file[str(folder / row.path)].probability, abs=1e-5)
    assert tenfold.label(folder, run, top=5).rows == found.rows


def test_the_list_trains_when_labels_are_filled_in(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", "new", str(run.path), "--top", "12", "--csv", "out.csv"]) == 0
    shown = capsys.readouterr()
    assert "12 of 20 images chosen to be labeled first" in shown.err
    assert "fill in the column label, then: tenfold train new --labels out.csv" in shown.err
    assert rows_of("out.csv")[0]["path"] in shown.out

    train = [
        "train",
        "new",
        "--labels",
        "out.csv",
        "--recipe",
        "mlp",
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--no-report",
    ]
    assert main([*train, "--no-report", "--name", "none"]) == 1
    assert "out.csv has an empty label in each of its 20 rows" in capsys.readouterr().err

    rows = rows_of("out.csv")
    for row in rows[:12]:
        row["label"] = CLASSES[int(Path(row["path"]).stem) % 3]
    with Path("out.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert main([*train, "--no-report", "--name", "filled", "--set", "train.min_steps=0"]) == 0
    shown = capsys.readouterr()
    assert "8 files left out, the first: " in shown.out + shown.err
    assert "(its label in out.csv is empty)" in shown.out + shown.err


def test_an_image_that_cannot_be_read_is_named_and_the_exit_code_is_1(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tree(folder, {"broken.png": b"no"})
    assert main(["label", "new", str(run.path), "--csv"]) == 1
    shown = capsys.readouterr()
    assert "broken.png" in shown.err
    assert len(shown.out.splitlines()) == 21
    assert shown.out.startswith('"path","label","suggested","probability","margin","rank"\n')


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["new"], 2, "expected unlabeled images, then RUN|MODEL: tenfold label new-photos/ runs/mine"),
        (["new", "RUN", "--top", "0"], 2, "invalid value for '--top': Input should be greater than or equal to 1"),
        (["new", "RUN", "--csv", "there.csv"], 2, "there.csv exists and is not overwritten; choose another file for"),
        (["new", "nowhere"], 1, "nowhere"),
        (["new/*.tiff", "RUN"], 1, "no image matches new/*.tiff"),
    ],
)
def test_what_cannot_be_labeled_is_refused(
    run: Run, folder: Path, words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("there.csv").write_text("mine")
    assert main(["label", *(str(run.path) if word == "RUN" else word for word in words)]) == code
    assert message in capsys.readouterr().err
    assert Path("there.csv").read_text() == "mine"


def test_python_refuses_what_it_cannot_rank(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="top is 0; expected a number of images, 1 or more"):
        tenfold.label(tmp_path, run, top=0)
    write_tree(tmp_path / "bad", {"a.png": b"no"})
    with pytest.warns(UserWarning, match="left out"), pytest.raises(DataError, match="none of the images of"):
        tenfold.label(tmp_path / "bad", run)
