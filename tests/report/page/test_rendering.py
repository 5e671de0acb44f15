"""Templates: escaping, Content-Security-Policy, and missing variables."""

import base64
import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from harness.pages import read_page
from tenfold.report.page.rendering import embedded_json, environment, render

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_embedded_json_parses_and_ends_no_element(value: object) -> None:
    text = embedded_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&")


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        embedded_json([float("nan")])


def test_the_policy_lists_the_hash_of_every_script() -> None:
    html = render("base.html")
    policy = read_page(html).one("meta", http_equiv="Content-Security-Policy").attributes["content"] or ""
    known = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts} == known


def test_a_missing_variable_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'nowhere' is undefined"):
        environment().from_string("{{ nowhere }}").render()


def test_names_are_escaped() -> None:
    assert environment().from_string("{{ name }}").render(name="<b>&'\"") == "&lt;b&gt;&amp;&#39;&#34;"
