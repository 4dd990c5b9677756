"""The VTIMEZONEs of a stream over many calendar objects: each TZID is defined once and means the same for all.

An iCalendar stream must define each TZID that it uses (RFC 5545 §3.2.19), and stored objects differ: two of them may
bring different rules under one TZID (Outlook names zones of its own `Customized Time Zone`), parts of one zone of the
database, or no definition at all. What the server computes with is what the stream says:

- A TZID that names a zone of the database, for the object that uses it, is defined as the first such object defines it,
  if that is right for all its times; else by our zone data.
- Any other is defined as its object defines it.
- A second meaning of a TZID gets another name: `/koyomi/` and the zone's name in the database, or a hash of its rules
  behind the TZID. All references of the object follow.

Objects are read only when they bring definitions, references or years that no object before had together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from itertools import count, zip_longest

from server.calendar.all_day_times import may_depend_on_zones, with_dates
from server.calendar.calendar_object import folded_tzid
from server.calendar.component import Component, parse_components
from server.calendar.contentline import Property, content_line, content_lines, escape_text, fold, with_crlf
from server.calendar.iana import named_zone
from server.calendar.values import CalendarTime, Period, property_times
from server.calendar.vtimezone import CalendarZones, observances, zone_of_rules
from server.calendar.zone_definition import FIRST_YEAR, LISTED_UNTIL, definition
from server.calendar.zones import Zone
from server.domain.errors import InvalidData, UnknownTimezone

GLOBAL_PREFIX = "/koyomi/"
"""A TZID that begins with a solidus is globally unique (RFC 5545 §3.8.3.1)."""

FIRST_RULES = 1900
"""The first year in which the rules of objects are compared with ours."""

_FOLD = r"(?:\r\n[ \t])?"
_KEYWORD = _FOLD.join(("", "[Tt]", "[Zz]", "[Ii]", "[Dd]", "="))
_PLAIN = r"[^:;\"\r\n]{0,300}"
_REFERENCE = re.compile(
    rf";{_KEYWORD}((?:\"[^\"]{{0,300}}|{_PLAIN}(?:\r\n[ \t]{_PLAIN}){{0,4}})(?::(?![0-9]{{8}}){_PLAIN}){{0,4}})"
    rf"(?:[^:\r\n]{{0,300}}(?:\r\n[ \t][^:\r\n]{{0,300}})?:{_FOLD}([0-9]{{4}}))?"
)
"""A reference to a zone, with the year of its first time, in a text with CR LF line ends. An unquoted colon in a TZID
is read as part of it, as `server.calendar.contentline` does."""
_WITHOUT_ZONE = re.compile(r"\n[Dd][Tt][Ss][Tt][Aa][Rr][Tt]:([0-9]{4})")
"""The year of a DTSTART that refers to no zone; it counts for what a name of a zone means."""
_YEAR = re.compile(r"[0-9]{4}")
_LONGEST = 200
"""Characters of a reference that is known to be read whole."""


_Brought = tuple[Component, str]
"""A VTIMEZONE, and its lines."""

_NEVER = 10_000
"""A year after all that there are."""


@dataclass(frozen=True, slots=True)
class _Defined:
    """A TZID of the stream."""

    tzid: str
    meaning: str
    """The zone of the database, or a hash of the rules."""
    since: int
    """The first year from which the definition is right."""
    outdated: Zone | None = None
    """The definition's own offsets, where they may be right for single times before that year too."""

    def is_right(self, used: _Used, zone: Zone | None) -> bool:
        """Whether the definition gives the times of an object as a zone of the database does."""
        if self.since <= used.first_year:
            return True
        return self.outdated is not None and zone is not None and used.agree(self.outdated, zone)


@dataclass(slots=True)
class _Used:
    """How an object uses a TZID."""

    first_year: int = _NEVER
    """The first year in which a time by it lies."""
    lines: list[Property] = field(default_factory=list)
    """The properties that refer to it."""
    recurs: bool = False

    def agree(self, one: Zone, other: Zone) -> bool:
        """Whether two zones give the same times; of a series that is unknown."""
        if self.recurs:
            return False
        for line in self.lines:
            try:
                times = property_times(line)
            except InvalidData:
                continue  # not a property with times
            for item in times:
                for time in (item.start, item.end) if isinstance(item, Period) else (item,):
                    if isinstance(time, CalendarTime) and one.to_utc(time.local) != other.to_utc(time.local):
                        return False
        return True


