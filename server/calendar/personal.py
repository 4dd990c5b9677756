"""The personal parts of an object in a shared calendar, apart from the part that all share.

A text is the shared part and somebody's personal part: `split` takes it apart, `compose` puts a shared part and a
personal one together, both on the content lines as they are written. The personal part is iCalendar, too: of each event
and task its RECURRENCE-ID and what is personal in it, each run of lines behind the place where it stood. What an
exception is not known to have of its own, it has from the rest of the series. An exception is found by the instance
that it means, however its RECURRENCE-ID is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from server.calendar.attendance import declined
from server.calendar.component import MAX_DEPTH, Component, parse_calendar
from server.calendar.component_times import busy_of
from server.calendar.contentline import Property, content_lines
from server.calendar.recurrence_ids import SeriesIds, recurrence_ids
from server.domain.errors import InvalidCalendarData
from server.domain.occurrences import Busy

_NAMES = frozenset(("TRANSP", "X-MICROSOFT-CDO-BUSYSTATUS", "X-MOZ-LASTACK", "X-MOZ-GENERATION"))
"""Whether it makes busy (RFC 5545 §3.8.2.7; Outlook says it once more), and how far Thunderbird's reminders are."""
_PREFIXES = ("X-MOZ-SNOOZE-TIME", "X-APPLE-TRAVEL-")
"""Since when a reminder sleeps, also of single instances; how one gets there, and from where."""
_HOLDERS = frozenset(("VEVENT", "VTODO"))
_BOOKKEEPING = frozenset(("DTSTAMP", "LAST-MODIFIED", "CREATED", "SEQUENCE"))
"""Properties that clients set with every write. A change of these alone does not change the shared part."""
_AFTER = "X-KOYOMI-AFTER"
"""In a personal part: behind which line what follows stood, as its number among those of one name, and that name."""

_Key = tuple[str, str, int]
"""Name of the component, its recurrence id (empty: the series or single), and its number among equal ones."""
_Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Split:
    """A text taken apart."""

    shared: str
    """The text without anybody's personal parts: the neutral text."""
    personal: str
    """The personal parts, as iCalendar."""


@dataclass(slots=True)
class _Run:
    """Personal lines that stand together, or one alarm."""

    place: _Place
    start: int
    end: int
    alarm: bool


@dataclass(slots=True)
class _Part:
    """An event or a task with the places of what is in it."""

    name: str
    start: int
    recurrence: Property | None = None
    """RECURRENCE-ID."""
    runs: list[_Run] = field(default_factory=list)
    places: dict[_Place, int] = field(default_factory=dict)
    """Where what stood behind a line goes."""
    properties_end: int = 0
    last_line: int = 0
    """Where the END line begins."""


def is_personal(name: str) -> bool:
    """Whether a property of an event or a task is each person's own; `name` is upper-case."""
    return name in _NAMES or name.startswith(_PREFIXES)


def split(text: str) -> Split:
    """Take a calendar object apart. Raises `InvalidCalendarData` for what is none."""
    shared: list[str] = []
    personal = ["BEGIN:VCALENDAR\r\n"]
    position = 0
    parts = list(_parts(text))
    ids = _ids(text, parts)
    for part in parts:
        personal.append(f"BEGIN:{part.name}\r\n")
        if part.recurrence is not None:
            personal.append(_recurrence_id_line(text, part, ids))
        place: _Place | None = None
        for run in part.runs:
            if run.place != place:
                place = run.place
                personal.append(f"{_AFTER}:{place[1]} {place[0]}\r\n")
            personal.append(text[run.start : run.end])
            shared.append(text[position : run.start])
            position = run.end
        personal.append(f"END:{part.name}\r\n")
    shared.append(text[position:])
    personal.append("END:VCALENDAR\r\n")
    return Split("".join(shared), "".join(personal))


def neutral(text: str) -> str:
    """A text without anybody's personal parts. Raises `InvalidCalendarData`."""
    return split(text).shared


def compose(shared: str, personal: str) -> str:
    """A shared part with somebody's personal one. Raises `InvalidCalendarData`.

    `compose(*split(text))` is the text again, unless blank lines stand beside what is personal.
    """
    parts, own = list(_parts(shared)), list(_parts(personal))
    ids = _ids(shared, [*parts, *own])
    known = _personal_runs(personal, own, ids)
    pieces: list[str] = []
    position = 0
    for key, part in _numbered(parts, ids):
        runs = known.get(key)
        if runs is None and key[1]:
            runs = known.get((key[0], "", 0))
        inserted: list[tuple[int, str]] = []
        for place, alarm, text in runs or ():
            at = part.places.get(place)
            if at is None:
                at = part.last_line if alarm else part.properties_end
            inserted.append((at, text))
        inserted.sort(key=lambda item: item[0])
        for at, text in inserted:
            pieces += (shared[position:at], text)
            position = at
    pieces.append(shared[position:])
    return "".join(pieces)


def same_shared(text: str, other: str) -> bool:
    """Whether two texts differ in what is personal only, however they are written.

    Time zones, the properties of VCALENDAR and the properties that clients set with every write do not count.
    Raises `InvalidCalendarData`.
    """
    return _canonical(parse_calendar(text)) == _canonical(parse_calendar(other))


def same_order(text: str, other: str) -> bool:
    """Whether two texts have the same components in the same order. Raises `InvalidCalendarData`."""
    return _order(text) == _order(other)


def busy_types(text: str, owner: frozenset[str] = frozenset()) -> tuple[Busy, ...]:
    """The busy type of each component directly below VCALENDAR. Raises `InvalidCalendarData`.

    :param owner: the addresses of the calendar's owner: an event that they have declined is free.
    """
    calendar = parse_calendar(text)
    free = declined(calendar, owner)
    return tuple(
        Busy.FREE if index in free else busy_of(component) for index, component in enumerate(calendar.components)
    )


