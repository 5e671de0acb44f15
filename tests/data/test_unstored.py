"""Images that are decoded when they are needed. Their values: `sources/test_webdataset.py`."""

import pytest

from tenfold.data import unstored
from tenfold.data.unstored import EncodedImages


@pytest.mark.parametrize(("cores", "processes", "threads"), [(8, 1, 8), (8, 3, 2), (2, 4, 1)])
def test_the_processes_of_a_machine_share_the_cores_that_they_may_use(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, threads: int
) -> None:
    monkeypatch.setattr(unstored, "num_cores", lambda: cores)
    for name, value in {"RANK": "0", "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}.items():
        monkeypatch.setenv(name, value)
    assert EncodedImages([], [], (8, 8), "crop")._threads._max_workers == threads
