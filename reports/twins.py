"""One view as two bodies: plain text and HTML, from templates of one name."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment

from reports import formats, render


def twins(template: str, **page: object) -> tuple[str, str]:
    """The plain text and the HTML, its styles inlined, of TEMPLATE.txt and TEMPLATE.html."""
    text = _templates().get_template(f"{template}.txt").render(page)
    html = _templates().get_template(f"{template}.html").render(page)
    return text, render.inline(html)


def page(template: str, **page: object) -> str:
    """The HTML alone, its styles in its head: for browsers under a strict content policy."""
    html = _templates().get_template(f"{template}.html").render(page)
    return _ON_ELEMENT.sub("", html)


_ON_ELEMENT = re.compile(r' style="[^"]*"')
"""Such a policy ignores styles on elements, and complains about each."""


@cache
def _templates() -> Environment:
    """Compiled once: it takes longer than to fill them."""
    templates = render.environment()
    templates.filters |= {"fill": formats.fill, "row": formats.row}
    return templates
