"""Which instance a RECURRENCE-ID, RDATE or EXDATE means, however it is written (RFC 5545 §3.8.4.4, §3.8.5).

UTC, any zone and any name of it, DATE and DATE-TIME: all spellings of one instance have one identifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from server.calendar.component import Component
from server.calendar.component_times import Moment, component_times, moment
from server.calendar.contentline import Property
from server.calendar.values import CalendarTime, property_time
from server.calendar.vtimezone import CalendarZones
from server.domain.errors import InvalidData
from server.domain.occurrences import Kind

_MIDNIGHT = datetime.min.time()


def in_series(time: CalendarTime, anchor: Moment | None, zones: CalendarZones) -> Moment:
    """A value of RDATE, EXDATE or RECURRENCE-ID as a time of a series.

    A date in a series of times is the instance of that local day; a floating time is in the zone of the series. In a
    series of dates a time is its day: a UTC time that is midnight in a zone that the object brings is that local day.

    :param anchor: DTSTART of the series; None without one.
    :raises InvalidData: when the TZID is unknown, or the rules of its VTIMEZONE are none.
    """
    if anchor is None:
        return moment(time, zones)
    if anchor.kind is Kind.DATE:
        return Moment(day_in_series(time, zones), Kind.DATE, None)
    if time.is_date:
        return Moment(datetime.combine(time.local.date(), anchor.local.time()), anchor.kind, anchor.zone)
    if anchor.kind is Kind.FLOATING or time.is_floating:
        return Moment(time.local, anchor.kind, anchor.zone)
    return moment(time, zones)


def day_in_series(time: CalendarTime, zones: CalendarZones) -> datetime:
    """Midnight of the day that a time means in a series of dates."""
    local = time.local
    if time.utc and local.time() != _MIDNIGHT:
        for zone in zones.brought:
            there = zone.to_local(moment(time, zones).utc)
            if there.time() == _MIDNIGHT:
                return there
    return datetime.combine(local.date(), _MIDNIGHT)


def instance_id(id_utc: datetime, original: Moment) -> str:
    """The canonical text of an instance's original start: see `Occurrence.recurrence_id`."""
    day = "%04d%02d%02d" % (id_utc.year, id_utc.month, id_utc.day)  # noqa: UP031 - half the time of a format string
    if original.kind is Kind.DATE:
        return day
    clock = "T%02d%02d%02d" % (id_utc.hour, id_utc.minute, id_utc.second)  # noqa: UP031
    return day + clock if original.kind is Kind.FLOATING else f"{day}{clock}Z"


class SeriesIds:
    """The identifiers of the instances in one calendar object.

    :param calendar: its VCALENDAR; the first component of a name without RECURRENCE-ID is the series of that name.
    """

    def __init__(self, calendar: Component) -> None:
        self._zones = CalendarZones(calendar)
        self._anchors: dict[str, Moment | None] = {}
        for index, component in enumerate(calendar.components):
            name = component.name
            if name == "VTIMEZONE" or name in self._anchors or component.first("RECURRENCE-ID") is not None:
                continue
            try:
                self._anchors[name] = component_times(component, index, self._zones).anchor
            except InvalidData:
                self._anchors[name] = None

    def id_of(self, name: str, recurrence_id: Property | None) -> str:
        """The identifier of the instance that a component overrides; empty for one without RECURRENCE-ID.

        A value that cannot be read, or whose zone is unknown, is told apart by its spelling.

        :param name: that of the component.
        """
        if recurrence_id is None:
            return ""
        try:
            original = in_series(property_time(recurrence_id), self._anchors.get(name), self._zones)
        except InvalidData:
            return spelling(recurrence_id)
        return instance_id(original.utc, original)


def spelling(recurrence_id: Property) -> str:
    """Zone and value of a RECURRENCE-ID as they are written; never like an identifier."""
    return f"{recurrence_id.parameter('TZID') or ''}:{recurrence_id.value.strip().upper()}"


def recurrence_ids(calendar: Component) -> Sequence[str]:
    """The identifiers of the instances that the components of a VCALENDAR override, in their order."""
    if not any(component.first("RECURRENCE-ID") is not None for component in calendar.components):
        return [""] * len(calendar.components)
    ids = SeriesIds(calendar)
    return [ids.id_of(component.name, component.first("RECURRENCE-ID")) for component in calendar.components]
