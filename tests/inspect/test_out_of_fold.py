"""Out-of-fold predictions come from classifiers not trained on the image, and leave no files."""

import os
import signal
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.runs import StopAfter
from harness.tiny import dataset, recipe
from tenfold.core.errors import DataError, Interrupted, TrainingError
from tenfold.core.progress import SilentProgress
from tenfold.data.splits import stratified_folds
from tenfold.inspect import out_of_fold
from tenfold.inspect.out_of_fold import out_of_fold_logits, scale_duration
from tenfold.recipes.durations import Duration
from tenfold.recipes.load import resolve

SHORT = recipe("mlp", "train.batch_size=4", "model.hidden=[4]", "train.duration=1 epochs")


class RecordedProgress(SilentProgress):
    """Records messages and preparation steps."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.prepared: list[tuple[str, int, int]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def prepare(self, description: str, done: int, total: int) -> None:
        self.prepared.append((description, done, total))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 7), st.integers(0, 2**40))
def test_fold_sizes_are_even_in_all_and_in_each_class(labels, folds, seed):
    array = np.array(labels, np.int64)
    fold_of = stratified_folds(array, folds, seed)
    assert ((fold_of >= 0) & (fold_of < folds)).all()
    for members in (np.ones(len(array), bool), *(array == label for label in set(labels))):
        counts = [int((fold_of[members] == fold).sum()) for fold in range(folds)]
        assert max(counts) - min(counts) <= 1
    assert (stratified_folds(array, folds, seed) == fold_of).all()


@pytest.mark.parametrize(
    ("duration", "scaled"), [("2 epochs", "5 epochs"), ("3 steps", "8 steps"), ("0.5 s", "1.25 s")]
)
def test_duration_and_min_steps_are_scaled_in_their_own_unit(duration, scaled):
    found = scale_duration(recipe("mlp", f"train.duration={duration}", "train.min_steps=5"), 2.5).train
    assert (found.duration, found.min_steps) == (Duration.parse(scaled), 13)


def test_another_seed_gives_other_folds():
    labels = np.zeros(50, np.int64)
    assert (stratified_folds(labels, 5, 0) != stratified_folds(labels, 5, 1)).any()


def test_no_image_is_predicted_by_a_classifier_trained_on_it(monkeypatch):
    data, predicted = dataset(train=12), []

    def logits_of(chosen, part, progress):
        trained = {image.tobytes() for image in part.train.images}
        assert not trained & {image.tobytes() for image in part.test.images}
        assert len(part.train) + len(part.test) == 12
        assert part.val is None
        predicted.extend(image.tobytes() for image in part.test.images)
        return np.full((len(part.test), 3), chosen.train.seed % 1000, np.float32) + part.test.labels[:, None]

    monkeypatch.setattr(out_of_fold, "_train_and_predict", logits_of)
    logits = out_of_fold_logits(SHORT, data, 4, 0, SilentProgress())
    assert Counter(predicted) == Counter(image.tobytes() for image in data.train.images)
    assert logits.dtype == np.float32
    assert len(np.unique(logits - data.train.labels[:, None])) == 4  # one seed per fold


def test_the_same_seed_gives_the_same_bits_and_leaves_no_files(temporary):
    data = dataset(train=24, val=6)
    random, first = torch.get_rng_state(), out_of_fold_logits(SHORT, data, 2, 3, SilentProgress())
    assert first.shape == (24, 3)
    assert np.isfinite(first).all()
    assert (out_of_fold_logits(SHORT, data, 2, 3, SilentProgress()) == first).all()
    assert (out_of_fold_logits(SHORT, data, 2, 4, SilentProgress()) != first).any()
    assert list(temporary.iterdir()) == []
    assert (torch.get_rng_state() == random).all()


def test_easy_images_are_predicted_right_and_progress_is_reported(temporary):
    data, progress = dataset(train=48), RecordedProgress()
    logits = out_of_fold_logits(recipe("mlp", "train.duration=6 epochs"), data, 2, 0, progress)
    assert (logits.argmax(1) == data.train.labels).mean() > 0.7
    messages = [text for text in progress.messages if text.startswith("fold ")]
    assert [text.partition(":")[0] for text in messages] == ["fold 1 of 2", "fold 2 of 2"]
    assert all(text.endswith("% of 24 images predicted as labeled") for text in messages)
    assert {text for text, *_ in progress.prepared} == {f"Training fold {n} of 2, step" for n in (1, 2)}
    assert all(0 < done <= total for _, done, total in progress.prepared)


def test_early_stopping_and_a_target_are_switched_off(temporary):
    stops = recipe("mlp", "train.early_stop=1", "train.target=0.1", "model.hidden=[4]", "train.duration=1 epochs")
    assert len(out_of_fold_logits(stops, dataset(train=12), 2, 0, SilentProgress())) == 12


@pytest.mark.parametrize("folds", [0, 1, 13])
def test_an_impossible_number_of_folds_is_an_error(folds):
    with pytest.raises(DataError, match=f"12 images cannot be split into {folds} folds; expected 2 to 12"):
        out_of_fold_logits(SHORT, dataset(train=12), folds, 0, SilentProgress())


def test_a_loss_that_is_not_finite_suggests_a_lower_rate_and_no_resume(temporary):
    with pytest.raises(TrainingError, match=r"lower learning rate than 1e\+09: --set optim.lr=0.01$"):
        out_of_fold_logits(resolve(SHORT, {"optim.lr": 1e9}), dataset(train=24), 2, 0, SilentProgress())
    assert list(temporary.iterdir()) == []


def test_a_stop_leaves_no_files_and_suggests_no_resume(temporary):
    with StopAfter(5).installed(signal.SIGINT), pytest.raises(Interrupted, match="nothing was written") as caught:
        out_of_fold_logits(SHORT, dataset(train=24), 2, 0, SilentProgress())
    assert "resume" not in str(caught.value)
    assert list(temporary.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler or os.environ.get("PYTEST_XDIST_WORKER")
