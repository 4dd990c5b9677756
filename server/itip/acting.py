"""Who acts for the owner of a calendar: SENT-BY (RFC 5545 §3.2.18, RFC 5546 §2.1.4).

The server says who acts, not the app. SENT-BY stands on the ORGANIZER of what an organizer's delegate sends, and of the
stored object until the organizer sends something. It stands on the ATTENDEE of an answer that an attendee's delegate
sends.
"""

from __future__ import annotations

from dataclasses import replace

from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import Change
from server.itip.lines import Line, made
from server.itip.messages import FROM_ATTENDEES, Message, Plan
from server.itip.scheduling_object import SchedulingObject

_SENT_BY = "SENT-BY"


def organized_by_owner(
    value: SchedulingObject, owner: CalendarUser, acting: CalendarUser, directory: Directory
) -> SchedulingObject:
    """The object with the owner of its calendar as the ORGANIZER, where an app has written who acts for the owner."""

    def owned(line: Line) -> Line:
        if line.name != "ORGANIZER" or directory.key(line.value) != acting.key:
            return line
        return made("ORGANIZER", owner.address, {"CN": [owner.cn]} if owner.cn else {})

    return value.map_components(lambda component: component.map_lines(owned))


def with_sent_by(plan: Plan, change: Change) -> Plan:
    """The plan with SENT-BY of who acts in its messages, and in an organizer's object if something is sent.

    A new object has it in any case. Where nothing is sent the stored SENT-BY stays.
    """
    sent_by = _address(change.acting)
    stored = plan.object
    if plan.role is SchedulingRole.ORGANIZER and stored is not None:
        sends = change.old is None or any(not message.quiet for message in plan.messages)
        sent_by = sent_by if sends else _present(change.old)
        stored = _sent_by(stored, "ORGANIZER", change.owner.key, sent_by, change.directory)
    known: dict[int, SchedulingObject] = {}
    messages = tuple(_sent_for(message, sent_by, change.directory, known) for message in plan.messages)
    return replace(plan, object=stored, messages=messages)


def organized_by(
    value: SchedulingObject, owner: CalendarUser, acting: CalendarUser | None, directory: Directory
) -> SchedulingObject:
    """An organizer's object that is sent, with SENT-BY of who acts for the owner; None: the owner, without it."""
    return _sent_by(value, "ORGANIZER", owner.key, _address(acting), directory)


def sent_for(message: Message, acting: CalendarUser | None, directory: Directory) -> Message:
    """The message with SENT-BY of who acts for its sender; None: the sender."""
    return _sent_for(message, _address(acting), directory, {})


def _sent_for(
    message: Message, sent_by: str | None, directory: Directory, known: dict[int, SchedulingObject]
) -> Message:
    """As `sent_for`. `known`: the results by the identity of the objects, which messages share."""
    found = known.get(id(message.object))
    if found is None:
        name = "ATTENDEE" if message.method in FROM_ATTENDEES else "ORGANIZER"
        found = _sent_by(message.object, name, message.sender.key, sent_by, directory)
        known[id(message.object)] = found
    return message if found is message.object else replace(message, object=found)


def _sent_by(
    value: SchedulingObject, name: str, key: str, sent_by: str | None, directory: Directory
) -> SchedulingObject:
    """The object with SENT-BY on the lines of a name and a calendar user; None removes it."""

    def said(line: Line) -> Line:
        if line.name != name or (sent_by is None and _SENT_BY not in line.parameter_text.upper()):
            return line
        return line.with_parameter(_SENT_BY, sent_by) if directory.key(line.value) == key else line

    return value.map_components(
        lambda component: (
            component.map_lines(said)
            if sent_by is not None or any(_SENT_BY in line.parameter_text.upper() for line in component.all(name))
            else component
        )
    )


def _address(user: CalendarUser | None) -> str | None:
    """SENT-BY of a calendar user: a mail address (RFC 5545 §3.2.18); None where there is none."""
    return user.address if user is not None and user.has_mail_address else None


def _present(value: SchedulingObject | None) -> str | None:
    """SENT-BY of the ORGANIZER of a stored object."""
    lines = [line for component in value.components for line in component.all("ORGANIZER")] if value else []
    return next((found for line in lines if (found := line.parameter(_SENT_BY))), None)
