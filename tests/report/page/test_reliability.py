"""Charts of the calibration section: values, tooltips and descriptions for screen readers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.predicted_runs import predicted_run, random_predictions
from tenfold.core.text import interval
from tenfold.evaluate.calibration import reject_curve, reliability
from tenfold.report.page.predictions import load_predictions
from tenfold.report.page.reliability import calibration_section, reject_chart, reliability_chart
from tenfold.runs.tables import PredictionRow


def test_bins_show_confidence_accuracy_and_interval() -> None:
    confidence, correct = np.array([0.9] * 8 + [0.3] * 2), np.array([True] * 6 + [False] * 4)
    bins = reliability(confidence, correct)
    chart = reliability_chart(bins, calibrated=bins)
    assert [series.name for series in chart.series] == ["as trained", "calibrated"]
    expected = f"confidence 90.0 %, accuracy 75.0 % ({interval(bins[-1].interval)}), 8 images"
    assert chart.series[0].points[-1][2] == expected
    assert "mean confidence 78.0 %, accuracy 60.0 %, 10 images" in chart.description


def test_the_best_coverage_with_2_percent_errors_is_marked() -> None:
    confidence = np.linspace(0.999, 0.5, 100)
    curve = reject_curve(confidence, np.arange(100) < 60)
    chart = reject_chart(curve)
    marked = chart.series[1]
    assert marked.name == "2 % errors"
    best = max(coverage for coverage, error in zip(curve.coverage, curve.error_rate, strict=True) if error <= 0.02)
    assert f"{100 * best:.1f} % classified, at most 2.0 % wrong" in marked.points[0][2]
    nearest = min(chart.series[0].points, key=lambda point: abs(point[0] - marked.points[0][0]))
    assert abs(nearest[1] - marked.points[0][1]) < 1.0  # the mark lies on the curve


def test_without_a_threshold_of_few_errors_there_is_no_mark() -> None:
    chart = reject_chart(reject_curve(np.array([0.9, 0.5]), np.array([False, True])))
    assert [series.name for series in chart.series] == ["error rate"]
    assert "no threshold has at most 2.0 % errors" in chart.description


@pytest.mark.parametrize(
    ("calibration", "text"),
    [
        ({"pictures": 1}, "temperature 0.50, fitted to 1 validation image"),  # of an earlier version
        ({"pictures": 5000, "source": "val"}, "temperature 0.50, fitted to 5,000 validation images"),
        (
            {"pictures": 2000, "source": "train", "views": 1},
            "temperature 0.50, fitted to 2,000 training images that were seen at most once in training",
        ),
    ],
)
def test_the_page_says_which_images_a_temperature_was_fitted_to(
    calibration: dict[str, Any], text: str, tmp_path: Path
) -> None:
    folder = predicted_run(tmp_path, "run", ["a", "b"], random_predictions(["a", "b"], 20, calibrated=True))
    folder.write_summary({**folder.read_summary(), "calibration": {"temperature": 0.5, **calibration}})
    section = calibration_section(load_predictions(folder), folder)
    assert f"temperature {section.temperature}" == text


@pytest.mark.parametrize(
    ("num_images", "verdict"), [(36, "the two cannot be told apart with 36 images."), (2000, "the two agree.")]
)
def test_a_wide_interval_shows_no_agreement_of_confidence_and_accuracy(
    num_images: int, verdict: str, tmp_path: Path
) -> None:
    classes = ["a", "b"]
    rows = [PredictionRow(str(i), "a", "b" if i % 4 == 0 else "a", 0.76, None) for i in range(num_images)]
    folder = predicted_run(tmp_path, "run", classes, rows)
    assert verdict in calibration_section(load_predictions(folder), folder).comparison
