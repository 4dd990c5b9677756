"""Reading an iTIP message from a text that came from outside (RFC 5546 §3.1, §3.2, §3.4)."""

from __future__ import annotations

from server.domain.errors import InvalidSchedulingMessage, ResourceTooLarge
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.lines import Line
from server.itip.messages import Message, Method
from server.itip.scheduling_object import SchedulingObject, read_object

MAX_LENGTH = 1_048_576
"""Characters of a message."""
MAX_COMPONENTS = 1_000
"""Calendar components of a message: a series and its overrides."""
MAX_PARTICIPANTS = 20_000
"""ATTENDEE lines of all components of a message."""

_ONE_ATTENDEE = (Method.REPLY, Method.REFRESH)


def read_message(
    text: str, sender: CalendarUser, recipient: CalendarUser, directory: Directory | None = None
) -> Message:
    """A message from its text.

    :raises InvalidCalendarData: for what is no iCalendar.
    :raises InvalidSchedulingMessage: for what RFC 5546 §3.1.1 and the tables of its methods forbid: no or an unknown
        METHOD, no components, components of several types or UIDs or with several organizers, none in a message that
        needs one, an instance twice, no attendee in an answer.
    :raises ResourceTooLarge: for a message that is too long, or has too many components or attendees.
    """
    if len(text) > MAX_LENGTH:
        raise ResourceTooLarge(f"A message has at most {MAX_LENGTH} characters.")
    value = read_object(text)
    method = _method(value)
    _check_components(value)
    _check_people(value, method, directory or Directory())
    return Message(method, sender, recipient, value)


def _method(value: SchedulingObject) -> Method:
    lines = [item for item in value.items if isinstance(item, Line) and item.name == "METHOD"]
    if len(lines) != 1:
        raise InvalidSchedulingMessage("A message has one METHOD.")
    try:
        return Method(lines[0].value.strip().upper())
    except ValueError:
        raise InvalidSchedulingMessage(f"There is no METHOD {lines[0].value.strip()[:40]!r}.") from None


def _check_components(value: SchedulingObject) -> None:
    components = value.components
    if not components:
        raise InvalidSchedulingMessage("A message has a calendar component.")
    if len(components) > MAX_COMPONENTS:
        raise ResourceTooLarge(f"A message has at most {MAX_COMPONENTS} calendar components.")
    if len({component.name for component in components}) > 1:
        raise InvalidSchedulingMessage("All calendar components of a message are of one type.")
    uids = {component.value("UID") for component in components}
    if len(uids) > 1 or not uids - {None, ""}:
        raise InvalidSchedulingMessage("All calendar components of a message have the same UID.")
    if len(value.by_instance) != len(components):
        raise InvalidSchedulingMessage("A message names each instance once.")


def _check_people(value: SchedulingObject, method: Method, directory: Directory) -> None:
    attendees = organizers = 0
    keys: set[str] = set()
    for component in value.components:
        lines = component.all("ORGANIZER")
        keys.update(directory.key(line.value) for line in lines)
        organizers += len(lines)
        found = len(component.all("ATTENDEE"))
        attendees += found
        if method in _ONE_ATTENDEE and not found:
            raise InvalidSchedulingMessage(f"A {method} names the attendee whom it comes from.")
    if attendees > MAX_PARTICIPANTS:
        raise ResourceTooLarge(f"A message has at most {MAX_PARTICIPANTS} attendees.")
    if len(keys) > 1:
        raise InvalidSchedulingMessage("All calendar components of a message have the same ORGANIZER.")
    if not organizers and method is not Method.REPLY:
        raise InvalidSchedulingMessage(f"A {method} has an ORGANIZER.")
