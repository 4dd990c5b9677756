"""The component tree of an iCalendar text (RFC 5545 §3.4, §3.6): light, with the place of everything in the text.

Nothing is normalised or dropped; who wants to change a text edits its lines at the spans given here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from server.calendar.contentline import BOM, Property, content_lines
from server.domain.errors import InvalidCalendarData

MAX_DEPTH = 12
"""Levels of components: standards reach 4 (VLOCATION in VALARM in VEVENT in VCALENDAR)."""

_FIRST_LINE = re.compile(rf"{BOM}?BEGIN:VCALENDAR[ \t]*\r{{0,2}}(?=\n)", re.IGNORECASE)
_BOUNDARY = re.compile(
    r"\n(?:(BEGIN|END):([^\r\n]*+)(?=\r{0,2}(?:\n(?![ \t])|\Z))"
    r"|(?:B|BE|BEG|BEGI|BEGIN|E|EN|END)(?:[:;]|\r{0,2}\n[ \t]))",
    re.IGNORECASE,
)
"""A line that begins or ends a component, or one that may do so and is written in an unusual way."""

MAX_COMPONENTS = 100_000
MAX_PROPERTIES = 1_000_000


class Component:
    """A component with its properties and components, each in the order of the text.

    `name` is upper-case. `line` (from 1) is that of BEGIN; `start` and `end` are the offsets of the first character of
    BEGIN and of what follows the line end of END.
    """

    __slots__ = ("components", "end", "line", "name", "properties", "start")

    def __init__(self, name: str, line: int = 0, start: int = 0, end: int = 0) -> None:
        self.name = name
        self.properties: list[Property] = []
        self.components: list[Component] = []
        self.line = line
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        return f"<Component {self.name} (line {self.line})>"

    @property
    def span(self) -> tuple[int, int]:
        """Start and end offset in the text, BEGIN and END included."""
        return self.start, self.end

    def first(self, name: str) -> Property | None:
        """The first property with this upper-case name."""
        for candidate in self.properties:
            if candidate.name == name:
                return candidate
        return None

    def all(self, name: str) -> list[Property]:
        """The properties with this upper-case name."""
        return [candidate for candidate in self.properties if candidate.name == name]

    def text(self, name: str) -> str | None:
        """The unescaped TEXT value of the first property with this upper-case name."""
        found = self.first(name)
        return None if found is None else found.text

    def children(self, name: str) -> list[Component]:
        """The direct components with this upper-case name."""
        return [candidate for candidate in self.components if candidate.name == name]

    def walk(self) -> Iterator[Component]:
        """This component and all below it, in the order of the text."""
        waiting = [self]
        while waiting:
            component = waiting.pop()
            yield component
            waiting.extend(reversed(component.components))


def parse_components(
    text: str, max_components: int = MAX_COMPONENTS, max_properties: int = MAX_PROPERTIES
) -> list[Component]:
    """The outermost components of a text.

    :raises InvalidCalendarData: with the line, for lines that cannot be read, lines outside a component, BEGIN and END
        that do not match, more levels than `MAX_DEPTH`, or more components or properties than given.
    """
    outermost: list[Component] = []
    open_components: list[Component] = []
    properties: list[Property] | None = None
    components = lines = 0
    for line in content_lines(text):
        if line.name == "BEGIN":
            components += 1
            if components > max_components:
                raise InvalidCalendarData(f"There are more than {max_components} components.", line.line)
            if len(open_components) >= MAX_DEPTH:
                raise InvalidCalendarData(f"Components are nested more than {MAX_DEPTH} levels deep.", line.line)
            component = Component(line.value.strip().upper(), line.line, line.start, line.end)
            (open_components[-1].components if open_components else outermost).append(component)
            open_components.append(component)
            properties = component.properties
        elif line.name == "END":
            name = line.value.strip().upper()
            if not open_components or open_components[-1].name != name:
                expected = f"END:{open_components[-1].name[:40]} is due" if open_components else "nothing is open"
                raise InvalidCalendarData(f"Line {line.line} is END:{name[:40]} where {expected}.", line.line)
            open_components.pop().end = line.end
            properties = open_components[-1].properties if open_components else None
        elif properties is None:
            raise InvalidCalendarData(f"Line {line.line} stands outside of a component.", line.line)
        else:
            lines += 1
            if lines > max_properties:
                raise InvalidCalendarData(f"There are more than {max_properties} properties.", line.line)
            properties.append(line)
    if open_components:
        missing = open_components[-1]
        raise InvalidCalendarData(
            f"The {missing.name[:40]} that begins in line {missing.line} has no end.", missing.line
        )
    return outermost


def parse_calendar(text: str, max_components: int = MAX_COMPONENTS, max_properties: int = MAX_PROPERTIES) -> Component:
    """The VCALENDAR of a text that holds exactly one (RFC 5545 §3.4).

    :raises InvalidCalendarData: as `parse_components`, and for anything but one VCALENDAR.
    """
    outermost = parse_components(text, max_components, max_properties)
    if not outermost:
        raise InvalidCalendarData("This holds no VCALENDAR.", 1)
    if outermost[0].name != "VCALENDAR":
        raise InvalidCalendarData(f"This is a {outermost[0].name[:40]}, not a VCALENDAR.", outermost[0].line)
    if len(outermost) > 1:
        raise InvalidCalendarData("There is more than one VCALENDAR.", outermost[1].line)
    return outermost[0]


def outline(text: str) -> list[Component]:
    """The components directly below VCALENDAR of a stored text, with name and place alone (`line` is 0).

    For texts that `parse_calendar` takes: looks at BEGIN and END only, several times as fast.

    :raises InvalidCalendarData: for some texts that cannot be read.
    """
    found: list[Component] = []
    names = ["VCALENDAR"]
    first = _FIRST_LINE.match(text)
    if first is None or "QUOTED-PRINTABLE" in text:
        return parse_calendar(text).components
    for match in _BOUNDARY.finditer(text, first.end()):
        kind, name = match.groups()
        if kind is None:
            return parse_calendar(text).components
        name = name.strip().upper()
        if len(kind) == 5:
            if len(names) == 1:
                found.append(Component(name, 0, match.start() + 1))
            names.append(name)
        else:
            if not names or names.pop() != name:
                return parse_calendar(text).components
            if len(names) == 1:
                line_end = text.find("\n", match.end())
                found[-1].end = len(text) if line_end < 0 else line_end + 1
    return parse_calendar(text).components if names else found
