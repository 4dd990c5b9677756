"""Meetings as texts that apps edit, and what a person sees of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Lines = list[str]
"""Content lines without folds and line ends."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """What an app shows of the first component of a meeting."""

    summary: str
    start: str
    """The value of DTSTART."""
    location: str
    status: str
    sequence: int
    transparent: bool
    answers: dict[str, str]
    """PARTSTAT of each attendee, by mail address."""
    delivered: dict[str, str]
    """SCHEDULE-STATUS of each attendee who has one."""
    alarms: int


@dataclass(frozen=True, slots=True)
class FoundRoom:
    """A room as an app finds it."""

    name: str
    address: str
    """Its mail address, by which it is invited."""


def unfold(text: str) -> Lines:
    """The content lines of a text."""
    return [line for line in re.sub(r"\r?\n[ \t]", "", text).splitlines() if line]


def fold(lines: Iterable[str]) -> str:
    """A text of content lines (RFC 5545 §3.1)."""
    out = []
    for line in lines:
        octets = line.encode()
        while len(octets) > 75:
            cut = 75
            while octets[cut] & 0xC0 == 0x80:
                cut -= 1
            out.append(octets[:cut].decode())
            octets = b" " + octets[cut:]
        out.append(octets.decode())
    return "\r\n".join((*out, ""))


def room_of(card: str) -> FoundRoom:
    """The room of a vCard."""
    lines = unfold(card)
    return FoundRoom(value_of(lines, "FN"), value_of(lines, "EMAIL").lower())


def offered(cards: Iterable[str], typed: str) -> list[FoundRoom]:
    """The rooms of an address book that the app has, as it offers them for what its user types."""
    rooms = map(room_of, cards)
    return [
        room for room in rooms if all(word in f"{room.name} {room.address}".lower() for word in typed.lower().split())
    ]


def uid_of(text: str) -> str:
    """The UID of a text."""
    return value_of(unfold(text), "UID")


def name_of(line: str) -> str:
    """The name of the property of a line."""
    return re.split("[;:]", line, maxsplit=1)[0].upper()


def parameter(line: str, name: str) -> str:
    """A parameter of a line without its quotes; empty without it."""
    found = re.search(rf';{name}=(?:"([^"]*)"|([^;:"]*))', line)
    return "" if found is None else found[1] or found[2] or ""


def mail_address(line: str) -> str:
    """The mail address that a line ends with, in lower case."""
    return line.rpartition("mailto:")[2].lower()


def value_of(lines: Lines, name: str) -> str:
    """The value of the first line of a name; empty without one."""
    return next((line.partition(":")[2] for line in lines if name_of(line) == name), "")


def components(lines: Lines, kind: str = "VEVENT") -> list[Lines]:
    """The lines of each component of a kind, with BEGIN and END."""
    found, start = [], -1
    for index, line in enumerate(lines):
        if line == f"BEGIN:{kind}":
            start = index
        elif line == f"END:{kind}":
            found.append(lines[start : index + 1])
    return found


def seen(text: str) -> Meeting:
    """What an app shows of a text."""
    event = components(unfold(text))[0]
    own = own_lines(event)
    attendees = {mail_address(line): line for line in own if name_of(line) == "ATTENDEE"}
    statuses = {who: parameter(line, "SCHEDULE-STATUS") for who, line in attendees.items()}
    return Meeting(
        value_of(own, "SUMMARY"),
        value_of(own, "DTSTART"),
        value_of(own, "LOCATION"),
        value_of(own, "STATUS"),
        int(value_of(own, "SEQUENCE") or 0),
        value_of(own, "TRANSP") == "TRANSPARENT",
        {who: parameter(line, "PARTSTAT") or "NEEDS-ACTION" for who, line in attendees.items()},
        {who: status for who, status in statuses.items() if status},
        event.count("BEGIN:VALARM"),
    )


def own_lines(event: Lines) -> Lines:
    """The properties of a component, without those of the components in it."""
    out, depth = [], 0
    for line in event[1:-1]:
        depth += line.startswith("BEGIN:")
        if not depth:
            out.append(line)
        depth -= line.startswith("END:")
    return out


def each_event(lines: Lines, change: Callable[[Lines], Lines]) -> Lines:
    """The lines with each VEVENT as a function gives it."""
    out: Lines = []
    start = -1
    for index, line in enumerate(lines):
        if line == "BEGIN:VEVENT":
            start = index
        elif line == "END:VEVENT":
            out += change(lines[start : index + 1])
            start = -1
        elif start < 0:
            out.append(line)
    return out


def with_value(event: Lines, name: str, line: str | None) -> Lines:
    """A component with one line of a name, or none; a new one stands in front of other components and of its end."""
    place = next((index for index, each in enumerate(event[1:], 1) if each.startswith(("BEGIN:", "END:"))), len(event))
    present = [index for index, each in enumerate(event[:place]) if name_of(each) == name]
    kept = [each for index, each in enumerate(event) if index not in present]
    if line is not None:
        kept.insert(present[0] if present else place, line)
    return kept


def with_parameter(line: str, name: str, value: str) -> str:
    """A line with a parameter, in place of what it had; removed where the value is empty."""
    head, colon, rest = re.sub(rf';{name}=(?:"[^"]*"|[^;:"]*)', "", line).partition(":mailto:")
    return f"{head};{name}={value}{colon}{rest}" if value else head + colon + rest


def with_answer(event: Lines, address: str, partstat: str) -> Lines:
    """A component with a person's answer, which is given: RSVP goes."""
    return [
        with_parameter(with_parameter(line, "RSVP", ""), "PARTSTAT", partstat)
        if name_of(line) == "ATTENDEE" and mail_address(line) == address.lower()
        else line
        for line in event
    ]


def with_alarm(event: Lines) -> Lines:
    """A component with an alarm of the person's own."""
    return [*event[:-1], "BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT15M", "END:VALARM", event[-1]]


def instance(series: Lines, recurrence_id: str) -> Lines:
    """The override of an instance that lasts an hour, as the series has it."""
    start = recurrence_id.replace("RECURRENCE-ID", "DTSTART")
    hour = int(start[-6:-4]) + 1
    day = [line for line in series if name_of(line) not in ("RRULE", "EXDATE")]
    day = with_value(day, "DTSTART", start)
    day = with_value(day, "DTEND", f"{start.replace('DTSTART', 'DTEND')[:-6]}{hour:02}{start[-4:]}")
    return with_value(day, "RECURRENCE-ID", recurrence_id)
