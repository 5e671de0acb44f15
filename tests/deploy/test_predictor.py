"""Prediction: files, arrays and splits give the same probabilities, in any batch."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.tiny import CLASSES, make_split
from tenfold.core.errors import DataError
from tenfold.data.decode.preprocessing import Preprocessing
from tenfold.deploy import predictor as predictor_module
from tenfold.deploy.predictor import Predictor
from tenfold.models.build import build_model
from tenfold.runs.artifact import Classifier

HALF = (0.5, 0.5, 0.5)


@pytest.fixture
def predictor() -> Predictor:
    torch.manual_seed(0)
    model = build_model("quick", {}, num_classes=3, image_size=(16, 16)).eval()
    return Predictor(Classifier(model, CLASSES, Preprocessing((16, 16), "crop", HALF, HALF)))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(7)]
    for path, image in zip(paths, make_split(7, 3).images, strict=True):
        Image.fromarray(image).save(path)
    return paths


def test_files_arrays_and_splits_get_the_same_probabilities(predictor: Predictor, files: list[Path]) -> None:
    split = make_split(7, 3)
    expected = predictor.classifier.logits(split.images).softmax(1)
    for sources in (files, [str(path) for path in files], list(split.images)):
        found = list(predictor.predict_all(sources))
        rows = [[prediction.probabilities[name] for name in CLASSES] for prediction in found]
        torch.testing.assert_close(torch.tensor(rows), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("views", "unsure_below"), [("mirror", 1.0), ("shifts", 1.0), ("shifts", 0.4)])
def test_files_and_splits_agree_to_the_last_bit_for_all_views(
    views: str, unsure_below: float, predictor: Predictor, files: list[Path]
) -> None:
    classifier = replace(predictor.classifier, views=views, unsure_below=unsure_below)
    rows = [[p.probabilities[name] for name in CLASSES] for p in Predictor(classifier).predict_all(files)]
    assert torch.equal(torch.tensor(rows), classifier.logits(make_split(7, 3).images).softmax(1))
    one = Predictor(classifier).predict(files[2])
    alone = classifier.logits(make_split(7, 3).images[2:3]).softmax(1)[0]
    assert torch.equal(torch.tensor([one.probabilities[name] for name in CLASSES]), alone)


@pytest.mark.parametrize(("threads_from", "min_chunks"), [(1, 32), (1, 2), (1, 1), (100, 32)])
def test_threads_decode_the_same_images(
    threads_from: int, min_chunks: int, predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "_THREADS_FROM", threads_from)
    monkeypatch.setattr(predictor_module, "_MIN_CHUNKS", min_chunks)
    files[2].write_bytes(b"no image")
    found = list(predictor.predict_all(files))
    assert [p.path for p in found] == [str(path) for path in files]
    assert [i for i, p in enumerate(found) if p.error] == [2]
    readable = make_split(7, 3).subset(np.array([0, 1, 3, 4, 5, 6]))
    expected = predictor.classifier.logits(readable.images).softmax(1).amax(1)
    assert torch.equal(torch.tensor([p.probability for p in found if not p.error]), expected)


def test_the_most_likely_class_comes_first(predictor: Predictor, files: list[Path]) -> None:
    prediction = predictor.predict(files[0])
    probabilities = list(prediction.probabilities.values())
    assert prediction.path == str(files[0])
    assert probabilities == sorted(probabilities, reverse=True)
    assert (prediction.label, prediction.probability) == (next(iter(prediction.probabilities)), probabilities[0])
    assert sum(probabilities) == pytest.approx(1, abs=1e-6)


def test_an_unreadable_file_is_reported_and_the_others_predicted(predictor: Predictor, files: list[Path]) -> None:
    files[2].write_bytes(b"no image")
    files[4].unlink()
    found = list(predictor.predict_all(files))
    assert [prediction.error is None for prediction in found] == [True, True, False, True, False, True, True]
    assert found[2].label is None
    assert "2.png: not an image, or damaged at its start" in str(found[2].error)
    assert "4.png: cannot be opened (No such file" in str(found[4].error)
    with pytest.raises(DataError, match=r"2\.png: not an image"):
        predictor.predict(files[2])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 8])
def test_predictions_keep_their_order_across_batches(
    batch_size: int, predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [predictor.predict(path) for path in files]
    files.insert(3, files[0].parent / "missing.png")
    monkeypatch.setattr(predictor_module, "_BATCH_SIZE", batch_size)
    found = list(predictor.predict_all(files))
    assert [p.path for p in found] == [str(path) for path in files]
    del found[3]
    assert [p.label for p in found] == [p.label for p in expected]
    assert [p.probability for p in found] == pytest.approx([p.probability for p in expected], abs=1e-6)


def test_images_are_read_when_predictions_are_needed(
    predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "_BATCH_SIZE", 2)
    read_paths: list[Path] = []
    predictions = iter(predictor.predict_all(read_paths.append(path) or path for path in files))  # type: ignore[func-returns-value]
    next(predictions)
    assert len(read_paths) == 2


def test_an_image_very_unlike_the_training_images_is_predicted_with_a_warning(
    predictor: Predictor, tmp_path: Path
) -> None:
    preprocessing = replace(predictor.classifier.preprocessing, typical_size=(32, 32))
    known = Predictor(replace(predictor.classifier, preprocessing=preprocessing))
    large = Image.new("RGB", (400, 300))
    large.save(tmp_path / "large.jpg")  # decoded at a fraction of its size
    pixels = np.zeros((300, 400, 3), np.uint8)
    with Image.open(tmp_path / "large.jpg") as unread:
        for source in (tmp_path / "large.jpg", large, pixels, unread):
            assert known.predict(source).warning == "400×300, trained on images of about 32×32"
            assert predictor.predict(source).warning is None
    assert known.predict(pixels[:40, :30]).warning is None


def test_no_images_give_no_predictions(predictor: Predictor) -> None:
    assert list(predictor.predict_all([])) == []


def test_an_array_of_any_size_is_resized(predictor: Predictor) -> None:
    image = make_split(1, 0, (40, 30)).images[0]
    assert predictor.predict(image).label in CLASSES


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((16, 16, 3), np.float32),
        np.zeros((16, 16, 4), np.uint8),
        np.zeros((1, 16, 16, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_an_array_that_is_not_an_image_is_refused(predictor: Predictor, array: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"image 0 is an array of (float32|uint8) \[.*\]; expected uint8 \[H, W, 3\]"):
        predictor.predict(array)


def test_pil_images_arrays_tensors_and_files_may_be_mixed(predictor: Predictor, files: list[Path]) -> None:
    pixels = make_split(7, 3).images
    mixed = [
        Image.fromarray(pixels[0]),
        pixels[1],
        files[2],
        str(files[3]),
        torch.from_numpy(pixels[4]),
        torch.from_numpy(pixels[5]).permute(2, 0, 1),
        Image.open(files[6]),
    ]
    found = list(predictor.predict_all(mixed))
    assert [p.path for p in found] == ["0", "1", str(files[2]), str(files[3]), "4", "5", "6"]
    expected = [p.probabilities for p in predictor.predict_all(files)]
    assert [p.probabilities for p in found] == expected


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "I;16"])
def test_a_pil_image_of_any_mode_is_predicted_like_its_file(mode: str, predictor: Predictor, tmp_path: Path) -> None:
    image = Image.fromarray(make_split(1, 3).images[0])
    image = image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    image.save(path)
    with Image.open(path) as opened:
        assert predictor.predict(opened).probabilities == predictor.predict(path).probabilities
    gray = np.asarray(Image.open(path).convert("L"))
    if mode == "L":
        assert predictor.predict(gray).probabilities == predictor.predict(path).probabilities


def test_a_pil_image_is_turned_upright_and_stays_as_it_is(predictor: Predictor, tmp_path: Path) -> None:
    upright = Image.fromarray(make_split(1, 3).images[0]).resize((20, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        assert predictor.predict(turned).probabilities == predictor.predict(upright).probabilities
        assert turned.size == (12, 20)


def test_a_large_jpeg_opened_with_pil_gives_the_answer_of_its_file(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.fromarray(make_split(1, 3, (300, 280)).images[0]).save(path)
    with Image.open(path) as opened:
        assert predictor.predict(opened).probabilities == predictor.predict(path).probabilities
        opened.load()
        difference = predictor.predict(opened).probability - predictor.predict(path).probability
        assert 0 < abs(difference) < 0.1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "image 0 is a NoneType; expected uint8 [H, W, 3] in RGB order"),
        (5, "image 0 is an int; expected"),
        ([Image.new("RGB", (8, 8))] * 2, "image 0 is an array of uint8 [2, 8, 8, 3]; expected"),
        (b"bytes", "image 0 is a bytes; expected"),
        (torch.rand(3, 8, 8), "image 0 is an array of float32 [3, 8, 8]; expected"),
        (Image.new("RGB", (0, 4)), "image 0: it has 0×4 pixels"),
        ({}, "image 0 is a dict; expected"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(image: object, message: str, predictor: Predictor) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        predictor.predict(image)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert [p.error for p in predictor.predict_all([image])] == [str(raised.value)]  # type: ignore[list-item]


@pytest.mark.parametrize("kind", [object, np.str_])
def test_an_array_of_paths_is_a_collection(kind: type, predictor: Predictor, files: list[Path]) -> None:
    paths = np.array([str(path) for path in files], kind)
    assert [p.probabilities for p in predictor.predict_all(paths)] == [
        p.probabilities for p in predictor.predict_all(files)
    ]


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_a_batch_of_gray_images_is_a_collection(convert: Callable[[Any], Any], predictor: Predictor) -> None:
    gray = make_split(4, 3).images[..., 0]
    assert [p.probabilities for p in predictor.predict_all(convert(gray))] == [
        p.probabilities for p in predictor.predict_all(list(gray))
    ]


@pytest.mark.parametrize(
    "images",
    ["photo.jpg", Path("photo.jpg"), Image.new("RGB", (8, 8)), np.zeros((8, 8, 3)), np.zeros((8, 8)), np.zeros(3), 5],
)
def test_a_single_image_is_refused_where_several_are_expected(images: object, predictor: Predictor) -> None:
    with pytest.raises(DataError, match=r"^found .*; expected several images, such as \[image\]"):
        predictor.predict_all(images)  # type: ignore[arg-type]
