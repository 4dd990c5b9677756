"""An iCalendar stream of many components taken apart into calendar object resources: exports, subscriptions.

Components with one UID are one object (RFC 4791 §4.1), with the VTIMEZONEs that it refers to and without METHOD. Works
on the content lines of the octets and keeps where components begin and end, so that a file may be larger than memory
(an `mmap` does) and one broken component costs none of the others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from mmap import mmap

from server.calendar.aggregate import PRODUCT_ID
from server.calendar.all_day_times import may_depend_on_zones
from server.calendar.calendar_object import CALENDAR_COMPONENTS, folded_tzid
from server.calendar.component import MAX_DEPTH, outline, parse_calendar, parse_components
from server.calendar.contentline import Property, content_lines, fold, with_crlf
from server.calendar.octet_lines import LARGEST, decoded, octet_lines, text_value
from server.calendar.recurrence_ids import recurrence_ids
from server.domain.errors import InvalidCalendarData, InvalidData

_DIGITS = re.compile(r"[0-9]+")
_NUMBER = re.compile(r"[0-9]{1,10}")
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_LINE_NUMBER = re.compile(r"\b([Ll]ine) (\d+)")
_KEPT = ("VERSION", "PRODID", "CALSCALE")
_NEVER_INSIDE = CALENDAR_COMPONENTS | {"VTIMEZONE", "VCALENDAR"}
"""Components that no other component contains. Where one begins, the previous one must have ended."""
_MAX_HEAD = 64 * 1024
"""Octets of a calendar's own properties that are looked at."""
_LOOKED_AT = frozenset(("BEGIN", "END", "UID", "TZID", "METHOD", "RECURRENCE-ID", "SEQUENCE", "DTSTAMP"))
_KEYS = {"VTIMEZONE": "TZID"}
"""Properties that name a component, where it is not UID."""
_OUTSIDE = -1
"""In place of the number of its calendar, for a component that stands in none."""


_SEQUENCE = 10**14
"""More than any stamp as a number."""


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
    version: int = 0
    """Of SEQUENCE and DTSTAMP: the greater is the newer (RFC 5546 §2.1.5)."""
    superseded: tuple[tuple[int, str], ...] = ()
    """Components that are left out for a newer version of the same, by line, with the reason."""


@dataclass(slots=True)
class _Span:
    name: str
    start: int
    line: int
    end: int = 0
    uid: str = ""
    calendar: int = 0
    recurrence_id: str = ""
    version: int = 0


@dataclass(slots=True)
class _Calendar:
    start: int
    head_end: int = 0
    zones: dict[str, _Span] = field(default_factory=dict)


