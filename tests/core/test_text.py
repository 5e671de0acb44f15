"""Names made safe to show, and numbers with their units."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenfold
from tenfold.core.text import escaped, file_size, mean_text, one_line, printable, shortened


def test_control_characters_newlines_and_invalid_bytes_are_replaced():
    assert printable("a\x1b[31mb\nc\udcffd\u202e") == "a�[31mb�c�d�"


def test_names_in_any_script_stay_unchanged():
    name = "Straße 猫 $x$ <b>"
    assert printable(name) == name == escaped(name)


def test_escapes_name_the_exact_characters():
    assert escaped("<b>a\n b\udce9") == r"<b>a\n b\udce9"


@given(st.text(st.characters(codec=None)))
def test_one_line_is_always_printable(text):
    assert one_line(text).isprintable()


def test_one_line_joins_lines_with_spaces():
    assert one_line(" first\r\n\tsecond\x07 ") == r"first second\x07"


def test_a_long_name_keeps_its_beginning_and_its_end():
    assert shortened("hippopotamus amphibius 12", 18) == "hippopotamus…us 12"


@given(st.text(), st.integers(1, 30))
def test_a_shortened_name_fits(name, width):
    short = shortened(name, width)
    assert len(short) <= width
    assert short.isprintable() or not short
    assert len(name) > width or short == printable(name)


@pytest.mark.parametrize(("std", "text"), [(0.00099, "50.00 ± 0.10 %"), (0.001, "50.0 ± 0.1 %"), (0.0, "50.0 ± 0.0 %")])
def test_a_small_std_gets_another_decimal(std, text):
    assert mean_text(0.5, std) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (2 * 10**15, "2000.0 TB")]
)
def test_file_sizes_have_a_suitable_unit(count, text):
    assert file_size(count) == text


def test_no_message_counts_images_without_regard_to_a_single_one() -> None:
    counted = re.compile(r"\{(?![A-Z_]+\b)[^{}]*:,\} (?:[a-z]+ )?(?:images|photos|files)\b")
    source = Path(tenfold.__file__).parent
    rooms = ("api", "cli", "inspect", "report/page")
    lines = [(path.name, line) for room in rooms for path in (source / room).rglob("*.py") for line in _lines(path)]
    assert [(name, line.strip()) for name, line in lines if counted.search(line)] == []


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
