"""One view as two bodies: plain text and HTML, from templates of one name."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment

from reports import formats, render
from reports.clothes import LOGO
from reports.language import say, style, tidy
from reports.render import Image


def twins(template: str, **page: object) -> tuple[str, str]:
    """The plain text and the HTML, its styles inlined, of TEMPLATE.txt and TEMPLATE.html.

    What has a logo says its `organisation`, and sends the `logo` along.
    """
    page = {"look": style().look, "language": style().language, **page}
    text = _templates().get_template(f"{template}.txt").render(page)
    html = _templates().get_template(f"{template}.html").render(page)
    return tidy(text), render.inline(tidy(html))


def logo(name: str) -> list[Image]:
    """The logo that the page shows, if there is one, as the picture of whose it is."""
    found = style().look.logo
    return [Image(LOGO, found.png, name)] if found else []


def page(template: str, **page: object) -> str:
    """The HTML alone, its styles in its head: for browsers under a strict content policy.

    Without pictures, the logo among them.
    """
    look = style().look._replace(logo=None)
    page = {"look": look, "language": style().language, **page}
    html = _templates().get_template(f"{template}.html").render(page)
    return _ON_ELEMENT.sub("", html)


_ON_ELEMENT = re.compile(r' style="[^"]*"')
"""Such a policy ignores styles on elements, and complains about each."""


@cache
def _templates() -> Environment:
    """Compiled once: it takes longer than to fill them."""
    templates = render.environment()
    templates.filters |= {"fill": formats.fill, "row": formats.row}
    templates.globals |= {"say": say, "plural": formats.plural}
    return templates