class CalendarStream:
    """The components of a stream, by their offsets. Keeps some 500 octets for each component."""

    def __init__(self, data: bytes | mmap) -> None:
        self._data = data
        self._calendars: list[_Calendar] = []
        self._groups: dict[tuple[str, str], list[_Span]] = {}
        self._outside: list[_Span] = []
        self._has_method = False
        self._zone_texts: dict[tuple[int, str], str] = {}
        self._scan()
        self._is_whole = self._is_one_object()

    @property
    def components(self) -> frozenset[str]:
        """The types of the components (RFC 5545 §3.6), VTIMEZONE left out."""
        return frozenset(name for name, _ in self._groups)

    def __len__(self) -> int:
        """How many objects there are."""
        return 1 if self._is_whole else len(self._groups) + len(self._outside)

    def versions(self) -> Iterator[tuple[str, str, int]]:
        """Component, UID and version of each object that has a UID, in the order of `objects`."""
        for (component, key), spans in self._groups.items():
            if key[:1] == "=":
                yield component, key[1:], max(span.version for span in spans)

    def properties(self) -> list[Property]:
        """The properties of the first VCALENDAR: its name, colour and the like. Without those that cannot be read."""
        if not self._calendars:
            return []
        first = self._calendars[0]
        return self._head(first)

    def objects(self) -> Iterator[Part]:
        """The objects, in the order in which the first component of each stands in the stream, then what stands outside
        of any VCALENDAR.

        What is one object already comes as it is, and so does what holds no object and is no empty calendar either.
        """
        if self._is_whole:
            component, key = next(iter(self._groups), ("", "="))
            version = max((span.version for spans in self._groups.values() for span in spans), default=0)
            yield Part(component, self._data[:LARGEST], key[1:], Lines(), True, version)
            return
        for (component, key), spans in self._groups.items():
            yield self._part(component, key, spans)
        for span in self._outside:
            body = self._data[span.start : min(span.end, span.start + LARGEST)]
            yield Part("", body, "", Lines(((1, span.line),)), False)

    def _is_one_object(self) -> bool:
        """Whether the stream comes as it is."""
        if not self._calendars:
            return True
        if self._outside:
            return False
        if not self._groups:
            return not self._is_readable()
        return (
            len(self._calendars) == len(self._groups) == 1
            and not self._has_method
            and next(iter(self._groups))[1][:1] == "="
            and all(len(set(self._instances(spans))) == len(spans) for spans in self._groups.values())
        )

    def _is_readable(self) -> bool:
        """Whether a stream that holds no object is understood."""
        try:
            outermost = parse_components(decoded(self._data[:LARGEST]))
        except InvalidCalendarData:
            return False
        return all(component.name == "VCALENDAR" for component in outermost)

    # -- where everything lies ----------------------------------------------------------------------------------------

    def _scan(self) -> None:
        path: list[str] = []
        span: _Span | None = None
        for line in octet_lines(self._data):
            keyword = line.name
            if keyword not in _LOOKED_AT:
                continue
            name = line.value.strip().upper()
            if keyword == "BEGIN" and name == "VCALENDAR":
                self._close(span, line.start)
                span, path = None, [name]
                self._calendars.append(_Calendar(line.start))
            elif keyword == "BEGIN" and path:
                if len(path) > 1 and name in _NEVER_INSIDE:
                    self._close(span, line.start)  # not ended: it goes as far as the next begins, and will be refused
                    path = path[:1]
                if len(path) == 1:
                    span = _Span(name, line.start, line.line, calendar=len(self._calendars) - 1)
                    self._calendars[-1].head_end = self._calendars[-1].head_end or line.start
                if len(path) <= MAX_DEPTH:
                    path.append(name)
            elif keyword == "BEGIN":
                span = span or _Span(name, line.start, line.line, calendar=_OUTSIDE)
            elif keyword == "END" and name in path:
                depth = len(path) - 1 - path[::-1].index(name)
                if depth < 2:
                    self._close(span, line.end if depth else line.start)
                    span = None
                del path[depth:]
            elif keyword == "METHOD":
                self._has_method = self._has_method or len(path) == 1
            elif span is not None and len(path) == 2:
                _note(span, line)
        self._close(span, len(self._data))

    def _close(self, span: _Span | None, end: int) -> None:
        if span is None:
            return
        span.end = end
        if span.calendar == _OUTSIDE:
            self._outside.append(span)
        elif span.name == "VTIMEZONE":
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
        components, superseded = _newest(list(texts.items()), self._instances(list(texts.values())))
        moved = [(1, 1)]
        if not uid:
            text, span = components[0]
            uid = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
            text, moved = _with_uid(text, uid)
            components = [(text, span)]
        body = [self._opening(self._calendars[spans[0].calendar])]
        line = body[0].count("\n") + 1
        segments = [(1, spans[0].line)]
        for text, span in [*self._zones(components), *components]:
            body.append(text)
            for here, there in moved if span is components[0][1] else [(1, 1)]:
                segments.append((line + here - 1, span.line + there - 1))
            line += text.count("\n")
        body.append("END:VCALENDAR\r\n")
        octets = "".join(body).encode("utf-8", "surrogateescape")
        version = max(span.version for span in spans)
        return Part(component, octets, uid, Lines(tuple(segments)), False, version, superseded)

    def _instances(self, spans: list[_Span]) -> list[str]:
        """Which instance each component of one UID is, however its RECURRENCE-ID is written; empty for the series."""
        written = [span.recurrence_id for span in spans]
        split = [text.partition(":") for text in written if text]
        if len({(tzid, len(value), value[-1:]) for tzid, _, value in split}) < 2:
            return written  # all by one zone
        components = [(with_crlf(self._text(span)), span) for span in spans]
        text = "".join(text for text, _ in (*self._zones(components), *components))
        try:
            calendar = parse_calendar(f"BEGIN:VCALENDAR\r\n{text}END:VCALENDAR\r\n")
            return list(recurrence_ids(calendar))[-len(spans) :]
        except InvalidData:
            return written

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
        """The VTIMEZONEs that components refer to, in the order in which they do, and those of their calendar that
        times in a series of dates may be given by."""
        found: dict[str, tuple[str, _Span]] = {}
        for text, span in components:
            beside = self._calendars[span.calendar].zones if may_depend_on_zones(text) else ()
            for tzid in (*_tzids(text), *beside):
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
        return decoded(self._data[span.start : min(span.end, span.start + LARGEST)])

    def _head(self, calendar: _Calendar) -> list[Property]:
        end = calendar.head_end or len(self._data)
        text = decoded(self._data[calendar.start : min(end, calendar.start + _MAX_HEAD)])
        return list(takewhile(lambda line: line.name != "END", content_lines(text, strict=False)))


