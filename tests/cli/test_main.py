"""The command line as a whole: help, exit codes, one line for every error."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.command_line import environment, run_tenfold
from tenfold.cli.main import explain, main
from tenfold.core.errors import Interrupted, RunError, Terminated, UsageError

COMMANDS = [
    *(
        "train",
        "sweep",
        "compare",
        "eval",
        "predict",
        "show",
        "report",
        "check",
        "suspects",
        "embed",
        "label",
        "summary",
        "recipes",
        "runs",
    ),
    *("data", "export", "bench"),
]


def only_line(text: str) -> str:
    """Returns the one line that `text` holds."""
    (line,) = text.splitlines()
    return line


def test_the_help_lists_every_visible_command() -> None:
    result = run_tenfold("--help")
    assert result.returncode == 0
    listed = [line.split()[0] for line in result.stdout.partition("Commands:")[2].splitlines() if line.strip()]
    assert sorted(listed) == sorted(COMMANDS)
    assert "..." not in result.stdout.partition("Commands:")[2]


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["recipes"], ["data", "where"], ["runs", "."]])
def test_light_commands_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from tenfold.cli.main import main; "
        f"code = main({arguments!r}); "
        "heavy = {'torch', 'numpy', 'PIL', 'matplotlib'} if code == 0 and '--help' in sys.argv else {'torch'}; "
        "sys.exit(code or 10 * bool(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment(), capture_output=True)
    assert done.returncode == 0


@pytest.mark.parametrize("command", [*COMMANDS, "val", "data get", "data delete", "data where", "data verify"])
def test_the_help_of_every_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert "tenfold " in capsys.readouterr().out.partition("Example")[2]


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tenfold ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "tenfold: error: no such command 'trian'. Did you mean 'train'? (see: tenfold --help)"),
        (["xyz"], "tenfold: error: no such command 'xyz' (see: tenfold --help)"),
        (
            ["train", "--recpie", "mlp"],
            "tenfold: error: no such option: --recpie; did you mean '--recipe'? (see: tenfold train --help)",
        ),
        (["predict"], "tenfold: error: missing argument 'RUN|MODEL' (see: tenfold predict --help)"),
        (["eval"], "tenfold: error: no classifier was given; expected a run folder, a model file, "),
        (["train", "--batch-size", "0"], "tenfold: error: invalid value for '--batch-size': "),
        (["train", "--epochs", "0"], "tenfold: error: --epochs is 0; expected a number above 0"),
        (["train", "--lr", "nan"], "tenfold: error: --lr is nan; expected a number above 0"),
        (["eval", "x", "--split", "tset"], "tenfold: error: invalid value for '--split': "),
    ],
)
def test_usage_errors_are_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert only_line(captured.err).startswith(message)
    assert captured.out == ""


def test_a_mistyped_recipe_is_one_line_and_exit_code_1() -> None:
    result = run_tenfold("train", "--recipe", "quik")
    assert result.returncode == 1
    assert only_line(result.stderr).startswith("tenfold: error: unknown recipe 'quik'; did you mean 'quick'?")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RunError("no such run"), 1, "tenfold: error: no such run"),
        (UsageError("two\nlines\x1b[31m"), 2, r"tenfold: error: two lines\x1b[31m"),
        (Interrupted("stopped at step 7 and saved"), 130, "tenfold: stopped at step 7 and saved"),
        (Terminated("stopped at step 7 and saved"), 143, "tenfold: stopped at step 7 and saved"),
        (MemoryError(), 1, "tenfold: error: out of memory; "),
        (FileNotFoundError(2, "No such file or directory", "x.toml"), 1, "tenfold: error: x.toml: No such file"),
        (OSError("odd"), 1, "tenfold: error: odd"),
        (ZeroDivisionError("division by zero"), 1, "tenfold: error: this should not have happened (ZeroDiv"),
    ],
)
def test_an_exception_is_one_line_with_its_exit_code(
    error: Exception, code: int, message: str, fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_api.raises = error
    assert main(["export", "run"]) == code
    assert only_line(capsys.readouterr().err).startswith(message)


def test_an_unexpected_error_asks_for_a_report() -> None:
    assert "--debug and report" in explain(KeyError("x"))


@pytest.mark.parametrize("arguments", [["--debug", "export", "run"], ["export", "run", "--debug"]])
def test_debug_shows_the_traceback_from_any_position(
    arguments: list[str], fake_api: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_api.raises = RunError("no such run")
    assert main(arguments) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_debug_after_two_dashes_is_a_file_name(fake_api: Any) -> None:
    assert main(["export", "--", "--debug"]) == 0
    assert fake_api.calls[0][1][0] == Path("--debug")


def test_an_interrupt_outside_training_prints_nothing(fake_api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fake_api.raises = KeyboardInterrupt()
    assert main(["export", "run"]) == 130
    assert capsys.readouterr().err == ""


def test_a_closed_pipe_is_not_an_error() -> None:
    code = "import sys; from tenfold.cli.main import run; sys.argv[1:] = ['recipes', 'quick']; run()"
    with subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep(0.3); {code}"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_unprintable_file_names_do_not_crash_a_command(tmp_path: Path) -> None:
    result = run_tenfold("recipes", "no\udcff.toml", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 1
    assert "no recipe file" in only_line(result.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--set", "lr"],
        ["sweep", "--vary", "lr"],
        ["sweep", "--vary", "optim.lr="],
        ["sweep", "--search", "optim.lr"],
        ["sweep", "--vary", "optim.lr=1,2", "--set", "x"],
        ["recipes", "quick", "--nothing"],
    ],
)
def test_a_setting_without_key_or_value_is_a_usage_error(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
