"""The scheduling messages in a mail (RFC 6047 §2.4), as real programs write them.

A calendar may be a part of a multipart/alternative, an attachment, or both at once; METHOD may stand in its text, in
the Content-Type, or differ in these; or the meeting is in TNEF. Each message that comes out has one METHOD and one UID,
so that `server.itip.message_text.read_message` can read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from server.calendar.contentline import with_crlf
from server.domain.errors import InvalidData, ResourceTooLarge
from server.imip.mail import Mail, Part, addresses_in
from server.imip.outlook_meeting import Addressed, calendar_of, is_meeting
from server.imip.tnef import read_tnef
from server.itip.lines import Line
from server.itip.message_text import MAX_LENGTH
from server.itip.messages import Method
from server.itip.scheduling_component import SchedulingComponent, Subcomponent
from server.itip.scheduling_object import SchedulingObject, read_object

MAX_MESSAGES = 20
"""Scheduling messages of a mail."""

_CALENDAR_TYPES = ("text/calendar", "application/ics", "text/x-vcalendar", "application/calendar")
_ANY_TYPES = ("application/octet-stream", "text/plain", "application/x-octet-stream")
"""Types of attachments of programs that do not know calendars. What counts then are the name and the content."""
_TNEF_TYPES = ("application/ms-tnef", "application/vnd.ms-tnef")


@dataclass(frozen=True, slots=True)
class CalendarParts:
    """What a mail says to calendars."""

    messages: tuple[str, ...] = ()
    """The iCalendar texts of its scheduling messages, each of one METHOD and UID."""
    problems: tuple[str, ...] = ()
    """Why calendars of it cannot be read. One without METHOD is no message, and no problem."""


def messages_in(mail: Mail) -> CalendarParts:
    """The scheduling messages of a mail, those of the first of several parts that say the same.

    What is in TNEF counts only where there is no calendar: Exchange writes the meeting in one of the two ways, and
    gateways that write it in both change one of them.
    """
    messages: list[str] = []
    problems: list[str] = []
    seen: set[tuple[str, ...]] = set()
    calendars = [part for part in mail.parts if _is_calendar(part)]
    # A part of its own type says more surely what it is than an attachment of the same calendar.
    calendars.sort(key=lambda part: part.header.content_type[0] != "text/calendar")
    sources = [partial(_objects, part) for part in calendars]
    if not calendars:
        sources = [partial(_objects_in_tnef, part, mail) for part in mail.parts if _is_tnef(part)]
    for source in sources:
        try:
            for value in source():
                key = _key(value)
                if key in seen:
                    continue
                if len(messages) == MAX_MESSAGES:
                    raise ResourceTooLarge(f"A mail has at most {MAX_MESSAGES} scheduling messages.")
                seen.add(key)
                messages.append(value.text)
        except (InvalidData, ResourceTooLarge) as error:
            problems.append(error.message)
    return CalendarParts(tuple(messages), tuple(problems))


def with_organizer(text: str, address: str) -> str:
    """A message whose components have an ORGANIZER, where some have none.

    :param address: a mail address.
    :raises InvalidCalendarData: for what is no iCalendar.
    """
    value = read_object(text)
    line = f"mailto:{address}"
    components = [
        each if each.first("ORGANIZER") is not None else each.with_value("ORGANIZER", line) for each in value.components
    ]
    return _with_components(value, components).text


def _is_calendar(part: Part) -> bool:
    kind = part.header.content_type[0]
    if kind in _CALENDAR_TYPES:
        return True
    named = part.header.filename.lower().endswith((".ics", ".ical", ".ifb", ".vcs"))
    return named and kind in _ANY_TYPES and b"BEGIN:VCALENDAR" in part.content[:1000].upper()


def _is_tnef(part: Part) -> bool:
    return part.header.content_type[0] in _TNEF_TYPES or part.header.filename.lower() == "winmail.dat"


def _objects_in_tnef(part: Part, mail: Mail) -> Iterator[SchedulingObject]:
    """The message of a meeting in TNEF; none in that of any other mail. Raises `InvalidData` and `ResourceTooLarge`."""
    message = read_tnef(part.content)
    if is_meeting(message):
        to, cc = ("".join(mail.header.all(name)[:1]) for name in ("to", "cc"))
        yield from _read(calendar_of(message, Addressed(mail.sender, addresses_in(to), addresses_in(cc))), "")


def _objects(part: Part) -> Iterator[SchedulingObject]:
    """The messages of a part. Raises `InvalidData` and `ResourceTooLarge`."""
    yield from _read(part.text, part.header.content_type[1].get("method", "").strip().upper())


def _read(text: str, method: str) -> Iterator[SchedulingObject]:
    """The messages in a text; its calendars without METHOD have the given one."""
    if len(text) > MAX_LENGTH:
        raise ResourceTooLarge(f"A message has at most {MAX_LENGTH} characters.")
    for each in _calendars(text):
        value = read_object(with_crlf(each))
        # The text counts: it is what apps show, and what an attachment without parameters has.
        own = value.method or method
        if own not in Method.__members__:
            continue
        yield from _by_uid(value if value.method else value.with_method(own))


def _calendars(text: str) -> Iterator[str]:
    """The VCALENDARs in a text, without what gateways and mailing lists put around them."""
    upper = text.upper()
    if len(upper) != len(text):
        upper = text  # letters that have no upper-case form of one character
    position = 0
    while (start := upper.find("BEGIN:VCALENDAR", position)) >= 0:
        end = upper.find("END:VCALENDAR", start)
        if end < 0:
            yield text[start:]
            return
        position = end + len("END:VCALENDAR")
        yield text[start:position]


def _by_uid(value: SchedulingObject) -> Iterator[SchedulingObject]:
    """The object, or one for each UID and type of components (RFC 6047 §4.4): iTIP messages have one."""
    groups: dict[tuple[str, str], list[SchedulingComponent]] = {}
    for component in value.components:
        line = component.first("UID")
        groups.setdefault((component.name, "" if line is None else line.text.strip()), []).append(component)
    if len(groups) == 1:
        yield value
    else:
        for group in groups.values():
            yield _with_components(value, group)


def _with_components(value: SchedulingObject, components: Iterable[SchedulingComponent]) -> SchedulingObject:
    frame: list[Line | Subcomponent | SchedulingComponent] = [
        item for item in value.items if not isinstance(item, SchedulingComponent)
    ]
    return value.with_items([*frame, *components])


def _key(value: SchedulingObject) -> tuple[str, ...]:
    """Equal for calendars that say the same, though one of them may be spelled in another way."""
    instances = sorted(each.value("RECURRENCE-ID") or "" for each in value.components)
    versions = sorted(f"{each.sequence} {each.value('DTSTAMP')}" for each in value.components)
    return value.method, value.name, value.uid, *instances, *versions
