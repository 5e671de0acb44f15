"""Renders templates to self-contained HTML files.

Jinja2 escapes all names. The Content-Security-Policy of a page blocks every request, and every script except its
own, which it lists by their SHA-256.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tenfold.core import text

_STYLES = ("report.css", "charts.css")
_SCRIPTS = ("report.js", "charts.js")


def render(template: str, **values: Any) -> str:
    """Returns a page with its styles and scripts inlined.

    Args:
        template: a file of `report/templates/` that extends `base.html`.
        **values: variables of the template.

    Raises:
        UndefinedError: when a variable of the template is missing.

    Example:
        >>> print(environment().from_string("{{ name }}: {{ x | percent }}").render(name="<b>", x=0.617))
        &lt;b&gt;: 61.7 %
    """
    scripts = [_asset(name) for name in _SCRIPTS]
    return (
        environment()
        .get_template(template)
        .render(
            styles=[Markup(_asset(name)) for name in _STYLES],
            scripts=[Markup(script) for script in scripts],
            policy=_policy(scripts),
            **values,
        )
    )


@cache
def environment() -> Environment:
    """Returns the templates with the filters of `core.text`, and `json`, which is safe inside a script element."""
    templates = Environment(
        loader=PackageLoader("tenfold.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["version"] = _version()
    templates.filters.update(
        percent=text.percent,
        count=text.count,
        interval=text.interval,
        mean_text=text.mean_text,
        plural=text.plural,
        printable=text.printable,
        json=embedded_json,
    )
    return templates


def _version() -> str:
    try:
        return version("tenfold")
    except PackageNotFoundError:
        return "(not installed)"


def embedded_json(value: object) -> Markup:
    """Returns JSON for a `<script type="application/json">`, escaped so that it cannot end the element.

    Example:
        >>> embedded_json({"name": "</script>"})
        Markup('{"name":"\\\\u003c/script\\\\u003e"}')
    """
    encoded = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return Markup(encoded)


def _asset(name: str) -> str:
    """Returns a stylesheet or script, which holds no user data and needs no escaping."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def _policy(scripts: Sequence[str]) -> str:
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'"
    )
