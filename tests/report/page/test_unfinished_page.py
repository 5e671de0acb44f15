"""The page of a run without a result: where it stands, what the doctor says and how to go on."""

from pathlib import Path

from harness.pages import read_page
from harness.written_runs import written_run
from tenfold.api.report import report
from tenfold.report.page.unfinished_page import unfinished_page
from tenfold.runs.log import Log
from tenfold.runs.run_folder import RunFolder


def unfinished(root: Path, *events: str) -> RunFolder:
    folder = RunFolder.open(written_run(root, "run", "10", ["optim.lr=50"], finished=False))
    log = Log(folder.log)
    for step, event in enumerate(events):
        log.write(event, step=step)
    return folder


def test_a_diverged_run_has_a_page_with_the_way_out(tmp_path: Path) -> None:
    folder = unfinished(tmp_path, "started", "checkpoint", "loss not finite")
    assert report(folder.path) == folder.report
    html = read_page(folder.report.read_text("utf-8"))
    assert html.one("p", class_="state").text == "Diverged at step 2"
    assert f"tenfold train --resume {folder.path} --lr 0.01" in html.text
    (finding,) = html.one("section", id="doctor").all("li")
    assert "The loss became NaN or infinite at step 2" in finding.text
    assert "Go on with a lower one: tenfold train --resume RUN --lr 0.01." in finding.text
    assert "Loss until step 3: train from 2.000 to 0.667" in folder.report.read_text("utf-8")


def test_a_stopped_run_has_a_page_with_its_curves_so_far(tmp_path: Path) -> None:
    folder = unfinished(tmp_path, "started", "checkpoint")
    html = read_page(unfinished_page(folder))
    assert html.one("p", class_="state").text == "Not finished: step 3"
    assert f"tenfold train --resume {folder.path}" in html.text
    assert "--lr" not in html.one("header").text
    assert "it was stopped, or is still training" in html.text


def test_a_run_that_ended_before_its_first_row_has_a_page(tmp_path: Path) -> None:
    folder = unfinished(tmp_path, "started", "loss not finite")
    folder.metrics.unlink()
    html = read_page(unfinished_page(folder))
    assert "No metrics were recorded." in html.text
