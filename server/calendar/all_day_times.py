"""Times in UTC in series of dates, which mean a day by a zone that the object brings (Exchange and others write them).

`EXDATE:20260109T230000Z` in an all-day series with a VTIMEZONE of Berlin is 10 January, see `day_in_series`. A
VTIMEZONE that nothing refers to is lost when objects are put together, so the stream has the dates instead.
"""

from __future__ import annotations

import re
from datetime import datetime

from server.calendar.component import Component, parse_components
from server.calendar.contentline import Property, content_line
from server.calendar.recurrence_ids import day_in_series
from server.calendar.rrule import parse_rule
from server.calendar.values import CalendarTime, property_time, property_times
from server.calendar.vtimezone import CalendarZones
from server.domain.errors import InvalidData

_ALL_DAY = re.compile(r"\nDTSTART(?:;[^:]*)?:(?:\r?\n[ \t])?[0-9]{8}[ \t]*\r?\n(?![ \t])")
_IN_UTC = re.compile(r"\n(?:EXDATE|RDATE|RECURRENCE-ID)[;:].*[0-9]Z|\nRRULE.*UNTIL=[0-9T]*Z")
_FOLD = re.compile(r"\r?\n[ \t]")
_MIDNIGHT = datetime.min.time()
_UNTIL = re.compile(r"(?i)\bUNTIL=[^;]*")


def may_depend_on_zones(components: str) -> bool:
    """Whether components without references to zones may mean something else without the VTIMEZONEs beside them."""
    upper = components.upper()
    return (
        ("RRULE" in upper or "EXDATE" in upper or "RDATE" in upper or "RECURRENCE-ID" in upper)
        and _ALL_DAY.search(upper) is not None
        and _IN_UTC.search(_FOLD.sub("", upper)) is not None
    )


def with_dates(components: str, zones: CalendarZones) -> str:
    """Components whose series of dates have dates only, in CR LF lines.

    :param components: the components of one object, without its VTIMEZONEs.
    :param zones: its zones.
    """
    parts = parse_components(components)
    series = {part.name for part in parts if part.first("RECURRENCE-ID") is None and _is_all_day(part)}
    pieces: list[str] = []
    position = 0
    for part in parts:
        for prop in part.properties if part.name in series else ():
            line = _dates(prop, zones)
            if line is not None:
                pieces += [components[position : prop.start], line]
                position = prop.end
    pieces.append(components[position:])
    return "".join(pieces)


def _is_all_day(component: Component) -> bool:
    start = component.first("DTSTART")
    try:
        return start is not None and property_time(start).is_date
    except InvalidData:
        return False


def _dates(prop: Property, zones: CalendarZones) -> str | None:
    """A property with dates in place of its times in UTC; None for one that stays."""
    try:
        if prop.name == "RRULE":
            until = parse_rule(prop.value).until
            if not isinstance(until, datetime) or until.tzinfo is None:
                return None
            time = CalendarTime(until.replace(tzinfo=None), utc=True)
            if all(zone.to_local(until).time() != _MIDNIGHT for zone in zones.brought):
                return None
            value = _UNTIL.sub(f"UNTIL={day_in_series(time, zones):%Y%m%d}", prop.value)
            return content_line(prop.name, prop.params, value)
        if prop.name in ("EXDATE", "RDATE", "RECURRENCE-ID"):
            times = property_times(prop)
            dates = [f"{day_in_series(time, zones):%Y%m%d}" for time in times if isinstance(time, CalendarTime)]
            if len(dates) == len(times) and any(isinstance(time, CalendarTime) and time.utc for time in times):
                params = {name: values for name, values in prop.params.items() if name != "TZID"}
                return content_line(prop.name, params | {"VALUE": ["DATE"]}, ",".join(dates))
    except InvalidData:
        pass  # what cannot be read has no effect, in the stream too
    return None
