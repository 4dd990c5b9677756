"""CALDAV:expand, limit-recurrence-set and limit-freebusy-set (RFC 4791 §9.6.5 to §9.6.7): edits of content lines.

Lines that need no change keep their spelling, folds and line ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice

from server.calendar.component import Component
from server.calendar.component_times import Moment, as_utc, given, local_in, moment
from server.calendar.contentline import Property, content_line, fold
from server.calendar.materialise import (
    availability_row,
    freebusy_rows,
    is_event_without_start,
    row_of,
    rows_within,
    timeless_task_row,
)
from server.calendar.recurrence_set import Instance, recurrence_set
from server.calendar.values import CalendarTime, Duration, Period, listed_values, property_time, property_times
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.calendar.zones import Zone
from server.domain.errors import InvalidCalendarData, TooManyInstances
from server.domain.occurrences import Kind, later, resolve

_RECURRING = frozenset(("VEVENT", "VTODO", "VJOURNAL"))
_REMOVED = frozenset(("RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID"))
_OF_INSTANCE = frozenset(("DTSTART", "DTEND", "DUE", "DURATION"))

_TWO_DIGITS = tuple(f"{number:02}" for number in range(100))

MAX_EXPANDED = 10_000
"""Instances of one object in one answer."""


def expand(text: str, calendar: Component, start: datetime, end: datetime, zone: Zone) -> str:
    """The instances of a calendar object that overlap a window, each a component of its own with times in UTC.

    Every instance of a recurrence set has a RECURRENCE-ID. Floating times and dates stay what they are. Without any
    instance in the window the VCALENDAR has no component.

    :param calendar: the VCALENDAR of `text`.
    :param zone: gives floating times and dates their place.
    :raises TooManyInstances: for more than `MAX_EXPANDED`, or too much work.
    """
    zones = CalendarZones(calendar)
    pieces = list(_frame(text, calendar))
    body: list[str] = []
    names = {component.name for component in calendar.components if component.name != "VTIMEZONE"}
    for name in sorted(names & _RECURRING):
        body += _expanded(text, calendar, name, zones, (start, end), zone)
    for index, component in enumerate(calendar.components):
        if component.name == "VFREEBUSY":
            rows = freebusy_rows(component, index, zones)
        elif component.name == "VAVAILABILITY":
            rows = [availability_row(component, index, zones)]
        else:
            continue
        if any(row.overlaps(start, end) for row in rows):
            body.append("".join(_in_utc(text, component, zones)))
    return "".join((*pieces[:-1], *body, pieces[-1]))


def limit_recurrence_set(text: str, calendar: Component, start: datetime, end: datetime, zone: Zone) -> str:
    """The text without the overrides that neither lie in a window nor are of an instance that would.

    Overrides with RANGE=THISANDFUTURE stay when any instance that they describe, or that they replace, lies in it.
    """
    zones = CalendarZones(calendar)
    cuts: list[Component] = []
    names = {component.name for component in calendar.components}
    for name in sorted(names & _RECURRING):
        components = [pair for pair in enumerate(calendar.components) if pair[1].name == name]
        if not any(component.first("RECURRENCE-ID") for _, component in components):
            continue
        recurrences = recurrence_set(components, zones, Work())
        for _, component in components:
            if component.first("RECURRENCE-ID") is None:
                continue
            if any(rows_within(recurrences, start, end, zone, component)):
                continue
            margin = recurrences.floating_margin
            originals = recurrences.replaced(component, later(start, -margin), later(end, margin))
            if not any(resolve(row_of(instance), zone).overlaps(start, end) for instance in originals):
                cuts.append(component)
    return _without(text, [component.span for component in cuts])


def limit_freebusy_set(text: str, calendar: Component, start: datetime, end: datetime) -> str:
    """The text with those FREEBUSY periods only that overlap a window."""
    zones = CalendarZones(calendar)
    edits: list[tuple[int, int, str]] = []
    for component in calendar.components:
        if component.name != "VFREEBUSY":
            continue
        for prop in component.all("FREEBUSY"):
            written = listed_values(prop.value)
            kept = [
                part
                for part, value in zip(written, property_times(prop), strict=True)
                if not isinstance(value, Period) or _period_overlaps(value, zones, start, end)
            ]
            if len(kept) != len(written):
                edits.append((*prop.span, _line(prop.name, prop.parameter_text, ",".join(kept)) if kept else ""))
    return _edited(text, edits)


# -- parts of expand --------------------------------------------------------------------------------------------------


def _frame(text: str, calendar: Component) -> Iterator[str]:
    """VCALENDAR's own lines around its components, the last piece being END."""
    position = calendar.start
    for component in calendar.components:
        yield text[position : component.start]
        position = component.end
    rest = text[position : calendar.end]
    cut = rest.rstrip("\r\n").rfind("\n") + 1
    yield rest[:cut]
    yield rest[cut:]


