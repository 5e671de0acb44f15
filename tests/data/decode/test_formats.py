"""Tests of the kinds of image files: exact pixels of lossless ones, and what is refused with its reason."""

import io
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from harness.image_files import png_of_16_bits, tiff
from harness.images import encoded, noise, png
from tenfold.core.errors import DataError
from tenfold.data.decode.decode import decode_if, decode_image, image_size, is_image, upright_rgb
from tenfold.data.decode.preprocessing import open_image

VALUES = np.random.default_rng(0).integers(0, 65536, (5, 7, 4), dtype=np.uint16)
EIGHT = np.rint(VALUES / 257).astype(np.uint8)
FOUR = np.array([[0, 1], [2, 3]], np.uint8)


def pixels(content: bytes | Path) -> np.ndarray:
    image = decode_image(content)
    assert image.mode == "RGB"
    assert image_size(content) == (image.height, image.width)
    return np.asarray(image)


def over_white(values: np.ndarray) -> np.ndarray:
    color, alpha = values[..., :-1].astype(int), values[..., -1:].astype(int)
    return (color * alpha + 255 * (255 - alpha) + 127) // 255


def gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, 2)


def cmyk_as_rgb(values: np.ndarray) -> np.ndarray:
    color, black = 255 - values[..., :3].astype(int), values[..., 3:].astype(int)
    product = color * black + 128
    return np.clip(color - ((product >> 8) + product >> 8), 0, 255)


def _long(value: int) -> bytes:
    return struct.pack("<HII", 4, 1, value)


