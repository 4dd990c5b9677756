"""The copy of a room whose booking nobody checked in: it ends early, and the organizer's meeting stays as it is.

The released instance says in a line of its own which times it had, so that an update of the meeting that leaves these
times does not book the room again. An instance that is moved is a new booking.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from server.calendar.component_times import component_times
from server.calendar.expand import written_time
from server.domain.errors import InvalidData
from server.domain.occurrences import Kind
from server.itip.instances import derived, master_instance
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

NO_SHOW = "X-KOYOMI-NO-SHOW"
"""Start, end, and the end since the release, in UTC, with slashes between them."""
_FORM = "%Y%m%dT%H%M%SZ"


def released(
    copy: SchedulingObject, instance: str, start: datetime, end: datetime, now: datetime
) -> SchedulingObject | None:
    """The copy in which an instance ends now.

    None where it has other times, or where these depend on the time zone of the reader (whole days, floating times).

    :param start: of the instance, `end`: both in UTC.
    """
    component = _component(copy, instance)
    if component is None or _period(copy, component) != (start, end) or not start < now < end:
        return None
    return copy.with_component(_cut(component, start, end, now))


def with_releases(before: SchedulingObject, after: SchedulingObject) -> SchedulingObject:
    """A copy after an update, in which what was released before is so, as far as it keeps its times.

    :param before: the copy before the update.
    """
    made = after
    for component in before.components:
        times = _released_times(component)
        if times is None:
            continue
        start, end, until = times
        updated = _component(made, component.instance)
        period = None if updated is None else _period(made, updated)
        if updated is None or period == (start, until):
            continue
        if period == (start, end):
            made = made.with_component(_cut(updated, start, end, until))
        elif updated.first(NO_SHOW) is not None:
            made = made.with_component(updated.without(NO_SHOW))
    return made


def _component(copy: SchedulingObject, instance: str) -> SchedulingComponent | None:
    own = copy.by_instance.get(instance)
    if instance == MASTER:
        return own
    try:
        in_series = own is not None or master_instance(copy, instance) is not None
    except InvalidData:
        return None
    return derived(copy, instance) if in_series else None


def _period(copy: SchedulingObject, component: SchedulingComponent) -> tuple[datetime, datetime] | None:
    try:
        times = component_times(component.component, 0, copy.zones)
    except InvalidData:
        return None
    start = times.anchor
    if start is None or start.kind is not Kind.TIMED:
        return None
    return start.utc, times.end_of(start, start.utc)


def _cut(component: SchedulingComponent, start: datetime, end: datetime, until: datetime) -> SchedulingComponent:
    """An exact duration, since it ends at the same moment by every clock."""
    seconds = (until - start) // timedelta(seconds=1)
    shorter = component.without("DTEND").with_value("DURATION", f"PT{seconds}S")
    written = "/".join(written_time(each, Kind.TIMED) for each in (start, end, start + timedelta(seconds=seconds)))
    return shorter.with_value(NO_SHOW, written)


def _released_times(component: SchedulingComponent) -> tuple[datetime, datetime, datetime] | None:
    parts = (component.value(NO_SHOW) or "").split("/")
    if len(parts) != 3:
        return None
    try:
        start, end, until = (datetime.strptime(each, _FORM).replace(tzinfo=UTC) for each in parts)
    except ValueError:
        return None
    return (start, end, until) if start < until < end else None
