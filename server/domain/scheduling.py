"""The role of a calendar object in scheduling (RFC 6638 §3.1)."""

from __future__ import annotations

from enum import IntEnum

from server.domain.values import value


class SchedulingRole(IntEnum):
    """The role of a calendar object; the numbers are those of the column `object.scheduling`."""

    NONE = 0
    """A plain calendar object."""
    ORGANIZER = 1
    ATTENDEE = 2
    INBOX = 3
    """A scheduling message in an inbox (RFC 6638 §2.2), whose UID others in the inbox may have, too."""


SCHEDULED = frozenset(("VEVENT", "VTODO"))
"""The components that objects are scheduled by (RFC 6638 §3.1)."""
SCHEDULING_OBJECTS = frozenset((SchedulingRole.ORGANIZER, SchedulingRole.ATTENDEE))
"""The roles of scheduling objects."""


@value
class Scheduling:
    """The values for scheduling that follow from the text of an object and the addresses of its calendar's owner."""

    role: SchedulingRole
    organizer: str | None
    """The ORGANIZER of the first component that has one, as addresses are compared
    (`server.calendar.attendance.address_key`)."""
    sequence: int
    """The greatest SEQUENCE of its components; 0 without ORGANIZER."""
    one_organizer: bool = False
    """Whether all its components have that ORGANIZER."""


NO_SCHEDULING = Scheduling(SchedulingRole.NONE, None, 0)
