"""From a template to one HTML file that needs nothing else: no network, no second file.

Whatever a user named is escaped by Jinja2. The page's own Content-Security-Policy refuses every request, and
every script but those that were written here, which it knows by their SHA-256.
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

from tenfold.core import text as wording
from tenfold.core.text import printable

_STYLES = ("report.css", "charts.css")
_SCRIPTS = ("report.js", "charts.js")


def render(template: str, **values: Any) -> str:
    """Returns a page, with its styles and scripts in it.

    Args:
        template: a file of `report/templates/`, which extends `base.html`.
        **values: what the template names; one that it names and that is missing is an error.

    Example:
        >>> print(environment().from_string("{{ name }}: {{ share | percent }}").render(name="<b>", share=0.617))
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
    """Returns the templates with the filters of `wording`, and `json`, which is safe inside a script element."""
    templates = Environment(
        loader=PackageLoader("tenfold.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["version"] = _version()
    templates.filters.update(
        percent=wording.percent,
        count=wording.count,
        interval=wording.interval,
        duration=wording.duration,
        printable=printable,
        json=embedded_json,
    )
    return templates


def _version() -> str:
    try:
        return version("tenfold")
    except PackageNotFoundError:
        return "(not installed)"


def embedded_json(value: object) -> Markup:
    """Returns JSON for a `<script type="application/json">`: nothing in it can end the element.

    Example:
        >>> embedded_json({"name": "</script>"})
        Markup('{"name":"\\\\u003c/script\\\\u003e"}')
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _asset(name: str) -> str:
    """Returns a style or script of ours, which holds nothing of a user's."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def _policy(scripts: Sequence[str]) -> str:
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
