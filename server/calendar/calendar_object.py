"""Calendar object resources (RFC 4791 §4.1, §5.3.2.1): what the write path needs to know of what a client sends.

The text is stored as it came. What has one meaning only is accepted, however unusual; what has none, or two, is refused
with the line. Missing DTSTAMP, PRODID and VERSION, unknown properties, values and components, overrides without a
master or outside the series, RDATE and EXDATE of either type, a task's rule without DTSTART, zones known by their name,
a DURATION of nothing beside DTEND: all of that is accepted. Nothing in an alarm, and no stamp such as CREATED, is a
reason to refuse the object. docs/standards.md lists the broken values that are accepted, and what they then mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from hashlib import blake2b

from server.calendar.attendance import may_be_free
from server.calendar.component import Component, parse_calendar
from server.calendar.component_times import TRAVEL_TIMES
from server.calendar.contentline import Property, content_lines, decode, split_list, unescape_text
from server.calendar.derivation import versioned
from server.calendar.iana import named_zone
from server.calendar.recurrence_ids import recurrence_ids
from server.calendar.rrule import parse_rule
from server.calendar.values import (
    CalendarTime,
    Duration,
    Period,
    is_no_time,
    property_duration,
    property_time,
    property_times,
)
from server.calendar.visibility import access_of
from server.domain.errors import (
    DateTimeTooEarly,
    DateTimeTooLate,
    InvalidCalendarData,
    InvalidCalendarObject,
    ResourceTooLarge,
    TooManyAttendees,
    TooManyInstances,
    UnknownTimezone,
    UnsupportedComponent,
)
from server.domain.limits import Limits
from server.domain.values import value

CALENDAR_COMPONENTS = frozenset(("VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY"))
"""The components that a calendar object resource can be of (RFC 5545 §3.6, RFC 7953)."""

MAX_DATES = 20_000
"""Values of RDATE, EXDATE and FREEBUSY in one object."""
MAX_SUMMARY_LENGTH = 1000
"""Characters of one value of `CalendarObject.summary`."""

_INNER_COMPONENTS = frozenset(("STANDARD", "DAYLIGHT", "AVAILABLE", "VCALENDAR"))
_WITH_TIMES = frozenset(("AVAILABLE",)) | CALENDAR_COMPONENTS
_SINGLE_TIMES = frozenset(("DTSTART", "DTEND", "DUE", "RECURRENCE-ID"))
_LISTS_OF_TIMES = frozenset(("RDATE", "EXDATE", "FREEBUSY"))
_RULES = frozenset(("RRULE", "EXRULE"))
_ONLY_ONCE = frozenset(("UID", "DURATION")) | _SINGLE_TIMES
_CHECKED = _SINGLE_TIMES | _LISTS_OF_TIMES | _RULES | _ONLY_ONCE
_MAY_BE_BLANK = (_CHECKED - _LISTS_OF_TIMES) - frozenset(("UID", "RECURRENCE-ID"))
"""Properties that count as absent when their value is blank or zeros (`is_no_time`)."""
_CONCERNS_TIME = (
    _SINGLE_TIMES
    | _LISTS_OF_TIMES
    | _RULES
    | frozenset(("DURATION", "TRANSP", "STATUS", "COMPLETED", "CREATED", "TRIGGER", "REPEAT", "ACTION", "BUSYTYPE"))
    | frozenset(("PRIORITY", *TRAVEL_TIMES))
)


_SUMMARY_TEXTS = {"SUMMARY": "summary", "LOCATION": "location", "ORGANIZER": "organizer"}
_SUMMARY_TOKENS = {"STATUS": "status", "TRANSP": "transparency", "CLASS": "classification", "PRIORITY": "priority"}


@value
class CalendarObject:
    """A calendar object resource that may be stored."""

    text: str
    """The text that the client sent, with a byte order mark. Only folds inside of a character are moved."""
    tree: Component
    """The VCALENDAR."""
    component: str
    """The type of its components, such as `VEVENT`."""
    uid: str
    master: Component | None
    """The component without RECURRENCE-ID."""
    overrides: tuple[Component, ...]
    """The components with RECURRENCE-ID, in the order of the text."""
    organizer: str | None
    """The calendar user address, as sent."""
    tzids: tuple[str, ...]
    """The TZIDs by which its times are given, sorted."""
    time_key: str
    """Equal for two texts when everything that concerns time is the same: a change of the one into the other leaves
    occurrences and alarms as they are. Begins with the version of the code that derives them."""
    may_be_free: bool
    """Whether an attendee of an event has declined or not answered: it is free for the owner of a calendar who has
    declined, and in that of a room that has not answered."""
    scheduled: bool
    """Whether a component has an ORGANIZER."""
    access: str | None
    """X-CALENDARSERVER-ACCESS (`server.calendar.visibility`)."""

    def summary(self) -> dict[str, str]:
        """What lists and searches show, of the master or else the first component: `summary`, `location`, `organizer`,
        `categories` (with ", " between them), and in upper case `status`, `transparency`, `classification`, `priority`.

        Only what is there; at most `MAX_SUMMARY_LENGTH` characters each.
        """
        shown = self.master or self.overrides[0]
        found: dict[str, str] = {}
        categories: list[str] = []
        for prop in shown.properties:
            name = prop.name
            if name in _SUMMARY_TEXTS:
                value = prop.value if name == "ORGANIZER" else prop.text
                found.setdefault(_SUMMARY_TEXTS[name], value.strip())
            elif name in _SUMMARY_TOKENS:
                found.setdefault(_SUMMARY_TOKENS[name], prop.value.strip().upper())
            elif name == "CATEGORIES":
                categories.extend(unescape_text(part).strip() for part in split_list(prop.value))
        found["categories"] = ", ".join(dict.fromkeys(category for category in categories if category))
        return {name: value[:MAX_SUMMARY_LENGTH] for name, value in found.items() if value}


def read_calendar_object(body: bytes, limits: Limits, *, message: bool = False) -> CalendarObject:
    """A calendar object resource from the body of a request.

    :param message: whether this is a scheduling message in an inbox, which has a METHOD (RFC 6638 §2.2).

    :raises ResourceTooLarge: for more octets than allowed.
    :raises InvalidCalendarData: for what is no iCalendar, or contradicts itself; with the line.
    :raises InvalidCalendarObject: for what RFC 4791 §4.1 forbids: METHOD, components of several types or with several
        UIDs, two masters, two overrides of one instance. `UnknownTimezone` is one of these.
    :raises UnknownAccessRestriction: for X-CALENDARSERVER-ACCESS with another value than one of the document.
    :raises UnsupportedComponent: for components that no calendar takes.
    :raises DateTimeTooEarly, DateTimeTooLate: for times outside of the limits.
    :raises TooManyAttendees: for more attendees in one component than allowed.
    :raises TooManyInstances: for more dates of a series than can be looked at.
    """
    if len(body) > limits.max_resource_size:
        raise ResourceTooLarge(f"This has {len(body)} octets; {limits.max_resource_size} are allowed.")
    text = decode(body)
    tree = parse_calendar(text, max_components=limits.max_components)
    _check_calendar_properties(tree, message=message)
    components, definitions = _sort_components(tree)
    component = components[0].name
    _check_dates(components)
    used: dict[str, int] = {}
    for candidate in components:
        for part in candidate.walk() if candidate.components else (candidate,):
            _check_component(part, limits, used, message=message)
    for tzid in used:
        if folded_tzid(tzid) not in definitions and named_zone(tzid) is None:
            raise UnknownTimezone(tzid, used[tzid])
    for candidate in components:
        _check_attendees(candidate, limits)
    uid = _common_uid(components, limits)
    master, overrides = _recurrence_set(tree, component)
    shown = master or components[0]
    organizer = shown.first("ORGANIZER")
    return CalendarObject(
        text=text,
        tree=tree,
        component=component,
        uid=uid,
        master=master,
        overrides=overrides,
        organizer=organizer.value.strip() if organizer else None,
        tzids=tuple(sorted(used)),
        time_key=time_key(text, tree),
        may_be_free=component == "VEVENT" and any(map(may_be_free, components)),
        scheduled=any(each.first("ORGANIZER") is not None for each in components),
        access=None if message else access_of(tree),
    )


def read_timezone(text: str) -> tuple[str, Component]:
    """TZID and VTIMEZONE of a value of CALDAV:calendar-timezone (RFC 4791 §5.2.2) or CALDAV:timezone (§9.8).

    :raises InvalidCalendarData: for anything but a VCALENDAR with exactly one VTIMEZONE, which has a TZID and at least
        one observance, and no other component.
    """
    tree = parse_calendar(decode(text.strip().encode("utf-8", "surrogatepass")), max_components=1000)
    zones = tree.children("VTIMEZONE")
    if len(zones) != 1 or len(tree.components) != 1:
        raise InvalidCalendarData("This is not one VTIMEZONE in a VCALENDAR.", tree.line)
    tzid = _tzid_of(zones[0])
    if not zones[0].children("STANDARD") and not zones[0].children("DAYLIGHT"):
        raise InvalidCalendarData(f"The VTIMEZONE {tzid[:80]!r} has neither STANDARD nor DAYLIGHT.", zones[0].line)
    return tzid, zones[0]


def timezone_id(text: str) -> str | None:
    """The TZID in a text that `read_timezone` takes, without reading what follows it."""
    try:
        return next((prop.text.strip() for prop in content_lines(text.strip()) if prop.name == "TZID"), None)
    except InvalidCalendarData:
        return None


def _check_calendar_properties(tree: Component, *, message: bool) -> None:
    """METHOD is forbidden (RFC 4791 §4.1); another calendar than the Gregorian would mean other dates."""
    for prop in tree.properties:
        if prop.name == "METHOD" and not message:
            raise InvalidCalendarObject(f"Line {prop.line}: METHOD is not allowed in a calendar object.", prop.line)
        if prop.name == "CALSCALE" and prop.value.strip().upper() not in ("GREGORIAN", ""):
            raise InvalidCalendarData(
                f"Line {prop.line}: the calendar scale {prop.value[:40]!r} is unknown.", prop.line
            )


def _check_dates(components: Iterable[Component]) -> None:
    """Counted before any is read: reading half a million takes seconds."""
    listed = sum(
        prop.value.count(",") + 1
        for component in components
        for prop in component.properties
        if prop.name in _LISTS_OF_TIMES
    )
    if listed > MAX_DATES:
        raise TooManyInstances(
            f"An object has at most {MAX_DATES} RDATE, EXDATE and FREEBUSY values; this has {listed}."
        )


def _sort_components(tree: Component) -> tuple[list[Component], frozenset[str]]:
    """The components of the one type that the object is of, and the TZIDs that it defines, folded."""
    components: list[Component] = []
    definitions: list[str] = []
    unknown: Component | None = None
    for child in tree.components:
        if child.name in CALENDAR_COMPONENTS:
            if components and child.name != components[0].name:
                first = components[0]
                message = f"There is a {first.name} (line {first.line}) and a {child.name} (line {child.line})."
                raise InvalidCalendarObject(message, child.line)
            components.append(child)
        elif child.name == "VTIMEZONE":
            definitions.append(folded_tzid(child.text("TZID") or ""))
        elif child.name in _INNER_COMPONENTS:
            raise InvalidCalendarData(f"Line {child.line}: a VCALENDAR has no {child.name[:40]}.", child.line)
        elif child.name == "VALARM":
            continue  # an alarm of nothing
        else:
            unknown = unknown or child
    if not components:
        if unknown is not None:
            raise UnsupportedComponent(f"No calendar takes components of type {unknown.name[:40]}.", unknown.line)
        raise InvalidCalendarObject("This VCALENDAR holds no component.", tree.line)
    return components, frozenset(definitions)


def _tzid_of(timezone: Component) -> str:
    tzid = (timezone.text("TZID") or "").strip()
    if not tzid:
        raise InvalidCalendarData(f"The VTIMEZONE in line {timezone.line} has no TZID.", timezone.line)
    return tzid


def folded_tzid(tzid: str) -> str:
    """A TZID as it is compared: without quotes, in any case."""
    return tzid.strip().strip("\"'").strip().casefold()


def _check_component(component: Component, limits: Limits, used: dict[str, int], *, message: bool) -> None:
    """Times, rules and what must not stand together in one component; zones go to `used` with the line."""
    if component.name == "VALARM":
        _check_alarm(component)
    if component.name not in _WITH_TIMES:
        return
    once: dict[str, Property] = {}
    times: dict[str, CalendarTime] = {}
    for prop in component.properties:
        name = prop.name
        if name not in _CHECKED or (name in _MAY_BE_BLANK and is_no_time(prop.value)):
            continue
        if name in _ONLY_ONCE:
            other = once.setdefault(name, prop)
            if other is not prop:
                if (other.value, other.parameter_text) != (prop.value, prop.parameter_text):
                    raise InvalidCalendarData(
                        f"{name} is in line {other.line} and, different, in line {prop.line}.", prop.line
                    )
                continue
        if name in _SINGLE_TIMES:
            time = times[name] = property_time(prop)
            _check_time(time, prop, limits, used)
        elif name in _LISTS_OF_TIMES:
            for item in property_times(prop):
                if isinstance(item, Period):
                    _check_time(item.start, prop, limits, used)
                    if isinstance(item.end, CalendarTime):
                        _check_time(item.end, prop, limits, used)
                else:
                    _check_time(item, prop, limits, used)
        elif name == "DURATION":
            property_duration(prop)
        elif name in _RULES:
            try:
                parse_rule(prop.value)
            except InvalidCalendarData as error:
                raise InvalidCalendarData(f"{name} in line {prop.line}: {error.message}", prop.line) from None
    _check_extent(component, once, times, message=message)


def _check_alarm(alarm: Component) -> None:
    """Apps compare the time at which an alarm was dismissed with that at which it rings (RFC 9074 §6.1)."""
    for prop in alarm.all("ACKNOWLEDGED"):
        if not is_no_time(prop.value) and not property_time(prop).utc:
            raise InvalidCalendarData(f"ACKNOWLEDGED in line {prop.line} is no time in UTC.", prop.line)


def _check_extent(
    component: Component, once: dict[str, Property], times: dict[str, CalendarTime], *, message: bool
) -> None:
    """Start, end and duration of a component (RFC 5545 §3.6.1, §3.6.2, §3.8.2.2)."""
    start = times.get("DTSTART")
    if start is None:
        # Messages of some methods need none (RFC 5546 §3.2).
        if component.name == "AVAILABLE" or (component.name == "VEVENT" and not message):
            raise InvalidCalendarData(f"The {component.name} in line {component.line} has no DTSTART.", component.line)
        return
    duration = once.get("DURATION")
    for name in ("DTEND", "DUE"):
        end = times.get(name)
        if end is None:
            continue
        if name == "DTEND" and _has_no_effect(start, end):
            if component.name == "VAVAILABILITY":
                line = once[name].line
                raise InvalidCalendarData(f"DTEND in line {line} is no end: without one, this would never end.", line)
            continue
        if duration is not None and not _is_length(property_duration(duration), start, end):
            line = once[name].line
            raise InvalidCalendarData(f"There is {name} (line {line}) and DURATION (line {duration.line}).", line)


def _has_no_effect(start: CalendarTime, end: CalendarTime) -> bool:
    """Whether a DTEND is of another type than DTSTART, or before it by the same clock; it counts as absent then."""
    return end.is_date != start.is_date or (end.local < start.local and (end.tzid, end.utc) == (start.tzid, start.utc))


def _is_length(duration: Duration, start: CalendarTime, end: CalendarTime) -> bool:
    """Whether a DURATION beside an end agrees with the end. Older clients add a DURATION of zero."""
    if duration == Duration():
        return True
    same_clock = (end.tzid, end.utc, end.is_date) == (start.tzid, start.utc, start.is_date)
    return same_clock and end.local - start.local == duration.timedelta


def _check_time(time: CalendarTime, prop: Property, limits: Limits, used: dict[str, int]) -> None:
    """Hold a time against the limits (local times as if they were UTC), and note its zone."""
    moment = time.local.replace(tzinfo=UTC)
    if moment < limits.min_date_time:
        raise DateTimeTooEarly(f"{prop.name} in line {prop.line} lies before {limits.min_date_time.date()}.", prop.line)
    if moment > limits.max_date_time:
        raise DateTimeTooLate(f"{prop.name} in line {prop.line} lies after {limits.max_date_time.date()}.", prop.line)
    if time.tzid is not None:
        used.setdefault(time.tzid.strip(), prop.line)


def _common_uid(components: list[Component], limits: Limits) -> str:
    """The UID that all components have."""
    uids: list[str] = []
    for component in components:
        prop = component.first("UID")
        uid = prop.text.strip() if prop else ""
        if prop is None or not uid:
            raise InvalidCalendarData(f"The {component.name} in line {component.line} has no UID.", component.line)
        if uid != (uids or [uid])[0]:
            raise InvalidCalendarObject(f"The UID in line {prop.line} is another than in those before.", prop.line)
        if len(uid.encode()) > limits.max_uid_length:
            message = f"The UID in line {prop.line} has more than {limits.max_uid_length} octets."
            raise InvalidCalendarData(message, prop.line)
        uids.append(uid)
    return uids[0]


def _recurrence_set(tree: Component, name: str) -> tuple[Component | None, tuple[Component, ...]]:
    """The master and the overrides among the components of a name."""
    master: Component | None = None
    overrides: dict[str, Component] = {}
    for component, recurrence_id in zip(tree.components, recurrence_ids(tree), strict=True):
        if component.name != name:
            continue
        prop = component.first("RECURRENCE-ID")
        if prop is None:
            if master is not None:
                message = (
                    f"There are two {component.name} without RECURRENCE-ID (line {master.line}, line {component.line})."
                )
                raise InvalidCalendarObject(message, component.line)
            master = component
        else:
            other = overrides.setdefault(recurrence_id, component)
            if other is not component:
                message = f"The RECURRENCE-ID in line {prop.line} is that of the {component.name} in line {other.line}."
                raise InvalidCalendarObject(message, prop.line)
    return master, tuple(overrides.values())


def _check_attendees(component: Component, limits: Limits) -> None:
    count = 0
    for prop in component.properties:
        if prop.name == "ATTENDEE":
            count += 1
            if count > limits.max_attendees:
                message = f"There are more than {limits.max_attendees} attendees (line {prop.line})."
                raise TooManyAttendees(message, prop.line)


def time_key(text: str, tree: Component, declined: frozenset[int] = frozenset()) -> str:
    """A hash over VTIMEZONEs as they stand and over the properties that concern time, component by component.

    :param declined: the indexes of the events that the calendar's owner has declined.
    """
    parts: list[str] = []
    for child in tree.components:
        if child.name == "VTIMEZONE":
            parts.append(text[child.start : child.end])
            continue
        for component in child.walk() if child.components else (child,):
            parts.append(component.name)
            parts.extend(
                f"{prop.name};{prop.parameter_text}:{prop.value}"
                for prop in component.properties
                if prop.name in _CONCERNS_TIME
            )
    return versioned(blake2b("\n".join(parts).encode(), digest_size=16).hexdigest(), declined)
