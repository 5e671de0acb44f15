"""One grammar for all commands: the same flag means the same everywhere, and every option states its default."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.command_line import environment, run_tenfold
from tenfold.cli.grammar import ALIASES, FILE_FLAGS, rewritten
from tenfold.cli.main import app, main

DIFFER = {"--top", "--output", "--folds", "--format"}
"""Flags whose value depends on the command: classes or images to list, a file or a folder, what is done with folds,
formats of models or of images."""

OWN_FLAGS = {"--help", "--version", "--debug", "--install-completion", "--show-completion"}


def commands(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yields the words and the parser of every command that runs something."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def options(kind: str = "option") -> Iterator[tuple[str, Any]]:
    """Yields the command and the parameter of every option or argument."""
    for name, command in commands():
        yield from ((name, each) for each in command.params if each.param_type_name == kind and each.name != "help")


def without_default(text: str) -> str:
    return re.sub(r" \(default: .*\)\.$", ".", text)


def test_the_same_flag_has_the_same_metavar_and_help_everywhere() -> None:
    found = defaultdict(set)
    for _, option in options():
        if option.opts[0] not in DIFFER:
            found[option.opts[0]].add((tuple(option.opts), option.metavar, without_default(option.help)))
    assert len(found) > 40
    assert {flag: kinds for flag, kinds in found.items() if len(kinds) > 1} == {}


def test_the_same_argument_has_the_same_help_everywhere() -> None:
    found = defaultdict(set)
    for _, argument in options("argument"):
        if argument.metavar != "RUN":
            found[argument.metavar].add(without_default(argument.help))
    assert {metavar for metavar, texts in found.items() if len(texts) > 1} == set()


def test_the_help_of_every_option_is_one_sentence_that_states_the_default() -> None:
    for name, option in [*options(), *options("argument")]:
        assert option.help[0].isupper() or option.help.startswith("auto"), (name, option.opts)
        assert option.help.endswith("."), (name, option.opts)
        if option.default not in (None, False) and not option.required:
            stated = re.search(r"\(default: (.*)\)\.$", option.help)
            assert stated, (name, option.opts)
            if option.default is not True:
                assert stated[1] == f"{option.default:g}" if isinstance(option.default, float) else str(option.default)


def test_every_option_with_a_value_names_it() -> None:
    for name, option in options():
        assert option.is_flag or option.metavar, (name, option.opts)


def test_what_takes_data_takes_it_by_position_or_flag() -> None:
    with_data = {name for name, option in options() if "--data" in option.opts}
    by_position = {name for name, argument in options("argument") if argument.metavar == "DATA"}
    assert by_position == {
        "train", "sweep", "show", "check", "suspects", "embed", "data get", "data export", "bench data",
        "bench classic", "bench photo", "bench scale",
    }  # fmt: skip
    assert by_position < with_data
    other_position = {name for name, argument in options("argument") if argument.metavar != "DATA"}
    assert with_data - by_position <= other_position


def test_a_recipe_by_position_can_be_given_by_flag_too() -> None:
    with_recipe = {name for name, option in options() if "--recipe" in option.opts}
    assert {name for name, argument in options("argument") if "RECIPE" in argument.metavar} < with_recipe


def test_sweep_and_bench_train_take_the_short_flags_of_train() -> None:
    flags = defaultdict(set)
    for name, option in options():
        flags[name] |= {*option.opts, *option.secondary_opts}
    short = {"--epochs", "--batch-size", "--lr", "--device", "--data-dir", "--target", "--exclude", "--relabel"}
    assert short < flags["train"]
    assert short | {"--no-report"} < flags["sweep"]
    assert short < flags["bench train"]


def test_what_writes_json_or_csv_can_overwrite() -> None:
    writing = {name for name, option in options() if {*option.opts} & {*FILE_FLAGS, "--output"}}
    assert writing == {name for name, option in options() if "--force" in option.opts}


@pytest.mark.parametrize("old", ALIASES)
def test_each_older_spelling_is_understood_somewhere(old: str) -> None:
    flags = [{name for each in command.params for name in each.opts} for _, command in commands()]
    assert any(ALIASES[old] in known and old not in known for known in flags)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--json", "runs/a"], ["--json=-", "runs/a"]),
        (["runs/a", "--json"], ["runs/a", "--json=-"]),
        (["--json", "-", "runs/a"], ["--json", "-", "runs/a"]),
        (["--json", "a.JSON"], ["--json", "a.JSON"]),
        (["--json", "a.csv"], ["--json=-", "a.csv"]),
        (["--csv", "a.csv", "--json"], ["--csv", "a.csv", "--json=-"]),
        (["--json=anything"], ["--json=anything"]),
        (["--json", "--", "x.json"], ["--json=-", "--", "x.json"]),
        (["--", "--json"], ["--", "--json"]),
        (["--out", "x", "--out=y"], ["--output", "x", "--output=y"]),
        (["--runs", "3"], ["--runs", "3"]),
    ],
)
def test_a_flag_with_an_optional_file_never_takes_a_positional(words: list[str], expected: list[str]) -> None:
    assert rewritten(words, {"--json", "--csv", "--output"}) == expected


def test_a_flag_that_the_command_has_itself_is_no_older_spelling() -> None:
    assert rewritten(["--runs", "3"], {"--runs", "--repeats"}) == ["--runs", "3"]
    assert rewritten(["--runs", "3"], {"--repeats"}) == ["--repeats", "3"]


@pytest.mark.parametrize(
    "words",
    [["shapes"], ["--data", "shapes"], ["shapes", "--data", "shapes"], ["my", "--data", "my/"], ["my/", "-d", "my"]],
)
def test_data_by_position_and_by_flag_are_the_same(words: list[str], fake_api: Any) -> None:
    assert main(["train", *words]) == 0
    assert fake_api.calls[0][2]["data"] == ("my/" if "my" in words else "shapes")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "shapes", "--data", "cifar10"], "DATA is 'shapes' and --data is 'cifar10'; expected one of them"),
        (["train", "quick"], "DATA is 'quick', which is a recipe; expected a dataset: add --recipe quick"),
        (["summary", "mlp", "-r", "wide"], "RECIPE is 'mlp' and --recipe is 'wide'; expected one of them"),
        (["check"], "no DATA was given; expected DATA or --data DATA"),
        (["data", "get"], "no DATA was given; expected DATA or --data DATA"),
    ],
)
def test_contradictions_are_usage_errors_in_one_line(
    words: list[str], message: str, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert fake_api.calls == []


def test_json_without_a_file_is_all_that_eval_prints(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--json", "runs/x"]) == 0
    assert json.loads(capsys.readouterr().out)["correct"] == 2


def test_json_with_a_file_is_written_beside_the_table(
    fake_api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "result.json"
    assert main(["eval", "runs/x", "--json", str(path)]) == 0
    assert json.loads(path.read_text("utf-8"))["correct"] == 2
    assert "accuracy 66.7 %" in capsys.readouterr().out
    assert main(["eval", "runs/x", f"--json={path}"]) == 2
    assert "exists and is not overwritten; choose another file for --json, or add --force" in capsys.readouterr().err
    assert main(["eval", "runs/x", f"--json={path}", "--force"]) == 0


@pytest.mark.parametrize("flag", ["--output", "-o", "--out"])
def test_output_has_three_spellings(flag: str, fake_api: Any) -> None:
    assert main(["export", "runs/x", flag, "net.pth"]) == 0
    assert fake_api.calls[0][1][2] == Path("net.pth")


def test_the_recipes_fit_100_columns_in_a_pipe() -> None:
    lines = run_tenfold("recipes").stdout.splitlines()
    assert max(map(len, lines)) <= 100


def test_shells_can_complete_commands_and_options() -> None:
    def completed(words: str) -> str:
        variables = {"_TENFOLD_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        command = [sys.executable, "-c", "import sys; sys.argv[0] = 'tenfold'; from tenfold.cli.main import run; run()"]
        return subprocess.run(
            command, env=environment(variables), capture_output=True, text=True, timeout=60, check=False
        ).stdout

    assert {"predict", "compare"} <= set(completed("tenfold ").split())
    assert "--batch-size" in completed("tenfold train --ba")


@pytest.mark.parametrize(("shell", "sign"), [("bash", "complete -o"), ("zsh", "compdef")])
def test_a_completion_script_is_shown_for_the_shell_that_is_named(shell: str, sign: str) -> None:
    result = run_tenfold("--show-completion", shell)
    assert "_TENFOLD_COMPLETE" in result.stdout
    assert sign in result.stdout
