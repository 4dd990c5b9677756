"""What others see of a private calendar object (RFC 5545 §3.8.1.3, draft "Private Calendar Components in CalDAV").

X-CALENDARSERVER-ACCESS of VCALENDAR says it for the object, CLASS for the component that has it; the former wins.
Others see a whole component, a block, which is its times, or a block with SUMMARY and LOCATION. `docs/access.md` has
the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import chain

from server.calendar.component import Component, parse_calendar
from server.calendar.contentline import Property
from server.calendar.personal import busy_types, neutral
from server.domain.contents import Others
from server.domain.errors import UnknownAccessRestriction
from server.domain.etags import etag_of
from server.domain.occurrences import Busy

ACCESS = "X-CALENDARSERVER-ACCESS"


class Sight(IntEnum):
    """What others see of a component, from most to least."""

    WHOLE = 0
    RESTRICTED = 1
    """The times with SUMMARY and LOCATION."""
    BLOCK = 2
    """The times."""
    HIDDEN = 3
    """Nothing."""


ACCESSES = {
    "PUBLIC": Sight.WHOLE,
    "RESTRICTED": Sight.RESTRICTED,
    "CONFIDENTIAL": Sight.BLOCK,
    "PRIVATE": Sight.HIDDEN,
}
"""The values of X-CALENDARSERVER-ACCESS."""

_TIMES = frozenset(("UID", "RECURRENCE-ID", "SEQUENCE", "DTSTAMP", "STATUS", "DTSTART", "RRULE", "RDATE", "EXDATE"))
_OF_CALENDAR = frozenset(("PRODID", "VERSION", "CALSCALE", "METHOD", ACCESS))
"""METHOD is that of a scheduling message, without which it is none."""
_OF_BLOCKS = {
    "VEVENT": _TIMES | {"TRANSP", "DTEND", "DURATION"},
    "VTODO": _TIMES | {"COMPLETED", "DUE", "DURATION"},
    "VJOURNAL": _TIMES,
    "VFREEBUSY": frozenset(("UID", "DTSTAMP", "DTSTART", "DTEND", "DURATION", "FREEBUSY")),
    "VAVAILABILITY": frozenset(("UID", "DTSTAMP", "SEQUENCE", "DTSTART", "DTEND", "DURATION", "BUSYTYPE")),
    "AVAILABLE": _TIMES - {"SEQUENCE", "STATUS"} | {"DTEND", "DURATION"},
}
"""The properties of a block. The document has those of the first four; without these of the others no busy time could
be computed (RFC 7953 §3.1)."""
_OF_UNKNOWN = frozenset(("UID", "RECURRENCE-ID", "DTSTAMP"))
_RESTRICTED = {
    "VEVENT": frozenset(("SUMMARY", "LOCATION")),
    "VTODO": frozenset(("SUMMARY", "LOCATION")),
    "VJOURNAL": frozenset(("SUMMARY",)),
}
_PARAMETERS = frozenset(("TZID", "VALUE", "RANGE", "FBTYPE", "LANGUAGE"))
_TO_QUOTE = re.compile(r"[,;:]")
_TO_ENCODE = {"^": "^^", '"': "^'", "\n": "^n"}
_FOLD = re.compile(r"\r{0,2}\n[ \t]")
_WIDTH = 60
"""Characters of a line before it is folded; each may have several octets."""


def access_of(calendar: Component) -> str | None:
    """X-CALENDARSERVER-ACCESS of a VCALENDAR, in upper case; None: there is none.

    :raises UnknownAccessRestriction: for a value that is not in `ACCESSES`, and for several.
    """
    marks = [prop for prop in calendar.properties if prop.name == ACCESS]
    if not marks:
        return None
    found = marks[0].value.strip().upper()
    if len(marks) > 1 or found not in ACCESSES:
        raise UnknownAccessRestriction(line=marks[-1].line)
    return found


def with_access(text: str, access: str) -> str:
    """A text with this X-CALENDARSERVER-ACCESS in place of what it has. Raises `InvalidCalendarData`."""
    calendar = parse_calendar(text)
    pieces, position = [], 0
    for mark in calendar.properties:
        if mark.name == ACCESS:
            pieces.append(text[position : mark.start])
            position = mark.end
    at = calendar.components[0].start
    return "".join((*pieces, text[position:at], f"{ACCESS}:{access}\r\n", text[at:]))


def may_be_private(text: str) -> bool:
    """False if a text has no mark, which costs less to find out than to parse it."""
    unfolded = _FOLD.sub("", text).upper()
    return "CLASS" in unfolded or ACCESS in unfolded


def sights(calendar: Component) -> tuple[Sight, ...] | None:
    """What others see of each component directly below VCALENDAR; None: everybody sees the whole object."""
    marks = [prop for prop in calendar.properties if prop.name == ACCESS]
    if marks:
        of_object = max(ACCESSES.get(mark.value.strip().upper(), Sight.HIDDEN) for mark in marks)
        found = tuple(Sight.WHOLE if each.name == "VTIMEZONE" else of_object for each in calendar.components)
    else:
        found = tuple(_by_class(each) for each in calendar.components)
    return found if any(found) else None


def shown_to_others(text: str, whole: str, kinds: Sequence[Sight]) -> str:
    """What others see of a text.

    :param whole: the text from which the components that they see whole are taken. It has the same components.
    :param kinds: as `sights` returns them. Of a hidden component this is the block.
    :raises InvalidCalendarData: for what is no calendar object.
    """
    calendar, others = parse_calendar(text), parse_calendar(whole)
    pieces = ["BEGIN:VCALENDAR\r\n", *_shown(text, calendar.properties, _OF_CALENDAR)]
    for component, other, kind in zip(calendar.components, others.components, kinds, strict=True):
        if kind is Sight.WHOLE:
            pieces.append(_ended(whole[slice(*other.span)]))
        else:
            pieces += _block(text, component, kind)
    pieces.append("END:VCALENDAR\r\n")
    return "".join(pieces)


def others_of(text: str, calendar: Component, owner: frozenset[str]) -> Others | None:
    """What others see of an object, in a calendar with views or without; None: the whole.

    :param calendar: the text, parsed.
    :param owner: the addresses of the calendar's owner.
    """
    kinds = sights(calendar)
    return None if kinds is None else part_of(text, neutral(text), kinds, busy_types(text, owner), owner)


def part_of(
    text: str, whole: str, kinds: Sequence[Sight], owner_busy: tuple[Busy, ...], owner: frozenset[str]
) -> Others:
    """As `others_of`; `whole` and `kinds` are as in `shown_to_others`, `owner_busy` the busy types of the owner's
    components."""
    shown = shown_to_others(text, whole, kinds)
    return Others(etag_of(shown.encode()), shown, busy_to_others(whole, kinds, owner_busy, owner))


def busy_to_others(
    whole: str, kinds: Sequence[Sight], owner_busy: tuple[Busy, ...], owner: frozenset[str]
) -> tuple[Busy, ...] | None:
    """The busy types of the components for others; None: those of the owner.

    A block makes busy as the owner is, whose answer is not in it.
    """
    own = busy_types(whole, owner)
    busy = tuple(
        mine if kind is Sight.WHOLE else theirs for kind, mine, theirs in zip(kinds, own, owner_busy, strict=True)
    )
    return None if busy == owner_busy else busy


def _by_class(component: Component) -> Sight:
    """PRIVATE, CONFIDENTIAL and what is unknown are the same (RFC 5545 §3.8.1.3)."""
    if component.name == "VTIMEZONE":
        return Sight.WHOLE
    public = all(prop.value.strip().upper() == "PUBLIC" for prop in component.properties if prop.name == "CLASS")
    return Sight.WHOLE if public else Sight.BLOCK


def _block(text: str, component: Component, kind: Sight) -> Iterator[str]:
    names = _OF_BLOCKS.get(component.name, _OF_UNKNOWN)
    if kind is Sight.RESTRICTED:
        names |= _RESTRICTED.get(component.name, frozenset())
    yield f"BEGIN:{component.name}\r\n"
    yield from _shown(text, component.properties, names)
    if component.name == "VAVAILABILITY":
        below = (each for each in component.components if each.name == "AVAILABLE")
        yield from chain.from_iterable(_block(text, each, kind) for each in below)
    yield f"END:{component.name}\r\n"


def _shown(text: str, properties: Iterable[Property], names: frozenset[str]) -> Iterator[str]:
    """The lines of those properties that have one of the names, without parameters that anything could be in."""
    for prop in properties:
        if prop.name in names:
            plain = not prop.parameter_text or _PARAMETERS.issuperset(prop.params)
            yield _ended(text[slice(*prop.span)]) if plain else _rewritten(prop)


def _rewritten(prop: Property) -> str:
    parts = [prop.name]
    for name, values in prop.params.items():
        if name in _PARAMETERS:
            parts.append(f"{name}={','.join(map(_parameter_value, values))}")
    line = f"{';'.join(parts)}:{prop.value}"
    return "\r\n ".join(line[at : at + _WIDTH] for at in range(0, len(line), _WIDTH)) + "\r\n"


def _parameter_value(value: str) -> str:
    encoded = "".join(_TO_ENCODE.get(character, character) for character in value)
    return f'"{encoded}"' if _TO_QUOTE.search(encoded) else encoded


def _ended(line: str) -> str:
    return line if line.endswith("\n") else line + "\r\n"