class AggregateZones:
    """The zones of one stream. Keeps a hash of 16 bytes for objects that differ in zones or years, and the text of the
    last VTIMEZONEs."""

    def __init__(self) -> None:
        self._defined: dict[str, _Defined] = {}
        self._renamed: dict[bytes, dict[str, str]] = {}
        self._last: tuple[list[str], set[str], str] | None = None
        self._last_renamed: dict[str, str] = {}

    def add(self, brought: list[str], components: str) -> str:
        """The components of an object, with the TZIDs that they have in the stream, behind definitions that are new.

        :param brought: the object's VTIMEZONEs.
        :param components: its other components, with CR LF line ends.
        :raises InvalidCalendarData: when the text cannot be read.
        """
        references = set(_REFERENCE.findall(components))
        if brought and (not references or len(brought) > 1) and may_depend_on_zones(components):
            components = with_dates(components, CalendarZones(_read(brought, components)[0]))
        if not references:
            return components
        tzids = {tzid for tzid, _ in references}
        years = {year for _, year in references}
        if "" in years or any(not tzid or len(tzid) > _LONGEST or tzid[-1] in " \t" for tzid in tzids):
            return self._with_definitions(brought, components)[0]
        years.update(_WITHOUT_ZONE.findall(components))
        this = brought, tzids, min(years)
        if this != self._last:
            signature = "\n".join((*brought, *sorted(tzids), min(years)))
            key = blake2b(signature.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            renamed = self._renamed.get(key)
            if renamed is None:
                whole, renamed, is_general = self._with_definitions(brought, components)
                if is_general:
                    self._renamed[key] = renamed
                return whole
            self._last, self._last_renamed = this, renamed
        return _with_names(components, self._last_renamed) if self._last_renamed else components

    def _with_definitions(self, brought: list[str], components: str) -> tuple[str, dict[str, str], bool]:
        """What `add` gives, the new names by the TZIDs of the object, and whether these are the same for all objects
        with its zones and years."""
        calendar, used = _read(brought, components)
        zones = CalendarZones(calendar)
        bringing: dict[str, _Brought] = {}
        for timezone, lines in zip(calendar.children("VTIMEZONE"), brought, strict=False):
            bringing.setdefault(folded_tzid(timezone.text("TZID") or ""), (timezone, lines))
        definitions: list[str] = []
        renamed: dict[str, str] = {}
        is_general = True
        for tzid, uses in used.items():
            named = named_zone(tzid.strip())
            for wanted, write in _possible(bringing.get(folded_tzid(tzid)), zones, tzid, uses):
                held = self._defined.setdefault(folded_tzid(wanted.tzid), wanted)
                if held is wanted:
                    definitions.append(write())
                if held.meaning != wanted.meaning:
                    continue
                is_general = is_general and (held.outdated is None or held.since <= uses.first_year)
                if held.is_right(uses, named):
                    if held.tzid != tzid:
                        renamed[tzid] = held.tzid
                    break
        if renamed:
            components = _with_names(components, renamed)
        return "".join((*definitions, components)), renamed, is_general


def _read(brought: list[str], components: str) -> tuple[Component, dict[str, _Used]]:
    """A calendar with what concerns zones in an object: the VTIMEZONEs, and one component with the DTSTARTs; and how
    each TZID is used.

    Line by line, since a tree of a large object takes many times its size.
    """
    calendar = Component("VCALENDAR")
    for lines in brought:
        calendar.components += parse_components(lines)
    starts = Component("VEVENT")
    calendar.components.append(starts)
    used: dict[str, _Used] = {}
    depth = 0
    recurs = False
    for line in content_lines(components):
        if line.name in ("BEGIN", "END"):
            depth += 1 if line.name == "BEGIN" else -1
            continue
        if line.name == "DTSTART" and depth == 1:
            starts.properties.append(line)
        recurs = recurs or line.name in ("RRULE", "EXRULE")
        tzid = line.parameter("TZID")
        if tzid and tzid.strip():
            uses = used.setdefault(tzid, _Used())
            uses.lines.append(line)
            written = [time[:4] for time in line.value.split(",")]
            uses.first_year = min([uses.first_year, *(int(year) for year in written if _YEAR.fullmatch(year))])
    for uses in used.values():
        uses.recurs = recurs
    return calendar, used


def _possible(
    found: _Brought | None, zones: CalendarZones, tzid: str, uses: _Used
) -> Iterator[tuple[_Defined, Callable[[], str]]]:
    """Candidate names for the zone of a TZID in the stream, in the order in which they are tried, with its definition.

    Nothing for a TZID that means no zone, which a property with times cannot have.

    :param found: the VTIMEZONE that the object brings for it.
    """
    plain = tzid.strip()
    named = named_zone(plain)
    try:
        if named is not None and zones.zone(tzid).key == named.key:
            if found is not None:
                yield from _as_brought(found[0], found[1], named, uses)
            since = 0 if uses.first_year < FIRST_YEAR or plain.startswith(GLOBAL_PREFIX) else FIRST_YEAR
            yield _Defined(plain, named.key, since), partial(definition, named, plain, since or None)
            for number in count(1):
                name = f"{GLOBAL_PREFIX}{f'{number}/' if number > 1 else ''}{named.key}"
                yield _Defined(name, named.key, 0), partial(definition, named, name, None)
    except UnknownTimezone:
        return
    except InvalidData:
        pass  # rules that cannot be read stay as they are
    if found is None:
        return
    zone, lines = found
    own = (zone.text("TZID") or "").strip()
    meaning = _hash_of_rules(zone, lines)
    yield _Defined(own, meaning, 0), partial(_renamed_definition, lines, None)
    for number in count(1):
        name = f"{own}-{meaning[:8]}{f'-{number}' if number > 1 else ''}"
        yield _Defined(name, meaning, 0), partial(_renamed_definition, lines, name)


def _as_brought(
    timezone: Component, lines: str, zone: Zone, uses: _Used
) -> Iterator[tuple[_Defined, Callable[[], str]]]:
    """The definition that an object brings for a zone of the database, if it is right for the object."""
    try:
        own = zone_of_rules(observances(timezone))
    except InvalidData:
        return
    since = _right_since(own, zone)
    tzid = (timezone.text("TZID") or "").strip()
    defined = _Defined(tzid, zone.key, since, None if since <= FIRST_RULES else own)
    if defined.is_right(uses, zone):
        yield defined, partial(_renamed_definition, lines, None)


def _right_since(own: Zone, zone: Zone) -> int:
    """The first year from which rules have the offsets of a zone of the database up to 2100."""
    start, end = datetime(FIRST_RULES, 1, 1), datetime(LISTED_UNTIL, 1, 1)
    ours, theirs = zone.transitions(start, end), own.transitions(start, end)
    pairs = zip_longest(reversed(ours), reversed(theirs))
    different = next((max(each[0] for each in pair if each) for pair in pairs if pair[0] != pair[1]), None)
    year = FIRST_RULES if different is None else different.year + 1
    begin = datetime(year, 1, 1, tzinfo=UTC)
    return year if year < LISTED_UNTIL and own.offset_at(begin) == zone.offset_at(begin) else _NEVER


def _hash_of_rules(component: Component, lines: str) -> str:
    try:
        rules = repr((observances(component), component.text("X-LIC-LOCATION")))
    except InvalidData:
        rules = lines
    return blake2b(rules.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _renamed_definition(lines: str, tzid: str | None) -> str:
    """A VTIMEZONE, under another TZID unless that is None, in CR LF lines."""
    pieces: list[str] = []
    for line in content_lines(lines):
        if line.name == "TZID" and tzid is not None:
            pieces.append(fold(f"TZID:{escape_text(tzid)}"))
        else:
            pieces.append(lines[line.start : line.end])
    return with_crlf("".join(pieces))


def _with_names(components: str, renamed: dict[str, str]) -> str:
    """Components with other TZIDs in all references; all other lines as they are."""
    pieces: list[str] = []
    position = 0
    for line in content_lines(components):
        tzid = line.parameter("TZID")
        if tzid in renamed:
            pieces += [
                components[position : line.start],
                content_line(line.name, line.params | {"TZID": [renamed[tzid]]}, line.value),
            ]
            position = line.end
    pieces.append(components[position:])
    return "".join(pieces)