def _newest(
    components: list[tuple[str, _Span]], instances: list[str]
) -> tuple[list[tuple[str, _Span]], tuple[tuple[int, str], ...]]:
    """Of the components of one UID the newest for each instance, and those left out for them."""
    newest: dict[str, tuple[str, _Span]] = {}
    superseded: list[tuple[_Span, str]] = []
    for this, instance in zip(components, instances, strict=True):
        held = newest.setdefault(instance, this)
        if held is this:
            continue
        older, newer = (held, this) if this[1].version > held[1].version else (this, held)
        newest[instance] = newer
        superseded.append((older[1], f"The {newer[1].name} in line {newer[1].line} is a newer version, or as new."))
    return list(newest.values()), tuple((span.line, reason) for span, reason in superseded)


def _note(span: _Span, line: Property) -> None:
    """Keep what a line says of its component: key, RECURRENCE-ID, version."""
    if line.name == _KEYS.get(span.name, "UID"):
        span.uid = span.uid or text_value(line)
    elif line.name == "RECURRENCE-ID":
        span.recurrence_id = f"{folded_tzid(line.parameter('TZID') or '')}:{line.value.strip()}"
    elif line.name == "SEQUENCE" and _NUMBER.fullmatch(line.value):
        span.version = int(line.value) * _SEQUENCE + span.version % _SEQUENCE
    elif line.name == "DTSTAMP" and _STAMP.fullmatch(line.value):
        span.version += stamp_number(line.value) - span.version % _SEQUENCE


def stamp_number(stamp: str) -> int:
    """The digits of a DATE-TIME as a number, so that later ones are greater; missing ones count as 0."""
    return int("".join(_DIGITS.findall(stamp))[:14].ljust(14, "0"))


def same_components(one: str, other: str) -> bool:
    """Whether two calendar objects have the same components, whatever their zones' definitions and their PRODID are."""
    return _components(one) == _components(other)


def _components(text: str) -> set[str]:
    return {with_crlf(text[each.start : each.end]) for each in outline(text) if each.name != "VTIMEZONE"}


def _with_uid(component: str, uid: str) -> tuple[str, list[tuple[int, int]]]:
    """A component with a UID in place of empty ones, and pairs of lines: from the first on it is as from the second on
    before."""
    lines = content_lines(component, strict=False)
    begin = next(lines).end
    edits = [(begin, begin, f"UID:{uid}\r\n")]
    depth = 0
    for line in lines:
        depth += (line.name == "BEGIN") - (line.name == "END")
        if not depth and line.name == "UID":
            edits.append((line.start, line.end, ""))
    kept: list[str] = []
    moved = [(1, 1)]
    position, number = 0, 1
    for start, end, text in edits:
        kept.append(component[position:start] + text)
        number += kept[-1].count("\n")
        position = end
        moved.append((number, component.count("\n", 0, end) + 1))
    kept.append(component[position:])
    return "".join(kept), moved


def _tzids(text: str) -> list[str]:
    """The TZIDs that a component refers to, as they are compared."""
    tzids = (line.parameter("TZID") for line in content_lines(text, strict=False))
    return [folded_tzid(tzid) for tzid in tzids if tzid]
