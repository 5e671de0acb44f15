"""The run doctor on real runs: with problems, without, unfinished, old and damaged."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tenfold
from harness.tiny import dataset
from harness.written_runs import written_run
from tenfold.core.errors import TrainingError
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset
from tenfold.report.doctor.diagnose import RULES, apply_rules, diagnose, doctor_lines
from tenfold.report.doctor.evidence import Diagnosis, Evidence
from tenfold.runs.run_folder import RunFolder

Trained = Callable[..., RunFolder]
PLAIN = ("train.device=cpu", "train.threads=1", "train.precision=float32", "train.batch_size=16")


@cache
def shapes() -> Dataset:
    return build_shapes(train=200, test=400)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Returns a function that trains `mlp` on hard or easy images, once for each recipe."""

    @cache
    def train(data: str, *overrides: str) -> RunFolder:
        datasets = {"hard": shapes, "easy": lambda: dataset(test=300)}[data]()
        runs = tmp_path_factory.mktemp("runs")
        with suppress(TrainingError):  # which is what some of these runs are for
            tenfold.train("mlp", data=datasets, overrides=[*PLAIN, *overrides], name="run", runs=runs, report=False)
        return RunFolder.open(runs / "run")

    return train


def diagnoses(folder: RunFolder) -> dict[str, Diagnosis]:
    return {diagnosis.rule: diagnosis for diagnosis in diagnose(folder)}


def test_a_good_run_has_no_diagnosis(trained: Trained) -> None:
    folder = trained("easy", "train.duration=8 epochs", "optim.lr=0.01")
    assert folder.read_summary()["test_accuracy"] > 0.95  # otherwise it is not a good run
    assert diagnose(folder) == ()
    assert doctor_lines(()) == ["run doctor: nothing unusual"]


def test_a_rate_too_low_shows_in_a_flat_loss(trained: Trained) -> None:
    found = diagnoses(trained("hard", "train.duration=5 epochs", "optim.lr=1e-7"))
    assert list(found)[:2] == ["chance", "rate-too-low"]
    assert re.search(r"hardly moved in 65 steps, from 2\.\d+ to 2\.\d+: .* 1e-07, is too low", _sentences(found))
    assert found["rate-too-low"].remedy == "Raise it: --lr 0.001 (now 1e-07)."
    assert re.search(
        r"Test accuracy, \d+\.\d % \(95 % interval .* %\) of 400 test images, .* among 10 classes "
        r"\(10\.0 %\); the training loss went from 2\.30 to 2\.30\.",
        found["chance"].sentence,
    )
    assert found["chance"].remedy.startswith("Change the learning rate first;")


def test_a_rate_too_high_shows_in_a_loss_above_a_uniform_prediction(trained: Trained) -> None:
    found = diagnoses(trained("hard", "train.duration=4 epochs", "optim.lr=3"))
    assert "rate-too-high" in found
    assert re.search(r"ended at \S+, while a uniform prediction has 2\.30: .*, 3, is too high", _sentences(found))
    assert found["rate-too-high"].remedy.startswith("Lower it: --lr 0.1 (now 3), or add warmup: ")
    assert "one-class" in found or "chance" in found


def test_a_loss_that_is_not_finite_is_the_only_diagnosis(trained: Trained) -> None:
    folder = trained("hard", "optim.lr=1e9")
    assert not folder.is_finished
    (found,) = diagnose(folder)
    assert re.search(r"became NaN or infinite at step \d+, .* 1e\+09, is too high", found.sentence)
    assert found.remedy.startswith(
        "Go on with a lower one: tenfold train --resume RUN --lr 0.01. It starts from the last"
    )


def test_overfitting_is_found_without_a_validation_split(trained: Trained) -> None:
    found = diagnoses(trained("hard", "train.duration=25 epochs", "optim.lr=0.02"))["over-fit"]
    assert re.search(
        r"^Overfitting: the training accuracy .* is \d\d\.\d %, but .* only \d+\.\d % \(95 %", found.sentence
    )
    assert "--set data.augment.flip=random --set data.augment.shift=2" in found.remedy
    assert "--set data.val_fraction=0.1" in found.remedy


