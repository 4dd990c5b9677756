"""Which lines of a scheduling object others see, and which components each attendee gets (RFC 6638 §3.2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from server.calendar.personal import is_personal
from server.calendar.work import LEAST_WORK
from server.domain.errors import InvalidData
from server.domain.occurrences import EARLIEST, LATEST
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.instances import recurs, start_of, with_exdates
from server.itip.lines import Line, made, spelled
from server.itip.participants import PRIVATE_PARAMETERS, SERVER, attendees, schedule_agent
from server.itip.scheduling_component import MASTER, SchedulingComponent, Subcomponent
from server.itip.scheduling_object import SchedulingObject
from server.itip.series_parts import series_before, series_from

SHARED_X_PROPERTIES = frozenset(
    (
        "X-ALT-DESC",
        "X-APPLE-STRUCTURED-LOCATION",
        "X-GOOGLE-CONFERENCE",
        "X-MICROSOFT-CDO-ALLDAYEVENT",
        "X-MICROSOFT-LOCATIONS",
        "X-MICROSOFT-ONLINEMEETINGCONFLINK",
        "X-MICROSOFT-ONLINEMEETINGEXTERNALLINK",
        "X-MICROSOFT-SKYPETEAMSMEETINGURL",
        "X-MICROSOFT-SKYPETEAMSPROPERTIES",
    )
)
"""X- properties that say something of the meeting to all. Others belong to the person whose app wrote them."""

MOST_EXCLUDED = 3_000
"""EXDATEs between two ranges (RANGE=THISANDFUTURE) to which somebody is invited."""

_OWN = frozenset(("COMPLETED", "PERCENT-COMPLETE", "REQUEST-STATUS", "ACKNOWLEDGED"))
"""Standard properties that are each person's own. TRANSP is, too, but iTIP has it in messages (RFC 5546 §3.2.2)."""

_OF_SERIES = frozenset(("DTSTART", "DTEND", "DUE", "DURATION", "RRULE", "RDATE", "EXDATE", "EXRULE"))
_OF_RANGE = _OF_SERIES | {"RECURRENCE-ID"}
_SHARED_FRAME = frozenset(("VERSION", "PRODID", "CALSCALE"))
_PARTICIPANTS = ("ATTENDEE", "ORGANIZER")


def is_shared(name: str) -> bool:
    """Whether messages to attendees carry a property of the organizer's object; `name` is upper-case."""
    if name == "TRANSP":
        return True
    if name.startswith("X-"):
        return name in SHARED_X_PROPERTIES
    return name not in _OWN and not is_personal(name)


def told(component: SchedulingComponent, dtstamp: str) -> SchedulingComponent:
    """A component as others are told of it: without alarms, private properties and parameters.

    :param dtstamp: DTSTAMP of the message (RFC 6638 §3.2.5).
    """
    items: list[Line | Subcomponent] = []
    stamped = False
    for item in component.items:
        if isinstance(item, Subcomponent):
            if item.name != "VALARM":
                items.append(item)
        elif item.name == "DTSTAMP":
            if not stamped:
                items.append(made("DTSTAMP", dtstamp))
                stamped = True
        elif item.name in _PARTICIPANTS:
            items.append(told_participant(item))
        elif is_shared(item.name):
            items.append(item)
    if not stamped:
        items.insert(0, made("DTSTAMP", dtstamp))
    return component.with_items(items)


def told_participant(line: Line) -> Line:
    """An ATTENDEE or ORGANIZER as others are told of it: without the parameters of its owner's copy alone."""
    upper = line.parameter_text.upper()
    if "SCHEDULE-" not in upper and "X-" not in upper:
        return line
    return line.without_parameters(
        *(name for name in line.params if name in PRIVATE_PARAMETERS or name.startswith("X-"))
    )


def message_object(
    source: SchedulingObject, components: Iterable[SchedulingComponent], method: str
) -> SchedulingObject:
    """A message with these components in the VCALENDAR of an object, with its VTIMEZONEs and without its X- lines."""
    items = [
        item
        for item in source.items
        if not isinstance(item, SchedulingComponent) and (isinstance(item, Subcomponent) or item.name in _SHARED_FRAME)
    ]
    begin, end = source.begin.lstrip("\ufeff"), source.end
    return SchedulingObject([*items, *components], begin, end).with_method(method)


@dataclass(frozen=True, slots=True)
class View:
    """The components of an organizer's object that an attendee is told of.

    A series with ranges (RANGE=THISANDFUTURE) consists of segments: the master describes the instances before the first
    range, each range those before the next one. Who is invited to some segments gets a series with all of these: it
    begins with the first of them (`since`), ends with the last (`until`), and its EXDATEs exclude what is between.
    """

    instances: tuple[str, ...]
    """Those that invite them, in the order of the object; cancelled ones do not. With the master also where it does not
    invite them, but a range does."""
    absent: tuple[str, ...]
    """Instances that do not, where the series does: EXDATEs in what they get (RFC 6638 §3.2.6)."""
    ranged: bool = False
    """Whether they get a series, and the object has ranges."""
    since: str = MASTER
    """The range that is the first segment that invites them; `MASTER` where the master does."""
    until: str = MASTER
    """The range that follows the last segment that invites them; `MASTER` without one."""

    @property
    def has_master(self) -> bool:
        """Whether they are invited to the series, or to the one component of what does not recur."""
        return MASTER in self.instances

    @property
    def series(self) -> View:
        """What decides how the series is."""
        return replace(self, instances=())


