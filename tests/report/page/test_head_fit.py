"""Tests of what the page and the doctor say of a fitted head."""

import pytest

import tenfold
from harness.runs import noise_dataset
from tenfold.recipes.load import load_recipe
from tenfold.report.doctor.diagnose import diagnose
from tenfold.report.page.head_fit import head_section
from tenfold.report.page.run_page import write_page
from tenfold.runs.run_folder import RunFolder

HEAD = ["train.layers=head", "train.batch_size=12", "train.threads=1", "train.duration=2 epochs"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Returns the folder of a run that fitted its head."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENFOLD_CACHE", str(runs / "cache"))
        data = noise_dataset(train=24, val=0)
        found = tenfold.train("mlp", data=data, overrides=HEAD, name="head", runs=runs, report=False)
    assert isinstance(found, tenfold.Run)
    return RunFolder.open(found.path)


def test_the_page_shows_the_strengths_instead_of_curves(run: RunFolder) -> None:
    text = write_page(run, None, why_no_data="no data").read_text()
    assert "<h2>Fitted head</h2>" in text
    assert "Training curves" not in text
    assert "Loss out of fold" in text
    assert "each of 24 images shown twice" in text
    assert "frozen but for its head, L2 strength" in text
    assert "24 training images, each predicted out of fold" in text


def test_the_section_says_how_the_strength_was_chosen(run: RunFolder) -> None:
    section = head_section(load_recipe(run.recipe), run.read_summary())
    assert section is not None
    assert "lowest loss in a 5-fold cross-validation within the training images" in section.text
    assert section.chart is not None


def test_a_strength_that_was_given_has_no_chart(run: RunFolder) -> None:
    section = head_section(load_recipe(run.recipe), {"head": {"l2": 0.5, "chosen": None}})
    assert section is not None
    assert section.chart is None
    assert "L2 strength 0.5. There are no curves" in section.text


def test_a_run_of_all_layers_has_no_such_section(run: RunFolder) -> None:
    assert head_section(load_recipe("mlp"), run.read_summary()) is None


def test_the_doctor_does_not_speak_of_steps(run: RunFolder) -> None:
    rules = {diagnosis.rule for diagnosis in diagnose(run)}
    assert not rules & {"rate-too-low", "rate-too-high", "large-batch", "over-fit", "slow-loading"}
