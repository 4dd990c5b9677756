"""The iCalendar text of a mail: a scheduling message as RFC 5545 and RFC 6047 §2.4 want it.

The server accepts broken values that apps write (docs/standards.md). None of them leaves: each line is read and
written anew, and what cannot be read is left out, or what it means is written. Floating times are those of the
organizer's zone. Every TZID is defined. Addresses are `mailto:`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from server.calendar.aggregate import PRODUCT_ID
from server.calendar.component_times import Moment, ends_after
from server.calendar.contentline import content_line, escape_text, fold, split_list, unescape_text
from server.calendar.iana import NameKind, name_kind
from server.calendar.rrule import parse_rule
from server.calendar.values import (
    CalendarTime,
    Duration,
    Period,
    property_duration,
    property_time,
    property_times,
)
from server.calendar.zone_definition import definition
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidCalendarData, InvalidData
from server.domain.occurrences import Kind
from server.imip.addresses import mail_address, mailto, own_address
from server.imip.rules import written_rule
from server.itip.audience import SHARED_X_PROPERTIES
from server.itip.calendar_users import Directory
from server.itip.lines import Line
from server.itip.messages import Method
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_NUMBER = re.compile(r"\s*0*([0-9]{1,9})\s*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_UTC_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_TOKEN = re.compile(r"[A-Za-z0-9-]+")
_GEO = re.compile(r"\s*-?[0-9]{1,2}(\.[0-9]+)?;-?[0-9]{1,3}(\.[0-9]+)?\s*")
_REQUEST_STATUS = re.compile(r"[0-9]+(\.[0-9]+){1,2};")

_TEXTS = frozenset(("SUMMARY", "DESCRIPTION", "LOCATION", "COMMENT", "CONTACT", "UID"))
_LISTS = frozenset(("CATEGORIES", "RESOURCES"))
_STAMPS = frozenset(("CREATED", "LAST-MODIFIED", "COMPLETED"))
_NUMBERS = {"SEQUENCE": 2**31 - 1, "PRIORITY": 9, "PERCENT-COMPLETE": 100}
_TOKENS = {
    "STATUS": frozenset(
        ("TENTATIVE", "CONFIRMED", "CANCELLED", "NEEDS-ACTION", "COMPLETED", "IN-PROCESS", "DRAFT", "FINAL")
    ),
    "TRANSP": frozenset(("OPAQUE", "TRANSPARENT")),
    "CLASS": frozenset(("PUBLIC", "PRIVATE", "CONFIDENTIAL")),
}
_ADDRESSES = frozenset(("MEMBER", "DELEGATED-TO", "DELEGATED-FROM", "SENT-BY"))
_ONCE = frozenset(
    (
        *_NUMBERS, *_TOKENS, *_STAMPS, "UID", "SUMMARY", "DESCRIPTION", "LOCATION", "DTSTAMP", "DTSTART", "DTEND",
        "DUE", "DURATION", "RECURRENCE-ID", "GEO", "URL", "ORGANIZER", "RRULE",
    )
)  # fmt: skip
"""Properties that a component has once (RFC 5545 §3.6.1, §3.6.2). Of several the first stays."""


@dataclass(slots=True)
class Writer:
    """Writes a message."""

    message: SchedulingObject
    method: Method
    directory: Directory
    """Of the addresses in the message."""
    zone: Zone
    """The organizer's: that of floating times."""
    sent_at: datetime
    """DTSTAMP where the message has none that can be read."""
    organizer: str | None = None
    """The mail address to put into ORGANIZER; None: the organizer's own."""
    tzids: dict[str, Zone] = field(default_factory=dict)
    """The zones that were written, by TZID."""

    def text(self) -> str:
        """The whole text, with CRLF.

        :raises InvalidData: where a time without which there is no meeting cannot be read.
        """
        components = [part for each in self.message.components for part in self._component(each)]
        head = ["BEGIN:VCALENDAR\r\n", "VERSION:2.0\r\n", f"PRODID:{PRODUCT_ID}\r\n", "CALSCALE:GREGORIAN\r\n"]
        zones = [self._definition(tzid, zone) for tzid, zone in sorted(self.tzids.items())]
        return "".join((*head, f"METHOD:{self.method}\r\n", *zones, *components, "END:VCALENDAR\r\n"))

    # -- components -------------------------------------------------------------------------------------------------

    def _component(self, component: SchedulingComponent) -> list[str]:
        start = self._start(component)
        lines: list[str] = []
        seen: set[str] = set()
        names = {line.name for line in component.lines}
        for line in component.lines:
            if line.name in _ONCE and line.name in seen:
                continue
            written = self._line(line, start, names)
            if written and written not in lines:
                seen.add(line.name)
                lines.append(written)
        if "DTSTAMP" not in seen:
            lines.insert(0, f"DTSTAMP:{self.sent_at:%Y%m%dT%H%M%SZ}\r\n")
        return [f"BEGIN:{component.name}\r\n", *lines, f"END:{component.name}\r\n"]

    def _start(self, component: SchedulingComponent) -> Moment | None:
        """DTSTART as it is written.

        :raises InvalidData: for one that cannot be read.
        """
        line = component.first("DTSTART")
        return None if line is None else self._moment(property_time(line))

    def _moment(self, time: CalendarTime) -> Moment:
        if time.is_date:
            return Moment(time.local, Kind.DATE, None)
        if time.utc:
            return Moment(time.local, Kind.TIMED, UTC_ZONE)
        return Moment(time.local, Kind.TIMED, self._zone_of(time)[1])

    def _line(self, line: Line, start: Moment | None, names: set[str]) -> str:
        """A line written anew; empty where it is left out."""
        name = line.name
        if name in ("ORGANIZER", "ATTENDEE"):
            return self._participant(line)
        if name in _TEXTS:
            return content_line(name, _kept(line, "LANGUAGE"), _text(line.value))
        if name in _LISTS:
            return content_line(name, _kept(line, "LANGUAGE"), ",".join(map(_text, split_list(line.value))))
        if name in SHARED_X_PROPERTIES:
            return content_line(name, _simple(line.params), _CONTROLS.sub("", line.value).replace("\n", ""))
        write = _WRITERS.get(name)
        if write is not None:
            return write(line)
        try:
            return self._time_line(line, start, names)
        except InvalidData:
            if name == "DTSTART":
                raise
            return ""

    def _time_line(self, line: Line, start: Moment | None, names: set[str]) -> str:
        name = line.name
        if name in ("DTSTART", "RECURRENCE-ID"):
            ranged = name == "RECURRENCE-ID" and (line.parameter("RANGE") or "").upper() == "THISANDFUTURE"
            return self._time(name, property_time(line), {"RANGE": ["THISANDFUTURE"]} if ranged else {})
        if name in ("DTEND", "DUE"):
            time = property_time(line)
            without_effect = start is not None and not ends_after(start, self._moment(time))
            return "" if without_effect else self._time(name, time, {})
        if name == "DURATION" and not names & {"DTEND", "DUE"}:
            duration = property_duration(line)
            return "" if duration.is_negative else f"DURATION:{_duration(duration)}\r\n"
        if name in ("RRULE", "EXRULE") and line.value.strip():
            return fold(f"{name}:{written_rule(parse_rule(line.value), start)}")
        if name in ("RDATE", "EXDATE"):
            return "".join(self._times(name, property_times(line)))
        return ""

    # -- times ------------------------------------------------------------------------------------------------------

    def _time(self, name: str, time: CalendarTime, params: Mapping[str, list[str]]) -> str:
        more, value = self._value(time)
        return content_line(name, {**more, **params}, value)

    def _times(self, name: str, times: Iterable[CalendarTime | Period]) -> Iterator[str]:
        """Lines with the values of a list, one for each form."""
        lines: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for time in times:
            if isinstance(time, Period):
                more, begin = self._value(time.start)
                until = time.end
                value = _duration(until) if isinstance(until, Duration) else self._value(until)[1]
                more, written = {**more, "VALUE": ["PERIOD"]}, f"{begin}/{value}"
            else:
                more, written = self._value(time)
            lines.setdefault(tuple((key, found[0]) for key, found in more.items()), []).append(written)
        for key, values in lines.items():
            yield content_line(name, {param: [value] for param, value in key}, ",".join(values))

    def _value(self, time: CalendarTime) -> tuple[dict[str, list[str]], str]:
        local = time.local
        day = f"{local.year:04d}{local:%m%d}"
        if time.is_date:
            return {"VALUE": ["DATE"]}, day
        clock = f"{day}T{local:%H%M%S}"
        if time.utc:
            return {}, f"{clock}Z"
        tzid, zone = self._zone_of(time)
        if zone.key in ("UTC", "Etc/UTC"):
            return {}, f"{clock}Z"
        self.tzids[tzid] = zone
        return {"TZID": [tzid]}, clock

    def _zone_of(self, time: CalendarTime) -> tuple[str, Zone]:
        """TZID and zone of a local time."""
        tzid = _CONTROLS.sub("", time.tzid or "").strip().strip("\"'")
        if not tzid:
            return self.zone.key, self.zone
        return tzid, self.message.zones.zone(time.tzid or "")

    def _definition(self, tzid: str, zone: Zone) -> str:
        """The VTIMEZONE of a zone: from the zone data, or as the message has it where the zone is its own."""
        if tzid == zone.key or name_kind(tzid) is NameKind.PLACE:
            return definition(zone, tzid)
        for found in self.message.timezones:
            if (found.component.text("TZID") or "").strip().strip("\"'") == tzid:
                lines = (line for component in found.component.walk() for line in component.properties)
                if all(_is_sound(line.value) for line in lines):
                    return _refolded(found.written)
        return definition(zone, tzid)

    # -- people -----------------------------------------------------------------------------------------------------

    def _participant(self, line: Line) -> str:
        address = self._address(line.value)
        if line.name == "ORGANIZER" and self.organizer is not None:
            address = self.organizer
        if address is None:
            return ""
        params: dict[str, list[str]] = {}
        for name, values in line.params.items():
            if name in _ADDRESSES:
                found = [each for each in map(self._address, values) if each is not None]
                if found:
                    params[name] = list(map(mailto, found))
            elif name == "CN" and values:
                params[name] = [_name(values[0])]
            elif name in ("CUTYPE", "ROLE", "PARTSTAT", "RSVP", "LANGUAGE") and values and _TOKEN.fullmatch(values[0]):
                params[name] = [values[0].upper() if name != "LANGUAGE" else values[0]]
        return content_line(line.name, params, mailto(address))

    def _address(self, address: str) -> str | None:
        """The mail address of a calendar user address; None where there is none."""
        found, user = mail_address(address), self.directory.user(address)
        if found is not None and (found.isascii() or not user.is_here):
            return found
        return own_address((address, user.address, *user.addresses))