GOLDEN = {
    "GIF": (encoded(Image.fromarray(EIGHT[..., 0]), "GIF"), gray(EIGHT[..., 0])),
    "PPM": (encoded(Image.fromarray(EIGHT[..., :3]), "PPM"), EIGHT[..., :3]),
    "PGM of 16 bits": (b"P5 7 5 65535\n" + VALUES[..., 0].astype(">u2").tobytes(), gray(EIGHT[..., 0])),
    "PPM of 16 bits": (b"P6 7 5 65535\n" + VALUES[..., :3].astype(">u2").tobytes(), EIGHT[..., :3]),
    "PGM of 12 bits": (b"P5 2 1 4095\n" + struct.pack(">2H", 4095, 1024), np.array([[[255] * 3, [64] * 3]])),
    "plain PGM": (b"P2\n# by hand\n2 1 9\n0 9\n", np.array([[[0] * 3, [255] * 3]])),
    "plain PBM": (b"P1 2 1 10", np.array([[[0] * 3, [255] * 3]])),
    "JPEG 2000": (encoded(Image.fromarray(EIGHT[..., :3]), "JPEG2000"), EIGHT[..., :3]),
    "JPEG 2000 of 16 bits": (encoded(Image.fromarray(VALUES[..., 0]), "JPEG2000"), gray(EIGHT[..., 0])),
    "TIFF gray": (tiff(EIGHT[..., 0], 1), gray(EIGHT[..., 0])),
    "TIFF white is zero": (tiff(EIGHT[..., 0], 0), gray(255 - EIGHT[..., 0])),
    "TIFF RGB": (tiff(EIGHT[..., :3], 2), EIGHT[..., :3]),
    "TIFF RGB in planes": (tiff(EIGHT[..., :3], 2, separate=True), EIGHT[..., :3]),
    "TIFF RGBA": (tiff(EIGHT, 2, extra=[2]), over_white(EIGHT)),
    "TIFF CMYK": (tiff(EIGHT, 5), cmyk_as_rgb(EIGHT)),
    "TIFF palette": (
        tiff(FOUR, 3, more=[(320, 3, [index * 257 for band in range(3) for index in [9 + band, 50, 90, 200] * 64])]),
        np.stack([np.array([9 + band, 50, 90, 200], np.uint8)[FOUR] for band in range(3)], 2),
    ),
    "TIFF gray of 16 bits": (tiff(VALUES[..., 0], 1), gray(EIGHT[..., 0])),
    "TIFF gray of 16 bits, big-endian": (tiff(VALUES[..., 0], 1, order=">"), gray(EIGHT[..., 0])),
    "TIFF gray of 16 bits, deflated": (tiff(VALUES[..., 0], 1, order=">", deflated=True), gray(EIGHT[..., 0])),
    "TIFF white is zero of 16 bits": (tiff(VALUES[..., 0], 0), gray(255 - EIGHT[..., 0])),
    "TIFF RGB of 16 bits": (tiff(VALUES[..., :3], 2), EIGHT[..., :3]),
    "TIFF RGB of 16 bits, big-endian": (tiff(VALUES[..., :3], 2, order=">"), EIGHT[..., :3]),
    "TIFF RGB of 16 bits, deflated": (tiff(VALUES[..., :3], 2, order=">", deflated=True), EIGHT[..., :3]),
    "TIFF RGBA of 16 bits": (tiff(VALUES, 2, extra=[2]), over_white(EIGHT)),
    "TIFF CMYK of 16 bits": (tiff(VALUES, 5), cmyk_as_rgb(EIGHT)),
    "PNG RGB of 16 bits": (png_of_16_bits(VALUES[..., :3]), EIGHT[..., :3]),
    "PNG RGBA of 16 bits": (png_of_16_bits(VALUES), over_white(EIGHT)),
    "PNG gray and alpha of 16 bits": (png_of_16_bits(VALUES[..., :2]), np.repeat(over_white(EIGHT[..., :2]), 3, 2)),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_every_pixel_of_a_lossless_file_is_as_the_rule_says(name: str, tmp_path: Path) -> None:
    content, expected = GOLDEN[name]
    (tmp_path / "no suffix").write_bytes(content)
    assert (pixels(content) == expected).all()
    assert (pixels(tmp_path / "no suffix") == expected).all()
    with Image.open(io.BytesIO(content)) as image:
        assert (np.asarray(upright_rgb(image)) == expected).all()


def test_a_transparent_color_of_16_bits_becomes_white() -> None:
    expected = EIGHT[..., :3].copy()
    expected[2, 3] = 255
    assert (pixels(png_of_16_bits(VALUES[..., :3], tuple(VALUES[2, 3, :3]))) == expected).all()


def test_an_avif_is_read() -> None:
    assert features.check("avif")
    flat = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    assert np.abs(pixels(encoded(Image.fromarray(flat), "AVIF", quality=95)).astype(int) - flat).max() <= 6


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "AVIF"])
def test_the_first_frame_or_page_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.abs(pixels(content).astype(int) - [255, 0, 0]).max() <= 3


