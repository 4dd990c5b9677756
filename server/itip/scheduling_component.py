"""A calendar component of a scheduling object: its content lines and the components in it, as they are written.

It is a value: what would change it gives another, which shares what stays. Lines that nobody changes keep their bytes.

An instance is named by the identifier that its occurrence has (`server.calendar.recurrence_ids`): `20260105T100000Z`,
`20260105` in a series of dates, `20260105T100000` in one of floating times; the master, or the one component of what
does not recur, has the empty identifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.calendar.component import Component
from server.itip.lines import Line, made

MASTER = ""
"""The identifier of the master, and of the one component of what does not recur."""

THIS_AND_FUTURE = "THISANDFUTURE"
"""RANGE of an override that describes all later instances, too (RFC 5545 §3.2.13)."""

_MAX_SEQUENCE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Subcomponent:
    """A component within another, as it is written: VALARM in VEVENT, VTIMEZONE in VCALENDAR."""

    name: str
    written: str
    component: Component
    """Its tree; offsets are those of the text that it was read from."""


class SchedulingComponent:
    """A calendar component: its lines and subcomponents in their order."""

    __slots__ = ("_component", "attendees", "begin", "end", "instance", "items", "name")

    def __init__(
        self, name: str, items: Sequence[Line | Subcomponent], instance: str, begin: str = "", end: str = ""
    ) -> None:
        self.name = name
        """Upper-case."""
        self.items = tuple(items)
        self.instance = instance
        """The identifier of the instance that it overrides; `MASTER` without RECURRENCE-ID."""
        self.begin = begin or f"BEGIN:{name}\r\n"
        self.end = end or f"END:{name}\r\n"
        self._component: Component | None = None
        self.attendees: tuple[object, dict[str, Line]] | None = None
        """What `server.itip.participants.attendees` found last, and in which directory."""

    def __repr__(self) -> str:
        return f"<SchedulingComponent {self.name} {self.instance or 'master'}>"

    # -- what it holds ----------------------------------------------------------------------------------------------

    @property
    def written(self) -> str:
        """Its text."""
        return "".join((self.begin, *(item.written for item in self.items), self.end))

    def is_written_as(self, other: SchedulingComponent) -> bool:
        """Whether another component has the same text."""
        return len(self.items) == len(other.items) and all(
            one is two or one.written == two.written for one, two in zip(self.items, other.items, strict=True)
        )

    @property
    def lines(self) -> list[Line]:
        """Its properties."""
        return [item for item in self.items if isinstance(item, Line)]

    @property
    def subcomponents(self) -> list[Subcomponent]:
        """The components in it."""
        return [item for item in self.items if isinstance(item, Subcomponent)]

    @property
    def is_range(self) -> bool:
        """Whether it describes all later instances, too (RANGE=THISANDFUTURE)."""
        line = self.first("RECURRENCE-ID")
        return line is not None and (line.parameter("RANGE") or "").strip().upper() == THIS_AND_FUTURE

    @property
    def component(self) -> Component:
        """The same as a tree, for the functions of `server.calendar`; its properties are the lines."""
        if self._component is None:
            self._component = Component(self.name)
            self._component.properties = list(self.lines)
            self._component.components = [item.component for item in self.subcomponents]
        return self._component

    def first(self, name: str) -> Line | None:
        """The first line with this upper-case name."""
        for item in self.items:
            if item.name == name and isinstance(item, Line):
                return item
        return None

    def all(self, name: str) -> list[Line]:
        """The lines with this upper-case name."""
        return [item for item in self.items if item.name == name and isinstance(item, Line)]

    def value(self, name: str) -> str | None:
        """The raw value of the first line with this upper-case name, without space around."""
        found = self.first(name)
        return None if found is None else found.value.strip()

    def token(self, name: str) -> str:
        """The value of the first line with this upper-case name, in upper case; empty without it (STATUS, TRANSP)."""
        return (self.value(name) or "").upper()

    @property
    def is_override(self) -> bool:
        """Whether it has a RECURRENCE-ID."""
        return self.first("RECURRENCE-ID") is not None

    @property
    def sequence(self) -> int:
        """SEQUENCE; 0 without it or where it is no number."""
        digits = (self.value("SEQUENCE") or "").lstrip("0")
        if not digits or not digits.isascii() or not digits.isdecimal():
            return 0
        return min(int(digits), _MAX_SEQUENCE) if len(digits) <= 10 else _MAX_SEQUENCE

    # -- what makes another of it -----------------------------------------------------------------------------------

    def with_items(
        self, items: Sequence[Line | Subcomponent], instance: str | None = None, *, same_attendees: bool = False
    ) -> SchedulingComponent:
        """The component with other lines and subcomponents, and perhaps of another instance.

        :param same_attendees: the ATTENDEE lines are the same.
        """
        made = SchedulingComponent(
            self.name, items, self.instance if instance is None else instance, self.begin, self.end
        )
        if same_attendees:
            made.attendees = self.attendees
        return made

    def map_lines(self, change: Callable[[Line], Line | None]) -> SchedulingComponent:
        """The component with each line as a function gives it; None removes it. Itself where nothing changes."""
        items: list[Line | Subcomponent] = []
        changed = False
        for item in self.items:
            if isinstance(item, Line):
                new = change(item)
                changed = changed or new is not item
                if new is not None:
                    items.append(new)
            else:
                items.append(item)
        return self.with_items(items) if changed else self

    def with_lines(self, name: str, lines: Sequence[Line]) -> SchedulingComponent:
        """The component with these lines in place of all of an upper-case name.

        They stand where the first of these stood, else behind the last property. Itself where nothing changes.
        """
        present = self.all(name)
        if len(present) == len(lines) and all(one is other for one, other in zip(present, lines, strict=True)):
            return self
        items: list[Line | Subcomponent] = []
        place = -1
        for item in self.items:
            if item.name == name and isinstance(item, Line):
                place = len(items) if place < 0 else place
            else:
                items.append(item)
        if place < 0:
            place = max((index + 1 for index, item in enumerate(items) if isinstance(item, Line)), default=0)
        items[place:place] = lines
        return self.with_items(items, same_attendees=name != "ATTENDEE")

    def with_value(self, name: str, value: str | None) -> SchedulingComponent:
        """The component with one line of an upper-case name and this value as written; None removes all of them.

        The parameters of a line that is there already go: they may not fit the value.
        """
        present = self.all(name)
        if value is None:
            return self.with_lines(name, []) if present else self
        if len(present) == 1 and present[0].value == value and not present[0].parameter_text:
            return self
        return self.with_lines(name, [made(name, value)])

    def without(self, *names: str) -> SchedulingComponent:
        """The component without the lines of some upper-case names."""
        if not any(item.name in names and isinstance(item, Line) for item in self.items):
            return self
        kept = [item for item in self.items if not (item.name in names and isinstance(item, Line))]
        return self.with_items(kept, same_attendees="ATTENDEE" not in names)

    def with_subcomponents(self, name: str, subcomponents: Sequence[Subcomponent]) -> SchedulingComponent:
        """The component with these subcomponents in place of all of an upper-case name, behind everything else."""
        kept = [item for item in self.items if not (item.name == name and isinstance(item, Subcomponent))]
        return self.with_items([*kept, *subcomponents], same_attendees=True)