NO_VIEW = View((), ())


def views(value: SchedulingObject | None, directory: Directory, organizer: CalendarUser) -> dict[str, View]:
    """The view of each attendee whom the server tells (SCHEDULE-AGENT), by key; the organizer and groups are none."""
    if value is None:
        return {}
    invited: dict[str, list[str]] = {}
    for component in value.components:
        if component.token("STATUS") == "CANCELLED":
            continue
        for key, line in attendees(component, directory).items():
            if key == organizer.key or schedule_agent(line) != SERVER:
                continue
            if not (directory.has_groups and directory.user(line.value).is_group):
                invited.setdefault(key, []).append(component.instance)
    segments = [each.instance for each in value.ranges]
    same: dict[tuple[str, ...], View] = {}
    found: dict[str, View] = {}
    for key, instances in invited.items():
        signature = tuple(instances)
        view = same.get(signature)
        if view is None:
            try:
                view = _segmented(value, signature, segments) if segments else _plain(value, signature)
            except InvalidData:  # it is told as it is written
                view = _plain(value, signature)
            same[signature] = view
        if view.instances:
            found[key] = view
    return found


def _plain(value: SchedulingObject, instances: tuple[str, ...]) -> View:
    """The view of somebody who is invited to some components of an object without ranges."""
    overrides = (each.instance for each in value.overrides)
    return View(instances, tuple(each for each in overrides if each not in instances) if MASTER in instances else ())


def _segmented(value: SchedulingObject, instances: tuple[str, ...], starts: list[str]) -> View:
    """The same of an object with ranges.

    Where too many instances would be excluded between two segments, what follows is not told.

    :param starts: of the ranges, in order.
    :raises InvalidData: for a series that cannot be read, or takes too much work.
    """
    own, segments, ends = frozenset(instances), [MASTER, *starts], [*starts, MASTER]
    invited = [
        number
        for number, each in enumerate(segments)
        if each in own and next(_between(value, each, ends[number]), None) is not None
    ]
    overrides = tuple(each for each in instances if each != MASTER)
    if not invited:
        return View(overrides, ())
    first, last = invited[0], invited[-1]
    since, until = segments[first], ends[last]
    absent: set[str] = set()
    for number in sorted({*range(first + 1, last)}.difference(invited)):
        between = [*islice(_between(value, segments[number], ends[number]), MOST_EXCLUDED + 1)]
        if len(between) > MOST_EXCLUDED:
            until = segments[number]
            overrides = tuple(each for each in overrides if each < until or each not in starts)
            break
        absent.update(between)
    for override in value.overrides:
        if since <= override.instance and (until == MASTER or override.instance < until):
            absent.add(override.instance)
    view = View((MASTER, *overrides), tuple(sorted(absent - own)), True, since, until)
    _series_of(value, view)
    return view


def _between(value: SchedulingObject, start: str, end: str) -> Iterator[str]:
    """The instances of the series from one on, or from the first on, before another, or to the last."""
    first, last = start_of(start) or EARLIEST, start_of(end) or LATEST
    series = value.series
    if series is None or not series.recurs:
        return
    series.work.refill(max(series.work.left, LEAST_WORK))
    for each in series.instances(first, last):
        if start <= each.recurrence_id and (end == MASTER or each.recurrence_id < end):
            yield each.recurrence_id


def view_components(value: SchedulingObject, view: View) -> list[SchedulingComponent]:
    """The components of a view; the master excludes the instances that the attendee is not invited to."""
    found: list[SchedulingComponent] = []
    for component in value.components:
        if component.instance not in view.instances:
            continue
        if component.instance == MASTER:
            component = _series_of(value, view) if view.since or view.until else component
            component = with_exdates(value, component, list(view.absent)) if view.absent else component
        found.append(component)
    return found


def part_view(view: View, instances: tuple[str, ...]) -> View:
    """A view of some of its components alone."""
    return replace(view, instances=instances, absent=view.absent if MASTER in instances else ())


def viewed(value: SchedulingObject, view: View) -> SchedulingObject:
    """The object as an attendee sees it."""
    return value.with_components(view_components(value, view))


def _series_of(value: SchedulingObject, view: View) -> SchedulingComponent:
    """The series of somebody who is invited to some segments."""
    master = value.master
    assert master is not None
    if view.since:
        begun = series_from(value, view.since)
        if begun is None:
            raise InvalidData("The series has no instances from the range on.")
        # The range describes all instances: nothing of the master is for those who are not invited to it.
        lines = [line for line in begun.lines if line.name in _OF_SERIES]
        items = [item for item in value.by_instance[view.since].items if item.name not in _OF_RANGE]
        master = begun.with_items([*lines, *items], MASTER)
        value = value.with_component(master)
    if view.until:
        master = series_before(value, view.until) or master
    if not recurs(master):
        first = master.first("DTSTART") or master.first("DUE")
        assert first is not None
        master = master.with_lines("RDATE", [spelled("RDATE", first.parameter_text, first.value)])
    return master
