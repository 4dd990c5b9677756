"""An iCalendar stream of many components taken apart into calendar object resources: exports, subscriptions.

Components with one UID are one object (RFC 4791 §4.1), with the VTIMEZONEs that it refers to and without METHOD. Works
on octets and looks at where components begin and end, so that a file may be larger than memory (an `mmap` does) and one
broken component costs none of the others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

from server.calendar.aggregate import PRODUCT_ID, with_crlf
from server.calendar.calendar_object import CALENDAR_COMPONENTS, folded_tzid
from server.calendar.component import outline
from server.calendar.contentline import Property, content_lines, fold
from server.errors import InvalidCalendarData

_LINE = re.compile(
    rb"^(?:\xef\xbb\xbf)?(BEGIN|END|UID|TZID|METHOD)(?=[:;])([^\r\n]*+(?:(?:\n|\r\n|\r\r\n)[ \t][^\r\n]*+)*+)",
    re.IGNORECASE | re.MULTILINE,
)
_LINE_NUMBER = re.compile(r"\b([Ll]ine) (\d+)")
_KEPT = ("VERSION", "PRODID", "CALSCALE")
_NEVER_INSIDE = CALENDAR_COMPONENTS | {"VTIMEZONE", "VCALENDAR"}
"""Components that stand in no other: where one begins, the one before it has ended, or should have."""
_MAX_HEAD = 64 * 1024
"""Octets of a calendar's own properties that are looked at."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Where the lines of an object stand in the file that it was taken from; lines count from 1."""

    segments: tuple[tuple[int, int], ...] = ((1, 1),)
    """First line in the object, its line in the file; in order."""

    def place(self, line: int | None) -> int:
        """The line of the file where a line of the object stands; without one, where the object begins."""
        if line is None:
            line = self.segments[0][0]
        first, there = next((item for item in reversed(self.segments) if item[0] <= line), self.segments[0])
        return max(there, there + line - first)

    def message(self, text: str) -> str:
        """A message about the object, with the lines of the file in it."""
        return _LINE_NUMBER.sub(lambda match: f"{match[1]} {self.place(int(match[2]))}", text)


@dataclass(frozen=True, slots=True)
class Part:
    """A calendar object resource of a stream. It is not judged: `read_calendar_object` does that."""

    component: str
    """The type of its components; empty for what holds none."""
    body: bytes
    uid: str
    """Of its components; derived from the text where they have none (and then `body` has it too)."""
    lines: Lines
    whole: bool
    """Whether this is the stream as it is."""


@dataclass(slots=True)
class _Span:
    name: str
    start: int
    line: int
    end: int = 0
    uid: str = ""
    calendar: int = 0


@dataclass(slots=True)
class _Calendar:
    start: int
    head_end: int
    zones: dict[str, _Span] = field(default_factory=dict)


