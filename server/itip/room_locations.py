"""The names of invited rooms in LOCATION."""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.calendar.contentline import escape_text, unescape_text
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.lines import made
from server.itip.participants import DECLINED, attendees, partstat
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

SEPARATOR = "; "
"""Between the names of several rooms."""


def invited_rooms(component: SchedulingComponent, directory: Directory) -> list[CalendarUser]:
    """The rooms and equipment of here that a component invites and that have not declined, in its order."""
    found = []
    for key, line in attendees(component, directory).items():
        user = directory.user(line.value)
        if key == user.key and user.cutype in ("ROOM", "RESOURCE") and partstat(line) != DECLINED:
            found.append(user)
    return found


def naming_rooms_without_address(value: SchedulingObject, directory: Directory) -> SchedulingObject:
    """A message to people elsewhere in which LOCATION names the rooms and equipment that have no mail address.

    Nobody elsewhere could be told of them by ATTENDEE. A name that LOCATION has already is not added.
    """

    def with_names(component: SchedulingComponent) -> SchedulingComponent:
        names = [user.cn for user in invited_rooms(component, directory) if user.cn and not user.has_mail_address]
        return with_names_in_location(component, names) if names else component

    return value.map_components(with_names)


def with_names_in_location(component: SchedulingComponent, names: Sequence[str]) -> SchedulingComponent:
    """A component whose LOCATION has the names, too."""
    line = component.first("LOCATION")
    there = "" if line is None else unescape_text(line.value).strip()
    missing = [name for name in names if not _has(there, name)]
    if not missing:
        return component
    text = escape_text(SEPARATOR.join([there, *missing] if there else missing))
    return component.with_lines("LOCATION", [made("LOCATION", text) if line is None else line.with_value(text)])


def _has(text: str, name: str) -> bool:
    """Whether a text has a name as whole words: Room 1 is not in Room 10."""
    return re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", text.casefold()) is not None
