"""Replacing the name and the addresses of somebody in the meetings of others, when they are erased."""

from __future__ import annotations

from collections.abc import Sequence

from server.itip.calendar_users import CalendarUser, Directory
from server.itip.lines import Line
from server.itip.scheduling_object import SchedulingObject

FORMER_MEMBER = "former member"
"""CN of somebody who was erased."""
_PEOPLE = ("ORGANIZER", "ATTENDEE")
_ADDRESSES = ("SENT-BY", "DELEGATED-TO", "DELEGATED-FROM", "MEMBER", "X-CALENDARSERVER-ATTENDEE-REF")
"""Parameters that hold calendar user addresses."""


def erased(value: SchedulingObject, user: CalendarUser, address: str, directory: Directory) -> SchedulingObject:
    """The object with another address in place of all those of a calendar user, and without their name and EMAIL.

    The object itself where it does not name them.
    """

    def stays(given: Sequence[str]) -> bool:
        return all(directory.key(each) != user.key for each in given)

    def replaced(line: Line) -> Line:
        if line.name in _PEOPLE and directory.key(line.value) == user.key:
            line = line.with_value(address).with_parameters({"CN": FORMER_MEMBER, "EMAIL": None})
        written = line.parameter_text.upper()
        for name in _ADDRESSES:
            given = line.params.get(name, []) if name in written else []
            if not stays(given):
                found = [address if directory.key(each) == user.key else each for each in given]
                line = line.with_parameter(name, found)
        return line

    return value.map_components(lambda component: component.map_lines(replaced))