def test_every_file_may_be_missing_or_damaged(tmp_path: Path) -> None:
    names = ("recipe.toml", "env.json", "log.jsonl", "metrics.csv", "summary.json", "predictions.csv")
    for content in (None, b"", b"\xff{", b"[]\n\n", b"a,b\n1,2\n"):
        for name in names:
            run = written_run(
                tmp_path, f"{names.index(name)}{content!r:.9}".replace("\\", "").replace("'", ""), "10" * 9
            )
            if content is None:
                (run / name).unlink(missing_ok=True)
            else:
                (run / name).write_bytes(content)
            assert all(isinstance(diagnosis, Diagnosis) for diagnosis in diagnose(RunFolder(run)))


def test_an_old_run_without_the_newer_keys_is_diagnosed(tmp_path: Path) -> None:
    run = written_run(tmp_path, "old", "10" * 60)
    assert not {"loading_seconds", "batch_size"} & set(json.loads((run / "summary.json").read_text("utf-8")))
    assert [diagnosis.rule for diagnosis in diagnose(RunFolder(run))] == ["one-class"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["pictures", "val", "a"]), inner),
    max_leaves=4,
)
keys = st.sampled_from(
    ["dataset", "target", "val_accuracy", "evaluation", "training_seconds", "loading_seconds", "hardware", "batch_size"]
)


@settings(max_examples=200, deadline=None)  # the first example trains the run
@given(
    st.dictionaries(keys, json_values, min_size=1),
    st.dictionaries(st.sampled_from(["gpu", "accelerators"]), json_values),
)
def test_no_rule_fails_on_any_summary(trained: Trained, summary: dict[str, Any], environment: dict[str, Any]) -> None:
    evidence = Evidence.read(trained("hard", "train.duration=5 epochs", "optim.lr=1e-7"))
    apply_rules(replace(evidence, summary=summary, environment=environment))


def test_at_most_five_diagnoses_are_given_most_serious_first(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["not-finite", "rate-too-high", "unlike-validation", "large-batch", "wide-interval", "clipped-colours"]
    rules = tuple(lambda evidence, name=name: Diagnosis(name, "It is so.", "Do this.") for name in names)
    monkeypatch.setattr("tenfold.report.doctor.diagnose.RULES", rules)
    assert [diagnosis.rule for diagnosis in apply_rules(Evidence())] == names[:5]


def test_a_consequence_of_another_diagnosis_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("one-class", "chance")
    rules = tuple(lambda evidence, name=name: Diagnosis(name, "It is so.", "Do this.") for name in names)
    monkeypatch.setattr("tenfold.report.doctor.diagnose.RULES", rules)
    assert [diagnosis.rule for diagnosis in apply_rules(Evidence())] == ["one-class"]


def test_no_rule_speaks_without_evidence() -> None:
    assert [rule(Evidence()) for rule in RULES] == [None] * len(RULES)


texts = st.lists(st.sampled_from(["images", "61.7 %", "--set optim.lr=0.1", "a", "78.5–80.1 %,"]), min_size=1).map(
    " ".join
)


@settings(deadline=None)
@given(st.lists(st.builds(Diagnosis, st.just("rule"), texts, texts), min_size=1, max_size=5), st.integers(30, 120))
def test_lines_hold_every_word_and_never_split_a_percentage(found: list[Diagnosis], width: int) -> None:
    lines = doctor_lines(found, width)
    expected = ["run", "doctor:"]
    for number, diagnosis in enumerate(found, start=1):
        expected += [f"{number}.", *diagnosis.sentence.split(), "→", *diagnosis.remedy.split()]
    assert " ".join(lines).split() == expected
    assert all(len(line) <= width and not line.lstrip().startswith("%") for line in lines)


def test_the_documentation_lists_every_rule() -> None:
    page = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    sources = "".join(
        path.read_text("utf-8") for path in (Path(tenfold.__file__).parent / "report" / "doctor").glob("*.py")
    )
    assert documented == set(re.findall(r'Diagnosis\(\s*"([a-z-]+)"', sources))


def _sentences(found: dict[str, Diagnosis]) -> str:
    return " ".join(diagnosis.sentence for diagnosis in found.values())
