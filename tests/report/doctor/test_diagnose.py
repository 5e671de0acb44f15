"""The run doctor on real runs: ill ones, well ones, unfinished, old and damaged ones."""

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
from harness.written import written_run
from tenfold.core.errors import TrainingError
from tenfold.data.sources.shapes import build_shapes
from tenfold.data.types import Dataset
from tenfold.report.doctor.diagnose import RULES, diagnose, doctor_lines, findings
from tenfold.report.doctor.evidence import Case, Finding
from tenfold.runs.run_folder import RunFolder

Trained = Callable[..., RunFolder]
PLAIN = ("train.device=cpu", "train.threads=1", "train.precision=float32", "train.batch_size=16")


@cache
def shapes() -> Dataset:
    return build_shapes(train=200, test=400)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Returns a run of `mlp` on hard or easy pictures; nobody writes into it."""

    @cache
    def train(data: str, *overrides: str) -> RunFolder:
        pictures = {"hard": shapes, "easy": lambda: dataset(test=300)}[data]()
        runs = tmp_path_factory.mktemp("runs")
        with suppress(TrainingError):  # which is what some of these runs are for
            tenfold.train("mlp", data=pictures, overrides=[*PLAIN, *overrides], name="run", runs=runs, report=False)
        return RunFolder.open(runs / "run")

    return train


def by_rule(folder: RunFolder) -> dict[str, Finding]:
    return {finding.rule: finding for finding in diagnose(folder)}


def test_a_good_run_leaves_nothing_to_say(trained: Trained) -> None:
    folder = trained("easy", "train.duration=8 epochs", "optim.lr=0.01")
    assert folder.read_summary()["test_accuracy"] > 0.95  # or it is no good run
    assert diagnose(folder) == ()
    assert doctor_lines(()) == ["run doctor: nothing conspicuous"]


def test_a_rate_too_low_is_seen_in_a_loss_that_stays_where_it_was(trained: Trained) -> None:
    found = by_rule(trained("hard", "train.duration=5 epochs", "optim.lr=1e-7"))
    assert list(found)[:2] == ["chance", "rate-too-low"]
    assert re.search(r"hardly moved in 65 steps, from 2\.\d+ to 2\.\d+: .* 1e-07, is too low", _sentence(found))
    assert found["rate-too-low"].remedy == "Raise it: --lr 0.001 (now 1e-07)."
    assert re.search(
        r"Accuracy, \d+\.\d % \(95 % interval .* %\) of 400 test pictures, .* among 10 classes, which is "
        r"right for 10\.0 %; the training loss went from 2\.30 to 2\.30\.",
        found["chance"].sentence,
    )
    assert found["chance"].remedy.startswith("Change the learning rate first;")


def test_a_rate_too_high_is_seen_in_a_loss_above_that_of_knowing_nothing(trained: Trained) -> None:
    found = by_rule(trained("hard", "train.duration=4 epochs", "optim.lr=3"))
    assert "rate-too-high" in found
    assert re.search(r"ended at \S+, and a network that knows nothing has 2\.30: .*, 3, is too high", _sentence(found))
    assert found["rate-too-high"].remedy.startswith("Lower it: --lr 0.1 (now 3), or let it rise slowly")
    assert "one-class" in found or "chance" in found


def test_what_ended_a_run_is_the_first_thing_to_say(trained: Trained) -> None:
    folder = trained("hard", "optim.lr=1e9")
    assert not folder.is_finished
    (found,) = diagnose(folder)
    assert re.search(r"no longer a number at step \d+, .* 1e\+09, is too high", found.sentence)
    assert (
        found.remedy == "Begin anew with a lower one: --lr 0.1 (now 1e+09), or let it rise slowly: "
        "--set optim.warmup=0.1."
    )


def test_pictures_learnt_by_heart_are_seen_without_validation_pictures(trained: Trained) -> None:
    found = by_rule(trained("hard", "train.duration=25 epochs", "optim.lr=0.02"))["over-fit"]
    assert re.search(
        r"^Over-fit: \d\d\.\d % of the training pictures were right .* only \d+\.\d % \(95 %", found.sentence
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
            assert all(isinstance(finding, Finding) for finding in diagnose(RunFolder(run)))


def test_an_old_run_without_the_newer_keys_is_judged_by_what_it_has(tmp_path: Path) -> None:
    run = written_run(tmp_path, "old", "10" * 60)
    assert not {"loading_seconds", "batch_size"} & set(json.loads((run / "summary.json").read_text("utf-8")))
    assert [finding.rule for finding in diagnose(RunFolder(run))] == ["one-class"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["pictures", "val", "a"]), inner),
    max_leaves=4,
)
keys = st.sampled_from(
    ["dataset", "target", "val_accuracy", "evaluation", "training_seconds", "loading_seconds", "hardware", "batch_size"]
)


@settings(max_examples=200, deadline=None)  # the first one waits for the run
@given(
    st.dictionaries(keys, json_values, min_size=1),
    st.dictionaries(st.sampled_from(["gpu", "accelerators"]), json_values),
)
def test_whatever_a_summary_holds_breaks_no_rule(
    trained: Trained, summary: dict[str, Any], environment: dict[str, Any]
) -> None:
    case = Case.of(trained("hard", "train.duration=5 epochs", "optim.lr=1e-7"))
    findings(replace(case, summary=summary, environment=environment))


def test_at_most_five_are_told_gravest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["not-finite", "rate-too-high", "unlike-validation", "large-batch", "wide-interval", "clipped-colours"]
    rules = tuple(lambda case, name=name: Finding(name, "It is so.", "Do this.") for name in names)
    monkeypatch.setattr("tenfold.report.doctor.diagnose.RULES", rules)
    assert [finding.rule for finding in findings(Case())] == names[:5]


def test_what_follows_from_a_finding_is_not_said_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tuple(lambda case, name=name: Finding(name, "It is so.", "Do this.") for name in ("one-class", "chance"))
    monkeypatch.setattr("tenfold.report.doctor.diagnose.RULES", rules)
    assert [finding.rule for finding in findings(Case())] == ["one-class"]


def test_a_case_of_which_nothing_is_known_is_silent() -> None:
    assert [rule(Case()) for rule in RULES] == [None] * len(RULES)


texts = st.lists(st.sampled_from(["pictures", "61.7 %", "--set optim.lr=0.1", "a", "78.5–80.1 %,"]), min_size=1).map(
    " ".join
)


@settings(deadline=None)
@given(st.lists(st.builds(Finding, st.just("rule"), texts, texts), min_size=1, max_size=5), st.integers(30, 120))
def test_lines_hold_every_word_and_keep_percent_signs_with_their_numbers(found: list[Finding], width: int) -> None:
    lines = doctor_lines(found, width)
    expected = ["run", "doctor:"]
    for number, finding in enumerate(found, start=1):
        expected += [f"{number}.", *finding.sentence.split(), "→", *finding.remedy.split()]
    assert " ".join(lines).split() == expected
    assert all(len(line) <= width and not line.lstrip().startswith("%") for line in lines)


def test_the_page_of_rules_names_each_of_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text("utf-8")
    told = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    sources = "".join(
        path.read_text("utf-8") for path in (Path(tenfold.__file__).parent / "report" / "symptoms").glob("*.py")
    )
    assert told == set(re.findall(r'Finding\(\s*"([a-z-]+)"', sources))


def _sentence(found: dict[str, Finding]) -> str:
    return " ".join(finding.sentence for finding in found.values())
