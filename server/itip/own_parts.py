"""What an attendee's copy has of its own and an update keeps: alarms, TRANSP, private properties, the own answer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from server.calendar.visibility import ACCESS
from server.itip.audience import is_shared
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.delegation import delegates, with_delegates
from server.itip.lines import Line
from server.itip.participants import (
    DELEGATED,
    NEEDS_ACTION,
    PARTSTAT_DTSTAMP,
    attendee_line,
    map_attendee,
    partstat,
)
from server.itip.reception import Version
from server.itip.scheduling_component import SchedulingComponent, Subcomponent
from server.itip.scheduling_object import SchedulingObject

_OF_ONE_INSTANCE = frozenset(("COMPLETED", "PERCENT-COMPLETE"))
"""What somebody has done of one instance says nothing of another."""
_NEVER_KEPT = frozenset(("REQUEST-STATUS",))


@lru_cache(maxsize=512)
def is_own(name: str) -> bool:
    """Whether a property in an attendee's copy is the attendee's; `name` is upper-case."""
    return not is_shared(name) and name not in _NEVER_KEPT


def with_access_of(value: SchedulingObject, copy: SchedulingObject | None) -> SchedulingObject:
    """A copy that a message changes, with the recipient's own X-CALENDARSERVER-ACCESS: that of a message means nothing
    (caldav-privateevents §4.1.2)."""
    own = [] if copy is None else _access(copy)
    given = _access(value)
    if [line.value for line in own] == [line.value for line in given]:
        return value
    lines = [item for item in value.items if isinstance(item, Line) and item not in given]
    rest = [item for item in value.items if not isinstance(item, Line)]
    return SchedulingObject([*lines, *own, *rest], value.begin, value.end)


def _access(value: SchedulingObject) -> list[Line]:
    return [item for item in value.items if isinstance(item, Line) and item.name == ACCESS]


def with_own_parts(
    component: SchedulingComponent,
    before: SchedulingComponent | None,
    user: CalendarUser,
    directory: Directory,
    *,
    answered_anew: bool,
) -> SchedulingComponent:
    """A component of a REQUEST as it lies in the recipient's calendar.

    :param before: what the recipient's object said of this instance, which may be its series; None without one.
    :param answered_anew: whether the recipient's answer of before no longer counts.
    """
    own = attendee_line(component, user, directory)
    known = None if before is None else attendee_line(before, user, directory)
    if own is not None and known is not None and not answered_anew and partstat(known) != NEEDS_ACTION:
        component = map_attendee(component, user, directory, lambda line: with_answer_of(line, known))
        unknown = delegates(known, directory) - delegates(own, directory)
        if before is not None and unknown:
            # The organizer did not know them yet.
            component = with_delegates(component, unknown, before, own, directory)
    elif known is not None and not answered_anew:
        component = map_attendee(component, user, directory, lambda line: _with_stamp(line, known))
    items: list[Line | Subcomponent] = [item for item in component.items if item.name not in ("VALARM", *_NEVER_KEPT)]
    if before is not None:
        items = _with_own_items(items, before, component.instance == before.instance)
    now_own = attendee_line(component, user, directory)
    component = component.with_items(items, same_attendees=True)
    return _with_transparency(component, before, now_own, known)


def with_answer_of(line: Line, known: Line) -> Line:
    """The recipient's ATTENDEE with the answer that another line of theirs has."""
    answer = partstat(known)
    return line.with_parameters(
        {
            "PARTSTAT": answer,
            "RSVP": None if answer != NEEDS_ACTION else known.params.get("RSVP"),
            "DELEGATED-TO": known.params.get("DELEGATED-TO") if answer == DELEGATED else None,
            PARTSTAT_DTSTAMP: known.params.get(PARTSTAT_DTSTAMP),
        }
    )


def _with_stamp(line: Line, known: Line) -> Line:
    if partstat(line) != partstat(known):
        return line
    return line.with_parameter(PARTSTAT_DTSTAMP, known.params.get(PARTSTAT_DTSTAMP))


def _with_own_items(
    items: list[Line | Subcomponent], before: SchedulingComponent, same_instance: bool
) -> list[Line | Subcomponent]:
    present = {item.name for item in items}
    lines = [
        line
        for line in before.lines
        if line.name not in present and is_own(line.name) and (same_instance or line.name not in _OF_ONE_INSTANCE)
    ]
    place = max((index + 1 for index, item in enumerate(items) if isinstance(item, Line)), default=0)
    alarms = [each for each in before.subcomponents if each.name == "VALARM"]
    return [*items[:place], *lines, *items[place:], *alarms]


def _with_transparency(
    component: SchedulingComponent, before: SchedulingComponent | None, own: Line | None, known: Line | None
) -> SchedulingComponent:
    """TRANSP: transparent until answered, then as the attendee had it."""
    if component.name != "VEVENT":
        return component.without("TRANSP")
    if own is not None and partstat(own) == NEEDS_ACTION:
        return component.with_value("TRANSP", "TRANSPARENT")
    if before is not None and known is not None and partstat(known) != NEEDS_ACTION:
        return component.with_lines("TRANSP", before.all("TRANSP"))
    return component


def with_organizer_status(
    components: Iterable[SchedulingComponent], copy: SchedulingObject | None
) -> list[SchedulingComponent]:
    """Components whose ORGANIZER has the SCHEDULE-STATUS of the copy: that of the last answer (RFC 6638 §7.3)."""
    lines = () if copy is None else (each.first("ORGANIZER") for each in copy.components)
    statuses = (line.params.get("SCHEDULE-STATUS") for line in lines if line is not None)
    status = next(filter(None, statuses), None)
    if status is None:
        return [*components]

    def stated(line: Line) -> Line:
        return line.with_parameter("SCHEDULE-STATUS", status) if line.name == "ORGANIZER" else line

    return [each.map_lines(stated) for each in components]


def has_own_parts(component: SchedulingComponent, series: SchedulingComponent) -> bool:
    """Whether an override has alarms, TRANSP or private properties that its series does not have."""
    return _own_parts(component) != _own_parts(series)


def _own_parts(component: SchedulingComponent) -> tuple[list[tuple[str, str, str]], list[str]]:
    names = {"TRANSP"} if component.name == "VEVENT" else set()
    return (
        sorted(line.content for line in component.lines if is_own(line.name) or line.name in names),
        sorted(each.written.strip() for each in component.subcomponents if each.name == "VALARM"),
    )


def as_cancelled(component: SchedulingComponent, version: Version) -> SchedulingComponent:
    """A component with STATUS:CANCELLED and the SEQUENCE and DTSTAMP of the CANCEL."""
    component = component.with_value("STATUS", "CANCELLED").with_value("SEQUENCE", str(version.sequence))
    return component.with_value("DTSTAMP", version.dtstamp) if version.dtstamp else component


def with_answer_for(
    override: SchedulingComponent, series: SchedulingComponent | None, user: CalendarUser, directory: Directory
) -> SchedulingComponent:
    """An override with the recipient's answer for a series."""
    known = attendee_line(override, user, directory)
    given = None if series is None else attendee_line(series, user, directory)
    if known is None or given is None or series is None:
        return override
    if partstat(known) == NEEDS_ACTION:
        # The server wrote it, since there was no answer.
        override = override.with_lines("TRANSP", series.all("TRANSP"))
    return override.map_lines(lambda line: with_answer_of(line, given) if line is known else line)
