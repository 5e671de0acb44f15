"""Tests of decoding and preprocessing of image files."""

import io
import os
import struct
import subprocess
import sys
import zlib
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.images import encoded, noise, png
from tenfold.core.errors import DataError
from tenfold.data.decode import preprocessing
from tenfold.data.decode.decode import decode_image, image_size
from tenfold.data.decode.fit import fit_image
from tenfold.data.decode.preprocessing import Preprocessing, channel_statistics, open_image

torch.set_num_threads(1)
GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def pixels(content: bytes) -> np.ndarray:
    image = open_image(content, "an image")
    assert image.mode == "RGB"
    return np.asarray(image)


def over_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    blended = color.astype(int) * alpha[..., None] + 255 * (255 - alpha[..., None].astype(int))
    return ((blended + 127) // 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_lossless_rgb_keeps_every_pixel(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert (pixels(encoded(Image.fromarray(noise()), kind, **options)) == noise()).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_grey_becomes_three_equal_channels(kind):
    assert (pixels(encoded(Image.fromarray(GREY), kind)) == GREY[..., None]).all()


def test_black_and_white_becomes_0_and_255():
    image = Image.fromarray(GREY).point(lambda value: 255 * (value > 99), mode="1")
    assert (pixels(encoded(image)) == np.where(GREY > 99, 255, 0)[..., None]).all()


def test_palette_is_looked_up():
    indices = (GREY // 64).tobytes()
    paletted = Image.new("P", (8, 8))
    paletted.putdata(list(indices))
    paletted.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    expected = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]])[GREY // 64]
    assert (pixels(encoded(paletted)) == expected).all()


def test_a_transparent_palette_colour_becomes_white():
    paletted = Image.new("P", (8, 8))
    paletted.putdata(list((GREY // 128).tobytes()))
    paletted.putpalette([10, 20, 30, 40, 50, 60])
    expected = np.array([[10, 20, 30], [255, 255, 255]])[GREY // 128]
    assert (pixels(encoded(paletted, transparency=1)) == expected).all()


def test_partial_palette_transparency_is_composited_over_white():
    paletted = Image.new("P", (8, 8))
    paletted.putdata(list((GREY // 128).tobytes()))
    paletted.putpalette([10, 20, 30, 40, 50, 60])
    color = np.array([[10, 20, 30], [40, 50, 60]])[GREY // 128]
    alpha = np.array([255, 100], dtype=np.uint8)[GREY // 128]
    assert (pixels(encoded(paletted, transparency=b"\xff\x64")) == over_white(color, alpha)).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_composited_over_white(kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    rgba = np.dstack([noise(), GREY])
    assert (pixels(encoded(Image.fromarray(rgba), kind, **options)) == over_white(noise(), GREY)).all()


def test_grey_with_alpha_is_composited_over_white():
    alpha = noise(seed=1)[..., 0]
    content = encoded(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]))
    assert (pixels(content) == over_white(np.repeat(GREY[..., None], 3, 2), alpha)).all()


def test_a_single_transparent_value_becomes_white():
    grey = pixels(encoded(Image.fromarray(GREY), transparency=40))
    assert (grey == np.where(GREY == 40, 255, GREY)[..., None]).all()
    color = noise()
    color[0, 0] = 1, 2, 3
    found = pixels(encoded(Image.fromarray(color), transparency=(1, 2, 3)))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert (found[1:] == color[1:]).all()


def test_16_bit_grey_is_scaled_and_not_clipped():
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    assert (pixels(encoded(Image.fromarray(values))) == np.rint(values / 257)[..., None]).all()


def test_cmyk_jpeg_is_converted():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    found = pixels(encoded(cmyk, "JPEG", quality=100))
    assert np.abs(found.astype(int) - [255, 0, 0]).max() <= 3


ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", ORIENTED)
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(noise(4, 6)), exif=exif)
    expected = ORIENTED[orientation](noise(4, 6))
    assert (pixels(content) == expected).all()
    assert image_size(content) == expected.shape[:2]


def test_damaged_exif_data_change_nothing():
    content = encoded(Image.fromarray(noise()), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert (pixels(content) == noise()).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_reduced_to_its_first_frame(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = [Image.fromarray(noise(seed=seed)) for seed in range(3)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (pixels(content) == noise()).all()


def test_an_icc_profile_changes_nothing():
    assert (pixels(encoded(Image.fromarray(noise()), icc_profile=b"no profile" * 20)) == noise()).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM"])
@pytest.mark.parametrize("tenths", range(1, 10))
def test_a_truncated_file_is_refused_in_one_line(kind, tenths):
    content = encoded(Image.fromarray(noise(64, 64)), kind)
    with pytest.raises(DataError, match=r"^cut\.jpg: (damaged|not an|a TIFF of an unus).*expected a whole") as caught:
        open_image(content[: len(content) * tenths // 10], "cut.jpg")
    assert "\n" not in str(caught.value)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"this is no image", "^not an image, or damaged at its start$"),
        (encoded(Image.fromarray(noise()), "ICO", sizes=[(8, 8)]), "^not an image"),
        (png_header(9_500, 9_500), "more than 89 million pixels"),
        (png_header(12_000, 12_000), "more than 89 million pixels"),
        (png_header(100_000, 100_000), "more than 89 million pixels"),
        (png_header(2_000_000_000, 2_000_000_000), "more than 89 million pixels"),
        (png_header(0, 8), "damaged at its start"),
    ],
)
def test_other_files_are_refused_with_the_reason(content, reason):
    with pytest.raises(DataError, match=reason):
        decode_image(content)


@given(st.data())
def test_an_image_with_altered_bytes_decodes_or_is_refused(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM"]))
    content = bytearray(encoded(Image.fromarray(noise(16, 16)), kind))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[position] = data.draw(st.integers(0, 255))
    with suppress(DataError):
        decode_image(bytes(content))


def test_a_path_an_open_file_and_bytes_give_the_same(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png())
    with path.open("rb") as stream:
        assert (np.asarray(open_image(stream, "stream")) == noise()).all()
    assert (np.asarray(open_image(path, "path")) == noise()).all()
    assert (np.asarray(open_image(io.BytesIO(png()), "buffer")) == noise()).all()


def test_a_missing_file_a_folder_and_a_pipe_have_different_messages(tmp_path):
    with pytest.raises(DataError, match=r"cannot be opened \(No such file"):
        open_image(tmp_path / "missing.png", "missing.png")
    with pytest.raises(DataError, match="a folder, not a file"):
        open_image(tmp_path, "folder")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="not a regular file"):
        open_image(tmp_path / "pipe.png", "pipe.png")


def test_an_odd_name_stays_on_one_line():
    with pytest.raises(DataError, match=r"^<b>a\\nb\\udce9: the file is empty"):
        open_image(b"", "<b>a\nb\udce9")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_an_image_of_the_right_size_is_not_changed(fit):
    assert (fit_image(Image.fromarray(noise()), (8, 8), fit) == noise()).all()


def test_crop_keeps_the_center():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 250
    assert (fit_image(Image.fromarray(wide), (10, 10), "crop") > 200).all()


def test_pad_centers_on_grey():
    found = fit_image(Image.new("RGB", (40, 20), "red"), (16, 16), "pad")
    assert (found[:4] == 128).all()
    assert (found[12:] == 128).all()
    assert (found[4:12] == [255, 0, 0]).all()


def test_stretch_uses_the_whole_image():
    upper_half = np.zeros((40, 20, 3), np.uint8)
    upper_half[:20] = 200
    found = fit_image(Image.fromarray(upper_half), (10, 30), "stretch")
    assert found.shape == (10, 30, 3)
    assert (found[:4] > 180).all()
    assert (found[-4:] < 20).all()


@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from(["crop", "pad", "stretch"]),
)  # fmt: skip
def test_the_result_has_the_requested_size(height, width, high, wide, fit):
    found = fit_image(Image.new("RGB", (width, height)), (high, wide), fit)
    assert found.shape == (high, wide, 3)
    assert found.dtype == np.uint8


def test_an_unknown_fit_is_refused():
    with pytest.raises(DataError, match="fit is 'zoom'; expected crop, pad, stretch"):
        fit_image(Image.new("RGB", (8, 8)), (8, 8), "zoom")


def test_a_large_jpeg_decoded_small_gives_nearly_the_same():
    gradient = np.linspace(0, 255, 640)[None, :, None] * np.ones((512, 1, 3))
    content = encoded(Image.fromarray(gradient.astype(np.uint8)), "JPEG", quality=95)
    small = open_image(content, "large", at_least=(32, 32))
    assert min(small.size) >= 64
    assert small.size[0] < 640
    fast = fit_image(small, (32, 32), "crop").astype(int)
    slow = fit_image(open_image(content, "large"), (32, 32), "crop").astype(int)
    assert np.abs(fast - slow).max() <= 3


def test_preprocessing_is_restored_exactly_from_json():
    made = Preprocessing((24, 32), "pad", (0.1, 1 / 3, 0.7), (0.2, 0.30000000000000004, 1e-3))
    assert Preprocessing.from_json(made.to_json()) == made


def test_the_typical_size_is_stored_and_old_descriptions_have_none():
    made = Preprocessing((8, 8), "crop", (0.5,) * 3, (0.5,) * 3, typical_size=(300, 400))
    assert Preprocessing.from_json(made.to_json()) == made
    old = {key: value for key, value in made.to_json().items() if key != "typical_size"}
    assert Preprocessing.from_json(old).typical_size is None
    assert Preprocessing.from_json(old).to_json() == old
    with pytest.raises(DataError, match=r"typical size is \(0, 4\); expected height and width"):
        Preprocessing.from_json(old | {"typical_size": [0, 4]})


@pytest.mark.parametrize(
    ("size", "is_unlike"),
    [
        ((30, 40), False), ((300, 400), False), ((303, 404), True), ((3, 4), False), ((2, 4), True),
        ((40, 30), False), ((30, 120), False), ((30, 121), True), ((74, 33), False), ((100, 40), True),
    ],
)  # fmt: skip
def test_images_of_another_size_or_shape_than_the_training_images_are_warned_about(size, is_unlike):
    made = Preprocessing((8, 8), "crop", (0.5,) * 3, (0.5,) * 3, typical_size=(30, 40))
    text = f"{size[1]}×{size[0]}, trained on images of about 40×30"
    assert made.warning_about(size) == (text if is_unlike else None)
    assert Preprocessing((8, 8), "crop", (0.5,) * 3, (0.5,) * 3).warning_about(size) is None


@pytest.mark.parametrize("value", [{}, {"image_size": [32], "fit": "crop", "mean": [0] * 3, "std": [1] * 3},
                                   {"image_size": [32, 32], "fit": "crop", "mean": "abc", "std": [1] * 3}])  # fmt: skip
def test_damaged_preprocessing_is_refused(value):
    with pytest.raises(DataError, match="expected image_size, fit, mean, std"):
        Preprocessing.from_json(value)


def test_invalid_preprocessing_is_refused():
    with pytest.raises(DataError, match="numbers above 0"):
        Preprocessing((32, 32), "crop", (0.5,) * 3, (0.5, 0.0, 0.5))
    with pytest.raises(DataError, match="finite"):
        Preprocessing((32, 32), "crop", (float("nan"),) * 3, (0.5,) * 3)
    with pytest.raises(DataError, match="fit is 'zoom'"):
        Preprocessing((32, 32), "zoom", (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("mean", [(0.5, 0.5, 0.5), (0.4, 0.5, 0.6)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_normalize_is_the_formula_and_keeps_the_memory_format(mean, dtype):
    images = torch.from_numpy(noise(6, 5)).permute(2, 0, 1)[None].repeat(2, 1, 1, 1)
    images = images.contiguous(memory_format=torch.channels_last).to(dtype)
    before = images.clone()
    made = Preprocessing((6, 5), "crop", mean, (0.5, 0.25, 0.2))
    found = made.normalize(images)
    expected = (images.double() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(made.std).view(3, 1, 1)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-6)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_preprocessing_loads_an_image_and_names_the_path(tmp_path):
    made = Preprocessing((8, 8), "crop", (0.5,) * 3, (0.5,) * 3)
    assert (made.load(png()) == noise()).all()
    (tmp_path / "bad.jpg").write_bytes(b"text")
    with pytest.raises(
        DataError, match=r"bad\.jpg: not an image, or damaged at its start; expected a whole JPEG, PNG, "
    ):
        made.load(tmp_path / "bad.jpg")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_statistics_are_those_of_all_pixels(count: int, height: int, width: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    mean, std = channel_statistics(images)
    pixels = images.reshape(-1, 3).astype(np.float64) / 255
    assert mean == pytest.approx(pixels.mean(0), abs=1e-12)
    assert std == pytest.approx(np.maximum(pixels.std(0), 1 / 255), abs=1e-7)


def test_statistics_do_not_depend_on_the_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(1).integers(0, 256, (11, 4, 4, 3), dtype=np.uint8)
    whole = channel_statistics(images)
    monkeypatch.setattr(preprocessing, "_CHUNK", 3)
    assert channel_statistics(images) == whole


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_channel_gets_a_harmless_std(value: int) -> None:
    mean, std = channel_statistics(np.full((2, 3, 3, 3), value, np.uint8))
    assert mean == pytest.approx((value / 255,) * 3)
    assert std == (1 / 255,) * 3


def test_channels_have_separate_statistics() -> None:
    images = np.zeros((1, 1, 2, 3), np.uint8)
    images[0, 0, :, 0], images[0, 0, :, 2] = (0, 255), (255, 255)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((0.5, 0.0, 1.0))
    assert std == pytest.approx((0.5, 1 / 255, 1 / 255))


ODD_FILE = """
import sys
from threading import Thread
from tenfold.data.decode.preprocessing import Preprocessing
odd = open(sys.argv[1], "rb").read()
load = Preprocessing((8, 8), "crop", (0.5,) * 3, (0.5,) * 3).load
threads = [Thread(target=load, args=(odd,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(load(odd).shape)
"""


def test_warnings_of_pillow_do_not_reach_the_screen(tmp_path):
    odd = bytearray(png())
    position = odd.index(b"IDAT") - 4
    data = b"acTL" + struct.pack(">II", 0, 0)  # an animation without frames
    odd[position:position] = struct.pack(">I", 8) + data + struct.pack(">I", zlib.crc32(data))
    (tmp_path / "odd.png").write_bytes(odd)
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(io.BytesIO(odd))
    command = [sys.executable, "-c", ODD_FILE, str(tmp_path / "odd.png")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("(8, 8, 3)\n", "")
