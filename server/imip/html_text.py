"""The words of an HTML text, for apps that show none. Its work grows with the length only, whatever the text holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

MAX_LENGTH = 1_000_000
"""Characters of HTML that are read."""

_HIDDEN = ("script", "style", "title")
_LINES = frozenset(("br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "ul", "ol", "blockquote", "hr"))
"""Elements that begin and end lines."""
_NAME = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)")
_SPACE = re.compile(r"[ \t\r\n\f\v\xa0]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_LINE_END = "\x00"


def text_of_html(html: str) -> str:
    """The text that a browser would show, line by line. Tables and other layout are lost."""
    shown = "".join(_pieces(html[:MAX_LENGTH].replace(_LINE_END, "")))
    lines = [_SPACE.sub(" ", line).strip() for line in shown.split(_LINE_END)]
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()


def _pieces(html: str) -> Iterator[str]:
    lower = html.lower()
    if len(lower) != len(html):
        lower = html  # letters whose lower-case form has another length
    position = 0
    while (begin := html.find("<", position)) >= 0:
        yield unescape(html[position:begin])
        if html.startswith("<!--", begin):
            end = html.find("-->", begin) + 2
        else:
            end = html.find(">", begin)
        if end <= begin:
            return  # a tag without an end: nothing behind it is shown
        found = _NAME.match(lower, begin)
        name = "" if found is None else found[1]
        if name in _HIDDEN and lower[begin + 1] != "/":
            end = lower.find(f"</{name}", end)
            if end < 0:
                return
            end = end - 1
        elif name in _LINES:
            yield _LINE_END
        position = end + 1
    yield unescape(html[position:])
