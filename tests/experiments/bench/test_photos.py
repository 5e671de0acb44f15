"""Tests of the benchmark of photos."""

from pathlib import Path

import pytest

from harness.runs import noise_dataset
from tenfold.core.cache import cache_folder
from tenfold.core.progress import SilentProgress
from tenfold.experiments.bench import photos
from tenfold.experiments.bench.photos import PhotoBench, measure_features, time_photo_runs
from tenfold.experiments.bench.timed_runs import TimedRun
from tenfold.report.tables.bench_tables import photo_report

RUN = TimedRun(3.0, 1.0, None, 0.9, (0.8, 0.95), 500.0, 0, "cpu")


def test_each_seed_runs_first_without_features_and_then_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    for name in ("stores", "features"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").write_text("user's")
    seen: list[tuple[int, bool, bool]] = []

    def run(recipe: str, flags: list[str], seed: int, runs: Path) -> TimedRun:
        cache = cache_folder()
        seen.append((seed, (cache / "stores" / "kept").is_file(), (cache / "features").is_dir()))
        (cache / "features").mkdir(exist_ok=True)
        return RUN

    monkeypatch.setattr(photos, "run_tenfold", run)
    first, again = time_photo_runs("photo", [], 2, SilentProgress())
    assert (len(first), len(again)) == (2, 2)
    assert seen == [(0, True, False), (0, True, True), (1, True, False), (1, True, True)]
    assert cache_folder() == tmp_path
    assert (tmp_path / "features" / "kept").read_text() == "user's"


def test_the_report_compares_features_with_plain_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path))
    monkeypatch.setattr(photos, "_NUM_IMAGES", 2)
    (throughput,) = measure_features(1e-3, [32])
    assert throughput.features.median > 0
    assert not (tmp_path / "features").exists()  # noise is nothing to remember
    result = PhotoBench("photo", noise_dataset().name, (RUN,), (RUN,), (throughput,)).to_json()
    result["environment"] = {}
    assert len(photo_report(result)) > 3
    assert result["throughput"][0]["side"] == 32