def _expanded(
    text: str, calendar: Component, name: str, zones: CalendarZones, window: tuple[datetime, datetime], zone: Zone
) -> list[str]:
    """The components of the instances in a window, in order of start."""
    start, end = window
    components = [pair for pair in enumerate(calendar.components) if pair[1].name == name]
    recurrences = recurrence_set(components, zones, Work())
    if not recurrences.recurs and recurrences.single() is None:
        return [
            "".join(_in_utc(text, component, zones))
            for index, component in components
            if is_event_without_start(component)
            or (name == "VTODO" and timeless_task_row(component, index).overlaps(start, end))
        ]
    found = list(islice(rows_within(recurrences, start, end, zone), MAX_EXPANDED + 1))
    if len(found) > MAX_EXPANDED:
        raise TooManyInstances(f"There are more than {MAX_EXPANDED} instances in the time range.")
    found.sort(key=lambda pair: (pair[0].start, pair[0].recurrence_id))
    templates: dict[int, _Template] = {}
    body = []
    for _, instance in found:
        template = templates.get(instance.times.index)
        if template is None:
            template = templates[instance.times.index] = _template(text, instance.times.component, zones)
        body.append(template.before + "".join(_instance_lines(instance, template)) + template.after)
    return body


@dataclass(frozen=True, slots=True)
class _Template:
    """A component as text in UTC around the lines that each instance has for itself."""

    before: str
    after: str
    duration: Property | None
    end: Moment | None
    """The value of DTEND or DUE."""


def _template(text: str, component: Component, zones: CalendarZones) -> _Template:
    begin = text.index("\n", component.start) + 1
    own = [prop for prop in component.properties if prop.name in _OF_INSTANCE or prop.name in _REMOVED]
    place = own[0].start if own else begin
    after = []
    position = place
    for prop in own:
        after += _edited_span(text, component, position, prop.start, zones)
        position = prop.end
    after += _edited_span(text, component, position, component.end, zones)
    before = _edited_span(text, component, component.start, place, zones)
    end = given(component, "DUE" if component.name == "VTODO" else "DTEND")
    moment_of_end = None if end is None else moment(property_time(end), zones)
    return _Template("".join(before), "".join(after), component.first("DURATION"), moment_of_end)


def _instance_lines(instance: Instance, template: _Template) -> Iterator[str]:
    """DTSTART, its end and RECURRENCE-ID of an instance."""
    kind = instance.start.kind
    start = written_time(instance.start_utc, kind)
    end_name = "DUE" if instance.times.component.name == "VTODO" else "DTEND"
    if not instance.times.starts:
        yield time_line("DUE", start, kind)
    else:
        yield time_line("DTSTART", start, kind)
        duration = template.duration
        if template.end is not None and not instance.has_period:
            yield _end_line(end_name, instance, template.end)
        elif instance.has_period and (template.end is not None or duration is None):
            yield time_line(end_name, written_time(max(instance.end_utc, instance.start_utc), kind), kind)
        elif duration is not None:
            nominal = instance.times.length.nominal or Duration()
            exact = instance.end_utc - instance.start_utc
            value = duration.value if nominal.timedelta == exact else None
            yield duration_line(duration.parameter_text, value, exact)
    if instance.recurrence_id:
        yield recurrence_id_line(instance.recurrence_id)


def _end_line(name: str, instance: Instance, end: Moment) -> str:
    """DTEND or DUE of an instance: of the type that it has in the component, and as far from the start."""
    times, start = instance.times, instance.start
    anchor = times.anchor
    if anchor is None or (times.form in ("end", "due") and end.kind is start.kind is anchor.kind):
        return time_line(name, written_time(instance.end_utc, end.kind), end.kind)
    if end.kind is anchor.kind is start.kind:
        return time_line(name, written_time(later(instance.start_utc, end.utc - anchor.utc), end.kind), end.kind)
    shift = local_in(start, instance.start_utc, anchor) - anchor.local
    if end.kind is Kind.DATE:
        shift = timedelta(days=(anchor.local + shift).toordinal() - anchor.local.toordinal())
    moved = as_utc(later(end.local, shift), end.zone)
    return time_line(name, written_time(moved, end.kind), end.kind)


