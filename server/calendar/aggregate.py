"""Many calendar objects as one iCalendar stream: GET on a calendar, subscriptions, export.

Objects are put together as they are, each VTIMEZONE once for its TZID, in front of the first object that brings it.
Lines get CR LF ends and keep all else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from server.calendar.component import outline
from server.calendar.contentline import content_lines, escape_text, fold

PRODUCT_ID = "-//Koyomi//Koyomi//EN"

_LINE_END = re.compile(r"\r{0,2}\n")
_CHUNK = 64 * 1024
"""Characters that are put together before they go out."""


class Aggregate:
    """One iCalendar stream over several objects: `head`, then `add` for each object, then `tail`.

    Keeps a hash of 16 bytes for each TZID, no text.
    """

    def __init__(self, calendar_name: str | None) -> None:
        """`calendar_name` becomes X-WR-CALNAME, without which nothing is added."""
        self._calendar_name = calendar_name
        self._zones: set[bytes] = set()

    def head(self) -> str:
        """BEGIN:VCALENDAR with its properties."""
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{PRODUCT_ID}"]
        if self._calendar_name is not None:
            lines.append(f"X-WR-CALNAME:{escape_text(self._calendar_name)}")
        return "".join(map(fold, lines))

    def add(self, text: str) -> str:
        """The components of a stored object, without the VTIMEZONEs that came already."""
        parts: list[str] = []
        for component in outline(text):
            lines = text[component.start : component.end]
            if component.name == "VTIMEZONE" and not self._is_new(_tzid(lines)):
                continue
            parts.append(with_crlf(lines))
        return "".join(parts)

    def tail(self) -> str:
        """END:VCALENDAR."""
        return "END:VCALENDAR\r\n"

    def _is_new(self, tzid: str) -> bool:
        key = blake2b(tzid.strip().encode(), digest_size=16).digest()
        if key in self._zones:
            return False
        self._zones.add(key)
        return True


def aggregate(texts: Iterable[str], calendar_name: str | None = None) -> Iterator[str]:
    """One iCalendar stream over stored objects, in chunks of some 64 KiB; of no objects a bare VCALENDAR.

    :raises InvalidCalendarData: when a text cannot be read, which stored texts can.
    """
    whole = Aggregate(calendar_name)
    waiting = [whole.head()]
    size = 0
    for text in texts:
        waiting.append(whole.add(text))
        size += len(waiting[-1])
        if size > _CHUNK:
            yield "".join(waiting)
            waiting.clear()
            size = 0
    waiting.append(whole.tail())
    yield "".join(waiting)


def _tzid(lines: str) -> str:
    """The TZID of a VTIMEZONE's lines."""
    for line in content_lines(lines):
        if line.name == "TZID":
            return line.text
    return ""


def with_crlf(lines: str) -> str:
    """Whole lines with CR LF at their ends."""
    if lines.count("\n") != lines.count("\r\n") or "\r\r" in lines or not lines.endswith("\n"):
        lines = _LINE_END.sub("\r\n", lines)
        if not lines.endswith("\n"):
            lines += "\r\n"
    return lines
