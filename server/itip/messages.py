"""iTIP messages (RFC 5546 §1.4, §3) and the plan of what a change sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.participants import with_schedule_statuses
from server.itip.scheduling_object import SchedulingObject

IGNORED_PARAMETER = "2.3"
"""SCHEDULE-STATUS: success; a parameter was ignored (RFC 5546 §3.6.4)."""


class Method(StrEnum):
    """METHOD of a message."""

    PUBLISH = "PUBLISH"
    REQUEST = "REQUEST"
    REPLY = "REPLY"
    ADD = "ADD"
    CANCEL = "CANCEL"
    REFRESH = "REFRESH"
    COUNTER = "COUNTER"
    DECLINECOUNTER = "DECLINECOUNTER"


FROM_ATTENDEES = frozenset({Method.REPLY, Method.REFRESH, Method.COUNTER})
"""Methods of messages to an organizer (RFC 6638 Appendix A); the others come from one."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one calendar user."""

    method: Method
    sender: CalendarUser
    recipient: CalendarUser
    object: SchedulingObject
    """VCALENDAR with METHOD, DTSTAMP, and the components that the message is about. Recipients who are told the same
    share one value, also that of its text."""
    quiet: bool = False
    """Whether it only refreshes copies, as after another attendee's answer, and leaves no item in the inbox."""

    @property
    def uid(self) -> str:
        """The UID that the message is about."""
        return self.object.uid

    @property
    def sequence(self) -> int:
        """The greatest SEQUENCE of its components."""
        return self.object.sequence

    @property
    def text(self) -> str:
        """The iCalendar text."""
        return self.object.text


@dataclass(frozen=True, slots=True)
class Reset:
    """Attendees of a component were asked anew: their answers of a lower SEQUENCE no longer count for it."""

    instance: str
    """The identifier of the instance; empty for the master."""
    sequence: int
    attendees: frozenset[str]
    """The keys of those who were asked. Others may be invited later, and those may leave."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from a change of a scheduling object by its owner."""

    role: SchedulingRole
    """What the object is now, or was where it is removed."""
    object: SchedulingObject | None
    """What is stored in place of what the app sent, without the statuses of this change; None where it is removed."""
    messages: tuple[Message, ...] = ()
    """In the order of recipients in the object. A recipient may get a CANCEL and then a REQUEST."""
    resets: tuple[Reset, ...] = ()
    unreachable: Mapping[str, str] = field(default_factory=dict)
    """SCHEDULE-STATUS by the key of those to whom no way leads, and for whom there is no message: `3.7`."""
    not_forced: frozenset[str] = frozenset()
    """The keys of those whose SCHEDULE-FORCE-SEND was ignored (RFC 6638 §7.2): `2.3` is a status of theirs, too."""

    @property
    def recipients(self) -> dict[str, CalendarUser]:
        """Those to whom messages go, by key, in the order of the messages."""
        return {message.recipient.key: message.recipient for message in self.messages}

    def messages_to(self, user: CalendarUser) -> tuple[Message, ...]:
        """The messages to one calendar user, in the order in which they take effect."""
        return tuple(message for message in self.messages if message.recipient.key == user.key)

    def with_statuses(self, statuses: Mapping[str, str], directory: Directory) -> SchedulingObject | None:
        """The object with the SCHEDULE-STATUS of each delivery (RFC 6638 §3.2.9), and of those that are unreachable.

        `server.itip.participants.with_schedule_statuses` sets one more when a later delivery ends. The order in which
        statuses are set does not matter.

        :param statuses: codes by the key of the recipient.
        """
        if self.object is None:
            return None
        found = {**self.unreachable, **statuses}
        found |= {key: ",".join(filter(None, (found.get(key), IGNORED_PARAMETER))) for key in self.not_forced}
        return with_schedule_statuses(self.object, found, directory)


@dataclass(frozen=True, slots=True)
class Answered:
    """The version of an attendee's last answer about an instance, as the server keeps it in rows."""

    attendee: str
    """Key of the calendar user."""
    instance: str
    """The identifier of the instance; empty for the master."""
    sequence: int
    dtstamp: str
    """DTSTAMP of the answer as a UTC value (`20260105T100000Z`); empty without one."""