def _in_utc(text: str, component: Component, zones: CalendarZones) -> list[str]:
    """A component with its times in UTC."""
    return _edited_span(text, component, component.start, component.end, zones)


def _edited_span(text: str, component: Component, start: int, end: int, zones: CalendarZones) -> list[str]:
    """A stretch of a component's text; what refers to a zone in it, also in components below, is put in UTC."""
    edits = [
        (*prop.span, _line_in_utc(prop, zones))
        for part in component.walk()
        for prop in part.properties
        if start <= prop.start < end and "TZID" in prop.parameter_text.upper() and prop.parameter("TZID") is not None
    ]
    pieces = []
    position = start
    for first, after, line in sorted(edits):
        pieces += [text[position:first], line]
        position = after
    pieces.append(text[position:end])
    return pieces


def _line_in_utc(prop: Property, zones: CalendarZones) -> str:
    """A property that refers to a zone, with its times in UTC; without the reference when its value is no time."""
    params = {name: values for name, values in prop.params.items() if name != "TZID"}
    try:
        value = ",".join(_value_in_utc(time, zones) for time in property_times(prop))
    except InvalidCalendarData:
        value = prop.value
    return content_line(prop.name, params, value)


def _value_in_utc(value: CalendarTime | Period, zones: CalendarZones) -> str:
    if isinstance(value, Period):
        if isinstance(value.end, CalendarTime):
            return f"{_value_in_utc(value.start, zones)}/{_value_in_utc(value.end, zones)}"
        return f"{_value_in_utc(value.start, zones)}/{_duration(value.end.timedelta)}"
    time = moment(value, zones)
    return written_time(time.utc, time.kind)


def recurrence_id_line(recurrence_id: str) -> str:
    """RECURRENCE-ID of an instance, by the id that its occurrence has."""
    is_date = len(recurrence_id) == len("20260131")
    return time_line("RECURRENCE-ID", recurrence_id, Kind.DATE if is_date else Kind.TIMED)


def duration_line(parameters: str, value: str | None, exact: timedelta) -> str:
    """DURATION of an instance: as it stands in the series, or the exact length where that differs (None)."""
    return _line("DURATION", parameters, _duration(exact) if value is None else value)


def written_time(time: datetime, kind: Kind) -> str:
    """A time as the value of a DATE or DATE-TIME."""
    # Two digits from a table: a third of the time that formatting numbers takes.
    two, year = _TWO_DIGITS, time.year
    day = f"{two[year // 100]}{two[year % 100]}{two[time.month]}{two[time.day]}"
    if kind is Kind.DATE:
        return day
    zulu = "" if kind is Kind.FLOATING else "Z"
    return f"{day}T{two[time.hour]}{two[time.minute]}{two[time.second]}{zulu}"


def time_line(name: str, written: str, kind: Kind) -> str:
    """The content line of a time that `written_time` gave."""
    return f"{name};VALUE=DATE:{written}\r\n" if kind is Kind.DATE else f"{name}:{written}\r\n"


@lru_cache(maxsize=256)
def _duration(length: timedelta) -> str:
    """A length of time in hours, minutes and seconds, which are exact."""
    seconds = length // timedelta(seconds=1)
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = [f"{hours}H" if hours else "", f"{minutes}M" if minutes else "", f"{rest}S" if rest else ""]
    if hours and rest and not minutes:
        parts[1] = "0M"
    return f"{sign}PT{''.join(parts) or '0S'}"


def _line(name: str, parameters: str, value: str) -> str:
    return fold(f"{name}{';' if parameters else ''}{parameters}:{value}")


# -- parts of both limits ---------------------------------------------------------------------------------------------


def _period_overlaps(period: Period, zones: CalendarZones, start: datetime, end: datetime) -> bool:
    begin = moment(period.start, zones).utc
    if isinstance(period.end, CalendarTime):
        return begin < end and moment(period.end, zones).utc > start
    return begin < end and later(begin, period.end.timedelta) > start


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    return _edited(text, [(first, after, "") for first, after in spans])


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """A text with stretches replaced."""
    pieces = []
    position = 0
    for first, after, replacement in sorted(edits):
        pieces += [text[position:first], replacement]
        position = after
    pieces.append(text[position:])
    return "".join(pieces)
