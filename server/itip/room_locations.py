"""The names of invited rooms in LOCATION.

The organizer's object keeps what the server wrote there beside it (X-KOYOMI-ROOM-LOCATION). An app may drop that line:
the stored object still has it when the app's text arrives. What differs from it was written by somebody else, and
stays.
"""

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
WRITTEN = "X-KOYOMI-ROOM-LOCATION"
"""The LOCATION that the server wrote."""


def invited_rooms(component: SchedulingComponent, directory: Directory) -> list[CalendarUser]:
    """The rooms and equipment of here that a component invites and that have not declined, in its order."""
    found = []
    for key, line in attendees(component, directory).items():
        user = directory.user(line.value)
        if key == user.key and user.cutype in ("ROOM", "RESOURCE") and partstat(line) != DECLINED:
            found.append(user)
    return found


def with_rooms_in_location(
    old: SchedulingObject | None, new: SchedulingObject, directory: Directory
) -> SchedulingObject:
    """An organizer's object whose LOCATION names the rooms that are invited, where nobody wrote another.

    :param old: what is stored; None: the object is new.
    """

    def located(component: SchedulingComponent) -> SchedulingComponent:
        names = [user.cn for user in invited_rooms(component, directory) if user.cutype == "ROOM" and user.cn]
        written = {_text(each, WRITTEN) for each in (_stored(old, component), component) if each is not None} - {""}
        there = _text(component, "LOCATION")
        if there and there not in written:
            return component.without(WRITTEN)
        if not names:
            return component.without("LOCATION", WRITTEN) if there else component.without(WRITTEN)
        text = escape_text(SEPARATOR.join(names))
        if there != SEPARATOR.join(names):
            component = component.with_value("LOCATION", text)
        return component.with_value(WRITTEN, text)

    return new.map_components(located)


def _stored(old: SchedulingObject | None, component: SchedulingComponent) -> SchedulingComponent | None:
    """What is stored of a component; of a new override, its series."""
    return None if old is None else old.by_instance.get(component.instance) or old.master


def _text(component: SchedulingComponent, name: str) -> str:
    line = component.first(name)
    return "" if line is None else unescape_text(line.value).strip()


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
