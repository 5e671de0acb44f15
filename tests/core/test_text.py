"""Names on screens and pictures."""

from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.text import printable, shortened


def test_control_signs_newlines_and_stray_bytes_are_replaced():
    assert printable("a\x1b[31mb\nc\udcffd\u202e") == "a�[31mb�c�d�"


def test_ordinary_names_of_any_script_stay():
    assert printable("Straße 猫 $x$ <b>") == "Straße 猫 $x$ <b>"


def test_a_long_name_keeps_its_beginning_and_its_end():
    assert shortened("hippopotamus amphibius 12", 18) == "hippopotamus…us 12"


@given(st.text(), st.integers(1, 30))
def test_a_shortened_name_fits(name, width):
    short = shortened(name, width)
    assert len(short) <= width
    assert short.isprintable() or not short
    assert len(name) > width or short == printable(name)
