"""Data from an address: downloaded once, shown with size and checksum, verified; other addresses are refused whole."""

import hashlib
import io
import zipfile

import pytest

from harness.images import png
from harness.nasty_server import serving
from tenfold.api.data import absolute_paths, needs_download
from tenfold.core.errors import DataError, DownloadError
from tenfold.data.build import build_dataset
from tenfold.data.evaluation import scan_source
from tenfold.data.request import DataRequest
from tenfold.data.types import no_progress
from tenfold.recipes.load import resolve
from tenfold.recipes.schema import Recipe


def zipped_pets() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for seed, name in enumerate(("cat", "dog") * 5):
            archive.writestr(f"pets/{name}/{seed}.png", png(seed))
    return stream.getvalue()


PETS = zipped_pets()
SHA256 = hashlib.sha256(PETS).hexdigest()


def section(source):
    return resolve(Recipe(), {"data.source": source}).data


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


def test_an_archive_is_downloaded_once_and_said_with_size_and_checksum():
    with serving(PETS) as served:
        url = f"{served.url}/my%20pets.zip"
        assert needs_download(section(url))
        for _ in range(2):
            dataset = build_dataset(DataRequest(url))
            assert (dataset.name, dataset.classes, len(dataset.train)) == ("my-pets", ("cat", "dog"), 8)
            assert dataset.notes[0] == f"downloaded {url}: {len(PETS):,} bytes, SHA-256 {SHA256}"
        assert len(served.ranges) == 1
    assert not needs_download(section(url))
    assert absolute_paths(section(url)) == {"data.source": f"{url}#sha256={SHA256}"}
    assert len(scan_source(DataRequest(url), no_progress).layout.entries) == 10


def test_a_checksum_in_the_address_is_honored():
    with serving(PETS) as served:
        url = f"{served.url}/pets.zip"
        assert len(build_dataset(DataRequest(f"{url}#sha256={SHA256}")).train) == 8
        wrong = "0" * 64
        with pytest.raises(DataError, match=f"has SHA-256 {SHA256}, expected {wrong}"):
            build_dataset(DataRequest(f"{url}#sha256={wrong}"))


def test_a_file_with_another_checksum_never_becomes_data(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with serving(PETS) as served, pytest.raises(DownloadError) as error:
        build_dataset(DataRequest(f"{served.url}/pets.zip#sha256={'0' * 64}"))
    assert f"with SHA-256 {SHA256} arrived, expected SHA-256 {'0' * 64}" in str(error.value)


def test_what_the_server_does_not_have_is_said_with_the_whole_address():
    with serving(PETS, "404") as served, pytest.raises(DownloadError) as error:
        build_dataset(DataRequest(f"{served.url}/pets.zip"))
    assert f"{served.url}/pets.zip: the server answered with HTTP status 404" in str(error.value)
    assert str(error.value).endswith("check the address, or download it by hand and name the file with --data")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "https://example.org/pets",
            "https://example.org/pets is no address of an archive; expected https://… that ends",
        ),
        ("https://[::1/pets.zip", "https://[::1/pets.zip is no address of an archive"),
        ("hf://datasets/pets.parquet", "hf://datasets/pets.parquet is no address of an archive"),
        ("https://example.org/pets.zip#md5=1", "ends in #md5=1; expected #sha256= and 64 hex digits"),
    ],
)
def test_other_addresses_are_refused_with_the_address_intact(source, message):
    with pytest.raises(DataError) as error:
        build_dataset(DataRequest(source))
    assert message in str(error.value)


def test_an_address_without_encryption_is_refused():
    with pytest.raises(DownloadError, match=r"http://example\.org/pets\.zip: only https addresses are accepted"):
        build_dataset(DataRequest("http://example.org/pets.zip"))