class CalendarStream:
    """What a stream holds, by where it lies. Keeps some 300 octets for each component."""

    def __init__(self, data: bytes | mmap) -> None:
        self._data = data
        self._calendars: list[_Calendar] = []
        self._groups: dict[tuple[str, str], list[_Span]] = {}
        self._has_method = False
        self._zone_texts: dict[tuple[int, str], str] = {}
        self._scan()

    @property
    def components(self) -> frozenset[str]:
        """The types of the components (RFC 5545 §3.6), VTIMEZONE left out."""
        return frozenset(name for name, _ in self._groups)

    def __len__(self) -> int:
        """How many objects there are."""
        return len(self._groups) if self._calendars else 1

    def properties(self) -> list[Property]:
        """The properties of the first VCALENDAR: its name, colour and the like. Without those that cannot be read."""
        if not self._calendars:
            return []
        first = self._calendars[0]
        return self._head(first)

    def objects(self) -> Iterator[Part]:
        """The objects, in the order in which the first component of each stands in the stream.

        What holds no VCALENDAR at all, and what is one object already, comes as it is.
        """
        single = len(self._calendars) == len(self._groups) == 1
        if not self._calendars or (single and not self._has_method and next(iter(self._groups))[1][:1] == "="):
            component, key = next(iter(self._groups)) if self._groups else ("", "=")
            yield Part(component, bytes(self._data), key[1:], Lines(), True)
            return
        for (component, key), spans in self._groups.items():
            yield self._part(component, key, spans)

    # -- where everything lies ----------------------------------------------------------------------------------------

    def _scan(self) -> None:
        data = self._data
        path: list[str] = []
        span: _Span | None = None
        line, counted_to = 1, 0
        for match in _LINE.finditer(data):
            start = match.start(1)
            keyword = match[1].upper()
            if keyword == b"BEGIN" or (keyword == b"END" and path):
                name = _name(match[2])
                if len(path) > 1 and (name in _NEVER_INSIDE if keyword == b"BEGIN" else name == "VCALENDAR"):
                    self._close(span, start)  # not ended: it goes as far as the next begins, and will be refused
                    span, path = None, path[:1]
                if keyword == b"END":
                    if len(path) == 2 and span is not None:
                        self._close(span, _after_line(data, match.end()))
                        span = None
                    path.pop()
                    continue
                if name == "VCALENDAR":
                    path = []
                    self._calendars.append(_Calendar(start, 0))
                elif len(path) == 1:
                    line += _newlines(data, counted_to, start)
                    counted_to = start
                    span = _Span(name, start, line, calendar=len(self._calendars) - 1)
                    if not self._calendars[-1].head_end:
                        self._calendars[-1].head_end = start
                elif not path:
                    continue  # a component outside of any VCALENDAR
                path.append(name)
            elif keyword == b"METHOD":
                self._has_method = self._has_method or len(path) == 1
            elif (
                span is not None
                and len(path) == 2
                and not span.uid
                and keyword == (b"TZID" if span.name == "VTIMEZONE" else b"UID")
            ):
                span.uid = _value(match[0])
        if span is not None:
            self._close(span, len(data))

    def _close(self, span: _Span | None, end: int) -> None:
        if span is None:
            return
        span.end = end
        if span.name == "VTIMEZONE":
            self._calendars[span.calendar].zones.setdefault(folded_tzid(span.uid), span)
        else:
            key = f"={span.uid}" if span.uid else f"+{span.start}"
            self._groups.setdefault((span.name, key), []).append(span)

    # -- objects ------------------------------------------------------------------------------------------------------

    def _part(self, component: str, key: str, spans: list[_Span]) -> Part:
        texts: dict[str, _Span] = {}
        for span in spans:  # the same component twice, as in exports put together, is one
            texts.setdefault(with_crlf(self._text(span)), span)
        uid = key[1:] if key[:1] == "=" else ""
        components = list(texts.items())
        derived = not uid
        if derived:
            text, span = components[0]
            uid = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
            head, separator, rest = text.partition("\r\n")
            components = [(f"{head}{separator}UID:{uid}\r\n{rest}", span)]
        body = [self._opening(self._calendars[spans[0].calendar])]
        line = body[0].count("\n") + 1
        segments = [(1, spans[0].line)]
        for text, span in [*self._zones(components), *components]:
            segments.append((line, span.line))
            body.append(text)
            if span is components[0][1] and derived:
                segments.append((line + 2, span.line + 1))
            line += text.count("\n")
        body.append("END:VCALENDAR\r\n")
        return Part(component, "".join(body).encode("utf-8", "surrogateescape"), uid, Lines(tuple(segments)), False)

    def _opening(self, calendar: _Calendar) -> str:
        kept = {line.name: line for line in self._head(calendar)}
        lines = ["BEGIN:VCALENDAR"]
        for name in _KEPT:
            found = kept.get(name)
            if found is not None:
                parameters = f";{found.parameter_text}" if found.parameter_text else ""
                lines.append(f"{name}{parameters}:{found.value}")
            elif name != "CALSCALE":
                lines.append("VERSION:2.0" if name == "VERSION" else f"PRODID:{PRODUCT_ID}")
        return "".join(map(fold, lines))

    def _zones(self, components: list[tuple[str, _Span]]) -> list[tuple[str, _Span]]:
        """The VTIMEZONEs that components refer to, in the order in which they do."""
        found: dict[str, tuple[str, _Span]] = {}
        for text, span in components:
            for tzid in _tzids(text):
                if tzid in found:
                    continue
                for number in (span.calendar, *range(len(self._calendars))):
                    zone = self._calendars[number].zones.get(tzid)
                    if zone is not None:
                        if (number, tzid) not in self._zone_texts:
                            self._zone_texts[number, tzid] = with_crlf(self._text(zone))
                        found[tzid] = self._zone_texts[number, tzid], zone
                        break
        return list(found.values())

    def _text(self, span: _Span) -> str:
        return self._data[span.start : span.end].decode("utf-8", "surrogateescape")

    def _head(self, calendar: _Calendar) -> list[Property]:
        end = calendar.head_end or len(self._data)
        text = self._data[calendar.start : min(end, calendar.start + _MAX_HEAD)].decode("utf-8", "replace")
        found: list[Property] = []
        try:
            for line in content_lines(text):
                if line.name == "END":
                    break
                found.append(line)
        except InvalidCalendarData:
            pass
        return found


def same_components(one: str, other: str) -> bool:
    """Whether two calendar objects have the same components, whatever their zones' definitions and their PRODID are."""
    return _components(one) == _components(other)


def _components(text: str) -> set[str]:
    return {with_crlf(text[each.start : each.end]) for each in outline(text) if each.name != "VTIMEZONE"}


def _name(value: bytes) -> str:
    return re.sub(rb"\r{0,2}\n[ \t]", b"", value)[1:].strip().upper().decode("ascii", "replace")


def _value(line: bytes) -> str:
    """The value of a content line, as UIDs and TZIDs are compared; empty when it cannot be read."""
    try:
        return next(content_lines(line.decode("utf-8", "surrogateescape"))).text.strip()
    except (InvalidCalendarData, StopIteration):
        return ""


def _tzids(text: str) -> list[str]:
    """The TZIDs that a component refers to, as they are compared."""
    found: list[str] = []
    try:
        for line in content_lines(text):
            tzid = line.parameter("TZID")
            if tzid:
                found.append(folded_tzid(tzid))
    except InvalidCalendarData:
        pass  # told when the object is read
    return found


def _after_line(data: bytes | mmap, position: int) -> int:
    end = data.find(b"\n", position)
    return len(data) if end < 0 else end + 1


def _newlines(data: bytes | mmap, start: int, end: int) -> int:
    step = 1 << 20
    return sum(data[at : min(at + step, end)].count(b"\n") for at in range(start, end, step))
