"""What mail programs ask of an HTML mail, checked on the bytes: nothing to run, nothing to fetch, styles on
the elements, pictures that say what they show, text that can be read, and the width of a phone's column."""

import re
from html.parser import HTMLParser

WIDEST = 600
VOID = {"meta", "br", "img", "hr", "link", "input", "col"}
RUNS = {
    "script",
    "iframe",
    "object",
    "embed",
    "form",
    "input",
    "link",
    "base",
    "video",
    "audio",
    "svg",
}


def problems(html):
    """Every problem of a mail, in words; none is an empty list."""
    checker = _Checker()
    checker.feed(html)
    checker.close()
    return [*checker.found, *_of_styles(html)]


def _of_styles(html):
    found = []
    if not re.match(r"<!doctype html>", html, re.IGNORECASE):
        found.append("it has no doctype, so that programs guess")
    if re.search(r"url\s*\(|@import|@font-face|expression\s*\(", html, re.IGNORECASE):
        found.append("a style fetches or runs something")
    head = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    if re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", head).strip():
        found.append("a rule outside @media is not on its elements")
    if "prefers-color-scheme: dark" not in head or 'name="color-scheme"' not in html:
        found.append("it says nothing about dark mode")
    return found


class _Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []
        self.stack = [{"tag": "", "color": "#000000", "background": "#ffffff", "size": 16.0}]
        self.silent = 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in RUNS:
            self.found.append(f"<{tag}> does not belong into a mail")
        for name, value in given.items():
            self._attribute(tag, name, value or "")
        if tag == "img":
            self._picture(given)
        self._width(tag, given)
        if tag not in VOID:
            self.stack.append({"tag": tag, **self._look(given)})
            self.silent += tag in ("style", "title", "head")

    def handle_endtag(self, tag):
        while len(self.stack) > 1:
            last = self.stack.pop()
            self.silent -= last["tag"] in ("style", "title", "head")
            if last["tag"] == tag:
                return

    def handle_data(self, data):
        text = data.strip()
        if not text or self.silent:
            return
        look = self.stack[-1]
        ratio = contrast(look["color"], look["background"])
        if ratio < 4.5:
            self.found.append(
                f"{text[:40]!r} has a contrast of {ratio:.1f} ({look['color']} on {look['background']})"
            )
        if look["size"] < 12:
            self.found.append(f"{text[:40]!r} is {look['size']:g} px small")

    def _attribute(self, tag, name, value):
        if name.startswith("on"):
            self.found.append(f"<{tag}> runs {name}")
        if name in ("src", "background") and not value.startswith("cid:"):
            self.found.append(f"<{tag}> fetches {value[:60]!r}")
        if name == "href" and not re.match(r"https?://|mailto:", value):
            self.found.append(f"<{tag}> leads to {value[:60]!r}")
        if "javascript:" in value.lower():
            self.found.append(f"<{tag}> holds a script in {name}")

    def _picture(self, given):
        # A logo says whose it is, every other picture what it shows.
        logo = given.get("class") == "logo" and given.get("alt")
        if not logo and not re.search(r"\d", given.get("alt") or ""):
            self.found.append(f"a picture's alt text states no number: {given.get('alt')!r}")
        if not given.get("width"):
            self.found.append("a picture has no width of its own")

    def _width(self, tag, given):
        width = given.get("width") or ""
        styled = re.search(r"(?:^|;)(?:min-)?width:\s*(\d+)px", given.get("style") or "")
        for value in (width, styled[1] if styled else ""):
            if value.isdigit() and int(value) > WIDEST:
                self.found.append(f"<{tag}> is {value} px wide")

    def _look(self, given):
        style = dict(
            part.split(":", 1) for part in (given.get("style") or "").split(";") if ":" in part
        )
        style = {name.strip(): value.strip() for name, value in style.items()}
        before = self.stack[-1]
        background = style.get("background-color") or given.get("bgcolor") or before["background"]
        size = re.fullmatch(r"([\d.]+)px", style.get("font-size", ""))
        # A bar of 4 px has no text: its size is none.
        found = float(size[1]) if size and float(size[1]) else before["size"]
        return {
            "color": style.get("color", before["color"]),
            "background": background,
            "size": found,
        }


def contrast(one, other):
    """Of two #rrggbb colours, as WCAG 2 has it (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
