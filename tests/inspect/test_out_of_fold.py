"""Pictures judged by classifiers that have not learnt from them, and nothing left behind."""

import os
import signal
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.runs import StopAfter
from harness.tiny import dataset, recipe
from tenfold.core.errors import DataError, Interrupted
from tenfold.core.progress import Silent
from tenfold.inspect import out_of_fold
from tenfold.inspect.out_of_fold import lengthened, out_of_fold_logits, stratified_folds
from tenfold.recipes.durations import Duration

SHORT = recipe("mlp", "train.batch_size=4", "model.hidden=[4]", "train.duration=1 epochs")


class Notes(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.prepared: list[tuple[str, int, int]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def prepare(self, description: str, done: int, total: int) -> None:
        self.prepared.append((description, done, total))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that nobody else uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 7), st.integers(0, 2**40))
def test_folds_are_even_in_all_and_in_each_class(labels, folds, seed):
    array = np.array(labels, np.int64)
    dealt = stratified_folds(array, folds, seed)
    assert ((dealt >= 0) & (dealt < folds)).all()
    for members in (np.ones(len(array), bool), *(array == label for label in set(labels))):
        counts = [int((dealt[members] == fold).sum()) for fold in range(folds)]
        assert max(counts) - min(counts) <= 1
    assert (stratified_folds(array, folds, seed) == dealt).all()


@pytest.mark.parametrize(
    ("duration", "longer"), [("2 epochs", "5 epochs"), ("3 steps", "8 steps"), ("0.5 s", "1.25 s")]
)
def test_a_training_is_lengthened_in_its_own_unit_and_so_are_its_fewest_steps(duration, longer):
    found = lengthened(recipe("mlp", f"train.duration={duration}", "train.min_steps=5"), 2.5).train
    assert (found.duration, found.min_steps) == (Duration.parse(longer), 13)


def test_another_seed_deals_other_folds():
    labels = np.zeros(50, np.int64)
    assert (stratified_folds(labels, 5, 0) != stratified_folds(labels, 5, 1)).any()


def test_no_picture_is_judged_by_what_learnt_from_it(monkeypatch):
    pictures, seen = dataset(train=12), []

    def judged(chosen, part, progress):
        learnt = {image.tobytes() for image in part.train.images}
        assert not learnt & {image.tobytes() for image in part.test.images}
        assert len(part.train) + len(part.test) == 12
        assert part.val is None
        seen.extend(image.tobytes() for image in part.test.images)
        return np.full((len(part.test), 3), chosen.train.seed % 1000, np.float32) + part.test.labels[:, None]

    monkeypatch.setattr(out_of_fold, "_trained_and_judged", judged)
    logits = out_of_fold_logits(SHORT, pictures, 4, 0, Silent())
    assert Counter(seen) == Counter(image.tobytes() for image in pictures.train.images)
    assert logits.dtype == np.float32
    assert len(np.unique(logits - pictures.train.labels[:, None])) == 4  # each fold with a seed of its own


def test_the_same_seed_gives_the_same_bits_and_leaves_nothing_behind(temporary):
    pictures = dataset(train=24, val=6)
    random, first = torch.get_rng_state(), out_of_fold_logits(SHORT, pictures, 2, 3, Silent())
    assert first.shape == (24, 3)
    assert np.isfinite(first).all()
    assert (out_of_fold_logits(SHORT, pictures, 2, 3, Silent()) == first).all()
    assert (out_of_fold_logits(SHORT, pictures, 2, 4, Silent()) != first).any()
    assert list(temporary.iterdir()) == []
    assert (torch.get_rng_state() == random).all()


def test_easy_pictures_are_judged_rightly_and_the_progress_is_told(temporary):
    pictures, notes = dataset(train=48), Notes()
    logits = out_of_fold_logits(recipe("mlp", "train.duration=6 epochs"), pictures, 2, 0, notes)
    assert (logits.argmax(1) == pictures.train.labels).mean() > 0.7
    told = [text for text in notes.messages if text.startswith("fold ")]
    assert [text.partition(":")[0] for text in told] == ["fold 1 of 2", "fold 2 of 2"]
    assert all(text.endswith("% of 24 pictures as labelled") for text in told)
    assert {text for text, *_ in notes.prepared} == {f"Training fold {n} of 2, step" for n in (1, 2)}
    assert all(0 < done <= total for _, done, total in notes.prepared)


def test_a_recipe_that_stops_early_goes_to_its_end(temporary):
    stops = recipe("mlp", "train.early_stop=1", "train.target=0.1", "model.hidden=[4]", "train.duration=1 epochs")
    assert len(out_of_fold_logits(stops, dataset(train=12), 2, 0, Silent())) == 12


@pytest.mark.parametrize("folds", [0, 1, 13])
def test_folds_that_cannot_be_dealt_are_refused(folds):
    with pytest.raises(DataError, match=f"12 pictures cannot be dealt to {folds} folds; expected 2 to 12"):
        out_of_fold_logits(SHORT, dataset(train=12), folds, 0, Silent())


def test_a_stop_leaves_nothing_behind_and_names_no_run_to_go_on_with(temporary):
    with StopAfter(5).installed(signal.SIGINT), pytest.raises(Interrupted, match="nothing was written") as caught:
        out_of_fold_logits(SHORT, replace(dataset(train=24)), 2, 0, Silent())
    assert "resume" not in str(caught.value)
    assert list(temporary.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler or os.environ.get("PYTEST_XDIST_WORKER")
