"""A browser for all tests, and pages for it to open; tests that need the browser are skipped without one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tenfold
from harness.predicted_runs import dataset_of, predicted_run, random_predictions
from harness.tiny import dataset, recipe
from tenfold.report.page.run_page import write_page
from tenfold.runs.run_folder import RunFolder

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
CLASSES = ("cat", "dog", "<script>alert(1)</script>", "ship", "a name that is longer than any column should be")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium."""
    driver = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.is_file():
        pytest.skip(f"no {CHROMIUM}; install it (Debian: apt-get install chromium)")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with random predictions of five classes, one of which is named like a script."""
    rows = random_predictions(CLASSES, 300, calibrated=True)
    folder = predicted_run(tmp_path_factory.mktemp("made"), "made", CLASSES, rows)
    return write_page(folder, dataset_of(CLASSES, rows, side=32))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A trained run of a convolutional network, with a validation split; its data is `tiny.dataset(val=12)`."""
    run = tenfold.train(recipe("tutorial"), data=dataset(val=12), runs=tmp_path_factory.mktemp("runs"), report=False)
    return RunFolder.open(run.path)