def test_of_ten_thousand_frames_only_the_first_is_read() -> None:
    first = encoded(Image.fromarray(EIGHT[..., 0]), "GIF")
    data = first.index(b",")  # the first frame; what is before it is the header
    content = first[:-1] + first[data:-1] * 10_000 + b";"
    stream = io.BytesIO(content)
    assert (np.asarray(open_image(stream, "a")) == gray(EIGHT[..., 0])).all()
    assert stream.tell() < len(content) / 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_tiff_is_applied_once(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(EIGHT[..., :3])
    expected = pixels(encoded(image, "PNG", exif=exif))
    content = encoded(image, "TIFF", exif=exif)
    assert (pixels(content) == expected).all()
    size, decoded = decode_if(lambda size: True, content)
    assert decoded is not None
    assert size == (decoded.height, decoded.width) == expected.shape[:2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiff(EIGHT[..., 0].astype(np.float32), 1, sample_format=3), "a TIFF of floating-point values; expected unsig"),
        (tiff(EIGHT[..., 0].astype(np.float64), 1, sample_format=3), "a TIFF of an unusual kind, such as many"),
        (tiff(EIGHT[..., 0].astype(np.int16), 1, sample_format=2), "a TIFF of signed or 32-bit values"),
        (tiff(EIGHT[..., 0].astype(np.int8), 1, sample_format=2), "a TIFF of signed or 32-bit values"),
        (tiff(EIGHT[..., 0].astype(np.uint32), 1), "a TIFF of signed or 32-bit values"),
        (tiff(np.zeros((4, 4, 5), np.uint8), 2, extra=[0, 0]), "a TIFF of 5 bands; expected gray, RGB, RGBA, CMYK or"),
        (tiff(np.zeros((4, 4, 12), np.uint8), 1, extra=[0] * 11), "a TIFF of an unusual kind, such as many bands"),
        (tiff(VALUES[..., :3], 2, separate=True), "its bands in separate planes; expected interleaved"),
        (tiff(EIGHT[..., :3], 8), "it has LAB colors; expected gray, RGB, CMYK"),
        (b"Pf 1 1 -1.0\n" + struct.pack("<f", 0.5), "it has floating-point values"),
        (b"\0\0\0\x1cftypheic" + bytes(200), "a HEIC image, for which pillow-heif is needed: pip install -e"),
        (b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";", "more than 89 million pixels|damaged"),
        (b"P6 99999 99999 255\n", "more than 89 million pixels"),
        (tiff(np.zeros((3, 99), np.uint8), 1).replace(_long(99), _long(10**8)), "more than 89 million pixels"),
        (encoded(Image.new("L", (8, 8)), "JPEG2000")[:48], "not an image|damaged"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_as_rgb_is_refused_with_its_reason(
    content: bytes, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=reason):
        decode_image(content)
    assert capsys.readouterr().err == ""


def test_a_header_that_claims_many_pixels_is_refused_without_memory_for_them() -> None:
    jpeg2000 = bytearray(encoded(Image.new("L", (8, 8)), "JPEG2000"))
    position = jpeg2000.index(b"ihdr") + 4
    jpeg2000[position : position + 8] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(DataError, match="more than 89 million pixels"):
        decode_image(bytes(jpeg2000))


def test_a_tiff_whose_directory_claims_gigabytes_is_refused_at_once() -> None:
    content = tiff(EIGHT[..., 0], 1, more=[(40_000 + tag, 4, [0, 0]) for tag in range(2_000)])
    huge = content.replace(struct.pack("<HI", 4, 2), struct.pack("<HI", 4, len(content) // 4))
    start = time.process_time()
    with pytest.raises(DataError):
        decode_image(huge)
    assert time.process_time() - start < 1


def test_a_heic_is_read_where_pillow_heif_is_there() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="no pillow-heif: pip install -e '.[heic]'")
    flat = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(flat)).save(stream, quality=95)
    assert np.abs(pixels(stream.getvalue()).astype(int) - flat).max() <= 6


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.TIF", b"", True), ("a.heic", b"", True), ("a.jp2", b"", True), ("a.gif", b"", True),
        ("a.txt", png(), False), ("a.csv", png(), False), ("a", png(), True), ("a", b"", False), ("a", b"II", False),
        ("a", b"Python is a language", False), ("a", b"P3 is a file", False), ("a", b"P3 # \n8 8", True),
        ("a", b"BMW and others, a list", False), ("a", b"\0\0\0\x18ftypheic\0\0", True), ("a", GOLDEN["GIF"][0], True),
        ("a", encoded(Image.fromarray(noise()), "BMP"), True), ("a", encoded(Image.fromarray(noise()), "AVIF"), True),
        ("a", encoded(Image.fromarray(noise()), "WEBP"), True), ("a", GOLDEN["JPEG 2000"][0], True),
        ("a", GOLDEN["TIFF RGB of 16 bits, big-endian"][0], True),
        ("v1.2/a", encoded(Image.new("L", (8, 8)), "JPEG"), True),
    ],
)  # fmt: skip
def test_a_suffix_or_without_one_the_first_bytes_decide_what_is_looked_at(
    name: str, content: bytes, expected: bool, tmp_path: Path
) -> None:
    assert is_image(name, content) is expected
    (tmp_path / Path(name).name).write_bytes(content)
    assert is_image(name, tmp_path / Path(name).name) is expected
