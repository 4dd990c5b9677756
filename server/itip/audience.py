"""Which lines of a scheduling object others see, and which components each attendee gets (RFC 6638 §3.2.6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.calendar.personal import is_personal
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.instances import with_exdates
from server.itip.lines import Line, made
from server.itip.participants import PRIVATE_PARAMETERS, SERVER, attendees, schedule_agent
from server.itip.scheduling_component import MASTER, SchedulingComponent, Subcomponent
from server.itip.scheduling_object import SchedulingObject

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

_OWN = frozenset(("COMPLETED", "PERCENT-COMPLETE", "REQUEST-STATUS", "ACKNOWLEDGED"))
"""Standard properties that are each person's own. TRANSP is, too, but iTIP has it in messages (RFC 5546 §3.2.2)."""

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
    """The components of an organizer's object that an attendee is told of."""

    instances: tuple[str, ...]
    """Those that invite them, in the order of the object; cancelled ones do not."""
    absent: tuple[str, ...]
    """Overrides that do not, where the master does: EXDATEs in what they get (RFC 6638 §3.2.6)."""

    @property
    def has_master(self) -> bool:
        """Whether they are invited to the series, or to the one component of what does not recur."""
        return MASTER in self.instances


NO_VIEW = View((), ())


def views(value: SchedulingObject | None, directory: Directory, organizer: CalendarUser) -> dict[str, View]:
    """The view of each attendee whom the server tells (SCHEDULE-AGENT), by key; the organizer and groups are none."""
    if value is None:
        return {}
    invited: dict[str, list[str]] = {}
    live: list[str] = []
    for component in value.components:
        if component.token("STATUS") == "CANCELLED":
            continue
        live.append(component.instance)
        for key, line in attendees(component, directory).items():
            if key == organizer.key or schedule_agent(line) != SERVER:
                continue
            if not (directory.has_groups and directory.user(line.value).is_group):
                invited.setdefault(key, []).append(component.instance)
    overrides = [component.instance for component in value.overrides]
    same: dict[tuple[str, ...], View] = {}
    found: dict[str, View] = {}
    for key, instances in invited.items():
        signature = tuple(instances)
        view = same.get(signature)
        if view is None:
            own = set(instances)
            absent = tuple(each for each in overrides if each not in own) if MASTER in own else ()
            view = same[signature] = View(signature, absent)
        found[key] = view
    return found


def view_components(value: SchedulingObject, view: View) -> list[SchedulingComponent]:
    """The components of a view; the master excludes the instances that the attendee is not invited to."""
    found: list[SchedulingComponent] = []
    for component in value.components:
        if component.instance not in view.instances:
            continue
        if component.instance == MASTER and view.absent:
            component = with_exdates(value, component, list(view.absent))
        found.append(component)
    return found
