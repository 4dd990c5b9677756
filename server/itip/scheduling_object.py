"""A calendar object that can be edited, line by line: the text of a scheduling object or of an iTIP message.

`read_object(text)` gives a `SchedulingObject`: the lines of its VCALENDAR, its VTIMEZONEs, and its calendar components
(VEVENT, VTODO, VJOURNAL, VFREEBUSY), each with its content lines and the components in it. All of these are values:
what would change one gives another, which shares what stays. Lines that nobody changes keep their bytes, except
that all lines of a changed text end with CRLF.

Instances are named as `server.itip.scheduling_component` says. An object of overrides without their series has no
`master`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from server.calendar.component import Component, parse_calendar
from server.calendar.component_times import Moment, moment
from server.calendar.contentline import Property, with_crlf
from server.calendar.recurrence_ids import SeriesIds, in_series, instance_id
from server.calendar.recurrence_set import RecurrenceSet, recurrence_set
from server.calendar.values import Period, property_time, property_times
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from server.domain.errors import InvalidData
from server.itip.lines import Line, made
from server.itip.scheduling_component import MASTER, SchedulingComponent, Subcomponent

CALENDAR_COMPONENTS = frozenset(("VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"))
"""What iTIP messages are about (RFC 5546 §1.4)."""


class SchedulingObject:
    """A VCALENDAR that can be edited; see the module."""

    def __init__(self, items: Sequence[Line | Subcomponent | SchedulingComponent], begin: str, end: str) -> None:
        self.items = tuple(items)
        """Lines of VCALENDAR, VTIMEZONEs and other components as they are written, and calendar components."""
        self.begin = begin
        self.end = end

    def __repr__(self) -> str:
        return f"<SchedulingObject {self.uid}: {list(self.components)}>"

    # -- what it holds ----------------------------------------------------------------------------------------------

    @cached_property
    def text(self) -> str:
        """The whole text. New lines end with CRLF: once there is one, all lines do (RFC 5545 §3.1)."""
        text = "".join((self.begin, *(item.written for item in self.items), self.end))
        return with_crlf(text) if "\r\n" in text else text

    @cached_property
    def components(self) -> tuple[SchedulingComponent, ...]:
        """The calendar components, in their order."""
        return tuple(item for item in self.items if isinstance(item, SchedulingComponent))

    @cached_property
    def by_instance(self) -> dict[str, SchedulingComponent]:
        """The calendar components by the identifier of their instance; the master by `MASTER`."""
        return {component.instance: component for component in reversed(self.components)}

    @property
    def master(self) -> SchedulingComponent | None:
        """The component without RECURRENCE-ID."""
        return self.by_instance.get(MASTER)

    @property
    def overrides(self) -> list[SchedulingComponent]:
        """The components with RECURRENCE-ID, in their order."""
        return [component for component in self.components if component.instance != MASTER]

    @cached_property
    def ranges(self) -> list[SchedulingComponent]:
        """The overrides that describe all later instances, too (RANGE=THISANDFUTURE), by their first instances."""
        return sorted((each for each in self.overrides if each.is_range), key=lambda each: each.instance)

    @property
    def name(self) -> str:
        """The type of the calendar components: `VEVENT`, `VTODO`, ...; empty without any."""
        return self.components[0].name if self.components else ""

    @property
    def uid(self) -> str:
        """The UID of the first calendar component that has one, unescaped."""
        for component in self.components:
            line = component.first("UID")
            if line is not None:
                return line.text.strip()
        return ""

    @cached_property
    def sequence(self) -> int:
        """The greatest SEQUENCE of the calendar components."""
        return max((component.sequence for component in self.components), default=0)

    @property
    def method(self) -> str:
        """METHOD, in upper case; empty without it."""
        for item in self.items:
            if item.name == "METHOD" and isinstance(item, Line):
                return item.value.strip().upper()
        return ""

    @property
    def timezones(self) -> list[Subcomponent]:
        """The VTIMEZONEs."""
        return [item for item in self.items if item.name == "VTIMEZONE" and isinstance(item, Subcomponent)]

    @cached_property
    def calendar(self) -> Component:
        """The same as a tree, for the functions of `server.calendar`; its properties are the lines."""
        tree = Component("VCALENDAR")
        for item in self.items:
            if isinstance(item, Line):
                tree.properties.append(item)
            else:
                tree.components.append(item.component)
        return tree

    @cached_property
    def zones(self) -> CalendarZones:
        """The time zones of its times."""
        return CalendarZones(self.calendar)

    @cached_property
    def ids(self) -> SeriesIds:
        """What names instances in this object."""
        return SeriesIds(self.calendar)

    def instance_of(self, recurrence_id: Property | None) -> str:
        """The identifier of the instance that a RECURRENCE-ID means in this object."""
        return MASTER if recurrence_id is None else self.ids.id_of(self.name, recurrence_id)

    @cached_property
    def anchor(self) -> Moment | None:
        """DTSTART of the master, or DUE of a task without it; None without a master, or where it cannot be read."""
        return None if self.master is None else self.moment(self.master, "DTSTART") or self.moment(self.master, "DUE")

    def moment(self, component: SchedulingComponent, name: str) -> Moment | None:
        """The time of the first line with this upper-case name; None without one, or where it cannot be read."""
        line = component.first(name)
        return None if line is None else self.moment_of(line)

    def moment_of(self, line: Property) -> Moment | None:
        """The time that a line means in this object; None where it cannot be read."""
        try:
            return moment(property_time(line), self.zones)
        except InvalidData:
            return None

    @cached_property
    def exdates(self) -> dict[str, Line]:
        """The instances that the EXDATEs of the master exclude, by identifier, with the line of each."""
        found: dict[str, Line] = {}
        for line in [] if self.master is None else self.master.all("EXDATE"):
            for instance in self.instances_of(line):
                found.setdefault(instance, line)
        return found

    def instances_of(self, line: Property) -> list[str]:
        """The identifiers of the instances that an EXDATE or RDATE of the master names.

        Each is named as the RECURRENCE-ID of the same spelling. What cannot be read is left out.
        """
        try:
            times = property_times(line)
        except InvalidData:
            return []
        found: list[str] = []
        for time in times:
            try:
                original = in_series(time.start if isinstance(time, Period) else time, self.anchor, self.zones)
            except InvalidData:
                continue
            found.append(instance_id(original.utc, original))
        return found

    @cached_property
    def series(self) -> RecurrenceSet | None:
        """The instances of the master alone, without regard to overrides; None without a master.

        :raises InvalidData: for rules and times that cannot be read.
        """
        master = self.master
        return None if master is None else recurrence_set([(0, master.component)], self.zones, Work())

    # -- what makes another of it -----------------------------------------------------------------------------------

    def with_items(self, items: Sequence[Line | Subcomponent | SchedulingComponent]) -> SchedulingObject:
        """The object with other lines and components."""
        return SchedulingObject(items, self.begin, self.end)

    def with_components(self, components: Iterable[SchedulingComponent]) -> SchedulingObject:
        """The object with exactly these calendar components.

        One whose instance the object has stands in the place of that; others follow behind the last. Itself where
        nothing changes.
        """
        wanted = {component.instance: component for component in components}
        if len(wanted) == len(self.components) and all(
            wanted.get(component.instance) is component for component in self.components
        ):
            return self
        items: list[Line | Subcomponent | SchedulingComponent] = []
        place = -1
        for item in self.items:
            if isinstance(item, SchedulingComponent):
                new = wanted.pop(item.instance, None)
                if new is not None:
                    items.append(new)
                place = len(items)
            else:
                items.append(item)
        if place < 0:
            place = len(items)
        items[place:place] = wanted.values()
        return self.with_items(items)

    def with_component(self, component: SchedulingComponent) -> SchedulingObject:
        """The object with a component in place of the one of the same instance, or added."""
        return self.with_components([*self.components, component])

    def map_components(self, change: Callable[[SchedulingComponent], SchedulingComponent]) -> SchedulingObject:
        """The object with each calendar component as a function gives it."""
        return self.with_components(map(change, self.components))

    def without_instances(self, *instances: str) -> SchedulingObject:
        """The object without the components of some instances."""
        return self.with_components(item for item in self.components if item.instance not in instances)

    def with_method(self, method: str | None) -> SchedulingObject:
        """The object with a METHOD behind its other lines; None removes it."""
        items = [item for item in self.items if not (item.name == "METHOD" and isinstance(item, Line))]
        if method is not None:
            place = next((index for index, item in enumerate(items) if not isinstance(item, Line)), len(items))
            items.insert(place, made("METHOD", method))
        return self.with_items(items)


def read_object(text: str, tree: Component | None = None) -> SchedulingObject:
    """The editable form of a text; `read_object(text).text == text`.

    :param tree: the VCALENDAR of the text, if it was parsed already.
    :raises InvalidCalendarData: for what is no VCALENDAR.
    """
    tree = parse_calendar(text) if tree is None else tree
    position = begin_end = _after_begin(text, tree)
    # What stands in front of BEGIN (a byte order mark) and behind END belongs to these lines.
    begin = text[:begin_end]
    pieces: list[Line | Subcomponent | Component] = []
    starts: list[tuple[str, Component]] = []
    for item in _in_order(tree):
        written = text[position : item.end]
        position = item.end
        if isinstance(item, Property):
            pieces.append(_line(item, written))
        elif item.name in CALENDAR_COMPONENTS:
            pieces.append(item)
            starts.append((written, item))
        else:
            pieces.append(Subcomponent(item.name, written, item))
    ids = None
    if any(component.first("RECURRENCE-ID") is not None for _, component in starts):
        ids = SeriesIds(tree)
    found = iter(starts)
    items: list[Line | Subcomponent | SchedulingComponent] = []
    for piece in pieces:
        if isinstance(piece, Component):
            written, component = next(found)
            items.append(_component(text, written, component, ids))
        else:
            items.append(piece)
    value = SchedulingObject(items, begin, text[position:])
    value.text = text
    return value


def _component(text: str, written: str, component: Component, ids: SeriesIds | None) -> SchedulingComponent:
    """A calendar component; `written` begins with what stands between it and the item before."""
    position = _after_begin(text, component)
    begin = text[component.end - len(written) : position]
    items: list[Line | Subcomponent] = []
    for item in _in_order(component):
        piece = text[position : item.end]
        position = item.end
        items.append(_line(item, piece) if isinstance(item, Property) else Subcomponent(item.name, piece, item))
    instance = MASTER if ids is None else ids.id_of(component.name, component.first("RECURRENCE-ID"))
    return SchedulingComponent(component.name, items, instance, begin, text[position : component.end])


def _line(item: Property, written: str) -> Line:
    return Line(item.name, item.parameter_text, item.value, written, item.line)


def _in_order(component: Component) -> list[Property | Component]:
    """What a component holds, in the order of the text."""
    if not component.components:
        return [*component.properties]
    return sorted([*component.properties, *component.components], key=lambda item: item.start)


def _after_begin(text: str, component: Component) -> int:
    """Where the BEGIN line of a component ends, which may be folded."""
    end = text.find("\n", component.start) + 1
    while text[end : end + 1] in (" ", "\t"):
        end = text.find("\n", end) + 1
    return end or len(text)
