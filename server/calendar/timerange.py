"""Whether a component or a property of a calendar object lies in a time range (RFC 4791 §9.9, RFC 7953 §7.2.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from server.calendar.alarms import alarm_trigger, first_ring, rings_within
from server.calendar.component import Component
from server.calendar.component_times import Moment, given, moment
from server.calendar.contentline import Property
from server.calendar.filters import TimeRange
from server.calendar.materialise import (
    availability_row,
    freebusy_rows,
    is_event_without_start,
    rows_within,
    timeless_task_row,
)
from server.calendar.recurrence_ids import in_series
from server.calendar.recurrence_set import RecurrenceSet, recurrence_set
from server.calendar.values import CalendarTime, Period, is_no_time, property_time, property_times
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.calendar.zones import Zone
from server.domain.errors import InvalidData
from server.domain.occurrences import EARLIEST, LATEST, AlarmTrigger, Kind, Occurrence, later

_RECURRING = frozenset(("VEVENT", "VTODO", "VJOURNAL"))
_INSTANCE_PROPERTIES = frozenset(("DTSTART", "DTEND", "DUE", "DURATION"))
_OF_SERIES = frozenset(("RDATE", "EXDATE", "RECURRENCE-ID"))
_LISTS = frozenset(("RDATE", "EXDATE", "FREEBUSY"))
_SLACK = timedelta(days=2)
"""More than a nominal day and a change of offset can differ from their exact lengths."""


class TimeRangeMatcher:
    """The test for one calendar object; what `server.calendar.filters.matches` asks for.

    :param calendar: its VCALENDAR.
    :param zone: gives floating times and dates their place: the request's time zone, else the calendar's, else UTC.
    """

    def __init__(self, calendar: Component, zone: Zone, work: Work | None = None) -> None:
        self._calendar = calendar
        self._zone = zone
        self._work = work or Work()
        self._zones = CalendarZones(calendar)
        self._recurrence_set: RecurrenceSet | None = None

    def __call__(self, path: tuple[Component, ...], prop: Property | None, time_range: TimeRange, /) -> bool:
        """Whether the last component of a path from VCALENDAR down, or its property, lies in a range.

        DURATION stands for the end that it gives: the effective DTEND or DUE. Components and properties for which the
        RFC defines nothing never match.

        :raises TooManyInstances: when the answer takes too much work.
        """
        if len(path) < 2:
            return False
        if prop is not None:
            return self._property_in_range(path, prop, time_range)
        if path[-1].name == "VALARM":
            return self._alarm_in_range(path[1], path[-1], time_range)
        return self._component_in_range(path[1], time_range) if len(path) == 2 else False

    def any_component(self, time_range: TimeRange) -> bool:
        """Whether any component of the object, as a component filter names it, lies in a range.

        All instances of a recurrence set are looked at together, not those of each component for itself.

        :raises TooManyInstances: when the answer takes too much work.
        """
        components = [component for component in self._calendar.components if component.name != "VTIMEZONE"]
        if components and all(component.name in _RECURRING for component in components):
            if any(self._is_timeless(component) for component in components):
                return any(self._component_in_range(component, time_range) for component in components)
            return self._any_instance(components[0], time_range.start, time_range.end, whole=True)
        return any(self._component_in_range(component, time_range) for component in components)

    def _component_in_range(self, component: Component, time_range: TimeRange) -> bool:
        start, end = time_range.start, time_range.end
        if component.name in _RECURRING:
            if is_event_without_start(component):
                return True
            if self._is_timeless(component):
                return timeless_task_row(component, 0).overlaps(start, end)
            return self._any_instance(component, start, end)
        rows: list[Occurrence] = []
        if component.name == "VFREEBUSY":
            rows = freebusy_rows(component, 0, self._zones)
        elif component.name == "VAVAILABILITY":
            rows = [availability_row(component, 0, self._zones)]
        return any(row.overlaps(start, end) for row in rows)

    def _is_timeless(self, component: Component) -> bool:
        if component.name != "VTODO":
            return is_event_without_start(component)
        return all(given(component, name) is None for name in ("DTSTART", "DUE", "RECURRENCE-ID"))

    def _recurrences(self, component: Component) -> RecurrenceSet:
        """The recurrence set that a component belongs to."""
        if self._recurrence_set is None:
            alike = [pair for pair in enumerate(self._calendar.components) if pair[1].name == component.name]
            self._recurrence_set = recurrence_set(alike, self._zones, self._work)
        return self._recurrence_set

    def _any_instance(
        self,
        component: Component,
        start: datetime | None,
        end: datetime | None,
        test: Callable[[Occurrence], bool] | None = None,
        *,
        whole: bool = False,
    ) -> bool:
        """Whether any instance that a component describes overlaps a window, and a test holds for its row.

        `whole`: any instance of the set, whatever component describes it.
        """
        recurrences = self._recurrences(component)
        begin, finish = start or EARLIEST, end or LATEST
        if test is None and not recurrences.floating_margin:
            return next(recurrences.instances(begin, finish, component), None) is not None
        rows = rows_within(recurrences, begin, finish, self._zone, component)
        return any(test is None or test(row) for row, _ in rows)

    def _alarm_in_range(self, component: Component, alarm: Component, time_range: TimeRange) -> bool:
        trigger = alarm_trigger(alarm, 0, 0)
        start, end = time_range.start, time_range.end
        if trigger is None:
            return False
        if trigger.at is not None:
            return rings_within(trigger, trigger.at, start, end)
        begin = None if start is None else later(start, -trigger.latest - _SLACK)
        finish = None if end is None else later(end, -trigger.earliest + _SLACK)
        return self._any_instance(
            component, begin, finish, lambda row: rings_within(trigger, self._first_ring(trigger, row), start, end)
        )

    def _first_ring(self, trigger: AlarmTrigger, row: Occurrence) -> datetime:
        if row.kind is not Kind.TIMED:
            zone: Zone | None = self._zone
        else:
            zone = next((zone for zone in self._zones.used if zone.key == row.tzid), None)
        return first_ring(trigger, row.start, row.end, zone)

    # -- properties ----------------------------------------------------------------------------------------------------

    def _property_in_range(self, path: tuple[Component, ...], prop: Property, time_range: TimeRange) -> bool:
        component = path[-1]
        if is_no_time(prop.value):
            return False
        if prop.name in _INSTANCE_PROPERTIES and len(path) == 2 and component.name in _RECURRING:
            return self._instance_property_in_range(component, prop.name, time_range)
        if prop.name in _OF_SERIES and len(path) == 2 and component.name in _RECURRING:
            master = self._recurrences(component).master
            anchor = None if master is None else master.anchor
            return any(
                self._moment_in_range(in_series(value, anchor, self._zones), time_range)
                if isinstance(value, CalendarTime)
                else self._value_in_range(value, time_range)
                for value in property_times(prop)
            )
        if prop.name in _LISTS:
            return any(self._value_in_range(value, time_range) for value in property_times(prop))
        try:
            return self._value_in_range(property_time(prop), time_range)
        except InvalidData:
            return False  # a stamp, such as CREATED, that is no time

    def _instance_property_in_range(self, component: Component, name: str, time_range: TimeRange) -> bool:
        """DTSTART, DTEND and DUE of every instance, by their effective values."""

        def test(row: Occurrence) -> bool:
            time = row.start if name == "DTSTART" else row.end
            return _lies_in(time, time_range)

        begin = None if time_range.start is None else later(time_range.start, timedelta(seconds=-2))
        finish = None if time_range.end is None else later(time_range.end, timedelta(seconds=2))
        return self._any_instance(component, begin, finish, test)

    def _value_in_range(self, value: CalendarTime | Period, time_range: TimeRange) -> bool:
        """A single value; a period overlaps."""
        if not isinstance(value, Period):
            return self._moment_in_range(moment(value, self._zones), time_range)
        start = self._place(moment(value.start, self._zones))
        if isinstance(value.end, CalendarTime):
            end = self._place(moment(value.end, self._zones))
        else:
            end = later(start, value.end.timedelta)
        return (time_range.end is None or start < time_range.end) and (
            time_range.start is None or end > time_range.start
        )

    def _moment_in_range(self, time: Moment, time_range: TimeRange) -> bool:
        return _lies_in(self._place(time), time_range)

    def _place(self, time: Moment) -> datetime:
        return time.utc if time.kind is Kind.TIMED else self._zone.to_utc(time.local)


def _lies_in(time: datetime, time_range: TimeRange) -> bool:
    """RFC 4791 §9.9, of properties: start <= time < end."""
    return (time_range.start is None or time_range.start <= time) and (time_range.end is None or time < time_range.end)