def _name(value: str) -> str:
    """A parameter value that old readers understand, too: without quotes and line ends."""
    return " ".join(_CONTROLS.sub(" ", value).replace('"', "'").replace("\n", " ").split())


def _text(value: str) -> str:
    return escape_text(_CONTROLS.sub("", unescape_text(value)))


def _kept(line: Line, *names: str) -> dict[str, list[str]]:
    return {name: values for name, values in _simple(line.params).items() if name in names}


def _simple(params: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Parameters with names and values that every reader understands."""
    return {
        name: [_name(value) for value in values]
        for name, values in params.items()
        if _TOKEN.fullmatch(name) and any(values)
    }


def _stamp(line: Line) -> str:
    """A time in UTC."""
    value = line.value.strip()
    if not _UTC_STAMP.fullmatch(value):
        return ""
    try:
        time = property_time(line)
    except InvalidCalendarData:
        return ""
    return f"{line.name}:{time.local.year:04d}{time.local:%m%dT%H%M%S}Z\r\n"


def _number(line: Line) -> str:
    match = _NUMBER.fullmatch(line.value)
    if match is None or int(match[1]) > _NUMBERS[line.name]:
        return ""
    return f"{line.name}:{int(match[1])}\r\n"


def _token(line: Line) -> str:
    value = line.value.strip().upper()
    return f"{line.name}:{value}\r\n" if value in _TOKENS[line.name] else ""


def _geo(line: Line) -> str:
    return f"GEO:{line.value.strip()}\r\n" if _GEO.fullmatch(line.value) else ""


def _url(line: Line) -> str:
    value = line.value.strip()
    if not _URI.fullmatch(value):
        return ""
    params = {"VALUE": ["URI"], **_kept(line, "FEATURE", "LABEL")} if line.name == "CONFERENCE" else {}
    return content_line(line.name, params, value)


def _attachment(line: Line) -> str:
    value = line.value.strip()
    binary = (line.parameter("VALUE") or "").upper() == "BINARY"
    if binary and (line.parameter("ENCODING") or "").upper() == "BASE64" and _BASE64.fullmatch(value):
        params = {**_kept(line, "FMTTYPE"), "ENCODING": ["BASE64"], "VALUE": ["BINARY"]}
        return content_line("ATTACH", params, "".join(value.split()))
    return "" if binary or not _URI.fullmatch(value) else content_line("ATTACH", _kept(line, "FMTTYPE"), value)


def _related(line: Line) -> str:
    return content_line("RELATED-TO", _kept(line, "RELTYPE"), _text(line.value))


def _request_status(line: Line) -> str:
    if not _REQUEST_STATUS.match(line.value):
        return ""
    code, _, rest = line.value.partition(";")
    return content_line("REQUEST-STATUS", {}, f"{code};{_text(rest.partition(';')[0])}")


_WRITERS: Mapping[str, Callable[[Line], str]] = {
    "DTSTAMP": _stamp,
    **dict.fromkeys(_STAMPS, _stamp),
    **dict.fromkeys(_NUMBERS, _number),
    **dict.fromkeys(_TOKENS, _token),
    "GEO": _geo,
    "URL": _url,
    "CONFERENCE": _url,
    "ATTACH": _attachment,
    "RELATED-TO": _related,
    "REQUEST-STATUS": _request_status,
}


def _is_sound(value: str) -> bool:
    return not _CONTROLS.search(value)


def _refolded(text: str) -> str:
    """Lines as they are written, folded anew, with CRLF."""
    unfolded = re.sub("\r?\n[ \t]", "", text)
    return "".join(fold(line) for line in unfolded.splitlines() if line)


def _duration(duration: Duration) -> str:
    """A duration as RFC 5545 §3.3.6 writes it."""
    days, seconds = duration.days, duration.seconds
    clock = "".join(
        f"{number}{unit}"
        for number, unit in ((seconds // 3600, "H"), (seconds // 60 % 60, "M"), (seconds % 60, "S"))
        if number
    )
    if not days and not clock:
        return "PT0S"
    return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"