def _parts(text: str) -> Iterator[_Part]:
    """The events and tasks of a text, in order."""
    names: list[str] = []
    part: _Part | None = None
    counts: dict[str, int] = {}
    alarm_start = -1
    place: _Place = ("BEGIN", 0)

    def stood(label: str, end: int) -> _Place:
        assert part is not None
        counts[label] = counts.get(label, 0) + 1
        found = (label, counts[label])
        part.places[found] = end
        return found

    for line in content_lines(text):
        depth = len(names)
        if line.name == "BEGIN":
            name = line.value.strip().upper()
            if depth >= MAX_DEPTH:
                raise InvalidCalendarData(f"Components are nested more than {MAX_DEPTH} levels deep.", line.line)
            names.append(name)
            if depth == 1 and name in _HOLDERS:
                part = _Part(name, line.start)
                counts = {}
                place = ("BEGIN", 0)
                part.places[place] = line.end
            elif depth == 2 and part is not None:
                if name == "VALARM":
                    alarm_start = line.start
                elif not part.properties_end:
                    part.properties_end = line.start
        elif line.name == "END":
            if not names or names.pop() != line.value.strip().upper():
                raise InvalidCalendarData(f"Line {line.line} ends what is not open.", line.line)
            if depth == 3 and part is not None:
                if alarm_start >= 0:
                    part.runs.append(_Run(place, alarm_start, line.end, True))
                    alarm_start = -1
                else:
                    place = stood("END", line.end)
            elif depth == 2 and part is not None:
                part.last_line = line.start
                part.properties_end = part.properties_end or line.start
                yield part
                part = None
        elif depth == 2 and part is not None:
            if is_personal(line.name):
                part.runs.append(_Run(place, line.start, line.end, False))
            else:
                place = stood(line.name, line.end)
                if line.name == "RECURRENCE-ID" and part.recurrence is None:
                    part.recurrence = line
    if names:
        raise InvalidCalendarData(f"The {names[-1][:40]} has no end.")


def _ids(text: str, parts: Iterable[_Part]) -> SeriesIds | None:
    """The keys that distinguish the instances of a text; None when none of the parts is an exception."""
    return SeriesIds(parse_calendar(text)) if any(part.recurrence is not None for part in parts) else None


def _recurrence_id_line(text: str, part: _Part, ids: SeriesIds | None) -> str:
    """RECURRENCE-ID of an exception, written so that it needs neither the series nor a VTIMEZONE; else as it is."""
    assert part.recurrence is not None
    identifier = "" if ids is None else ids.id_of(part.name, part.recurrence)
    if ":" in identifier:
        return text[slice(*part.recurrence.span)]
    return f"RECURRENCE-ID{'' if 'T' in identifier else ';VALUE=DATE'}:{identifier}\r\n"


def _numbered(parts: Iterable[_Part], ids: SeriesIds | None) -> Iterator[tuple[_Key, _Part]]:
    seen: dict[tuple[str, str], int] = {}
    for part in parts:
        at = part.name, "" if ids is None else ids.id_of(part.name, part.recurrence)
        number = seen[at] = seen.get(at, -1) + 1
        yield (*at, number), part


def _personal_runs(
    personal: str, parts: Iterable[_Part], ids: SeriesIds | None
) -> dict[_Key, list[tuple[_Place, bool, str]]]:
    """A personal part by component: the place, whether it is an alarm, and the lines."""
    found: dict[_Key, list[tuple[_Place, bool, str]]] = {}
    places: dict[int, _Place] = {}
    for line in content_lines(personal):
        if line.name == _AFTER:
            number, _, label = line.value.partition(" ")
            if not (number.isascii() and number.isdecimal()):
                raise InvalidCalendarData(f"Line {line.line} names no place.", line.line)
            places[line.end] = (label, int(number[:9]))
    for key, part in _numbered(parts, ids):
        place: _Place = ("BEGIN", 0)
        runs = found[key] = []
        for run in part.runs:
            place = places.get(run.start, place)
            runs.append((place, run.alarm, personal[run.start : run.end]))
    return found


def _canonical(component: Component, recurrence_id: str = "") -> tuple[Any, ...]:
    """The shared lines of a component and of its descendants, in a canonical order, so that they can be compared."""
    outermost = component.name == "VCALENDAR"
    holder = component.name in _HOLDERS
    lines = sorted(
        _canonical_line(line, recurrence_id)
        for line in ([] if outermost else component.properties)
        if not (line.name in _BOOKKEEPING or (holder and is_personal(line.name)))
    )
    ids = recurrence_ids(component) if outermost else [""] * len(component.components)
    below = sorted(
        (child.name, _canonical(child, identifier))
        for child, identifier in zip(component.components, ids, strict=True)
        if not ((outermost and child.name == "VTIMEZONE") or (holder and child.name == "VALARM"))
    )
    return tuple(lines), tuple(below)


def _canonical_line(line: Property, recurrence_id: str) -> tuple[Any, ...]:
    """Name, parameters and value; of a RECURRENCE-ID the instance that it means."""
    params = line.params
    if line.name == "RECURRENCE-ID" and recurrence_id:
        ranges = tuple(value.strip().upper() for value in params.get("RANGE", []))
        return line.name, (("RANGE", ranges),), recurrence_id
    return line.name, tuple(sorted((name, tuple(values)) for name, values in params.items())), line.value.strip()


def _order(text: str) -> list[tuple[str, str]]:
    tree = parse_calendar(text)
    return [
        (component.name, identifier)
        for component, identifier in zip(tree.components, recurrence_ids(tree), strict=True)
    ]
