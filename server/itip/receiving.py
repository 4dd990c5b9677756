"""What a message does at its recipient (RFC 5546 §3, RFC 6638 §4): the one entry of the receiver's side.

    receive(message, object, directory, now) -> Received

| method | recipient | effect |
| --- | --- | --- |
| REQUEST, ADD | attendee | their copy is made or updated (`server.itip.invitation`) |
| CANCEL | attendee | their copy is marked as cancelled (`server.itip.cancellation`) |
| DECLINECOUNTER | attendee | lies in the inbox |
| REPLY | organizer | the answer is merged (`server.itip.answers`) |
| REFRESH | organizer | a present attendee gets a REQUEST |
| COUNTER | organizer | lies in the inbox |
| PUBLISH | | none |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from server.domain.errors import InvalidSchedulingMessage
from server.domain.scheduling import SCHEDULED
from server.itip.answers import receive_reply
from server.itip.calendar_users import Directory
from server.itip.cancellation import receive_cancel
from server.itip.change import utc_stamp
from server.itip.counters import receive_counter
from server.itip.invitation import receive_request
from server.itip.merging import has_same_organizer
from server.itip.messages import Message, Method
from server.itip.participants import attendee_line, organizer
from server.itip.reception import IGNORED, Memory, Outcome, Received, Rows
from server.itip.refreshing import receive_refresh
from server.itip.scheduling_object import SchedulingObject

_FROM_ORGANIZER = (Method.REQUEST, Method.ADD, Method.CANCEL, Method.DECLINECOUNTER)
_NO_ROWS = Rows()


def receive(
    message: Message,
    value: SchedulingObject | None,
    directory: Directory,
    now: datetime,
    *,
    memory: Memory | None = None,
    resets: Mapping[str, int] | None = None,
    rows: Rows = _NO_ROWS,
) -> Received:
    """What a message does at its recipient.

    :param value: the recipient's object of its UID; None without one.
    :param directory: the calendar users of both.
    :param now: aware.
    :param memory: what the rows of an attendee's home say; None: what the object says.
    :param resets: when the recipient was last asked anew, by the organizer's rows (`server.itip.reception.resets_of`);
        None where it is not known (`server.itip.invitation.receive_request`).
    :param rows: what the organizer's server keeps.
    :raises InvalidSchedulingMessage: when the object is one of another UID, or the message is not from whom it says.
    """
    if message.method is Method.PUBLISH or message.object.name not in SCHEDULED:
        return IGNORED
    if value is not None and value.uid != message.uid:
        raise InvalidSchedulingMessage("The message is about another UID.")
    check_sender(message, directory)
    match message.method:
        case Method.REQUEST | Method.ADD:
            return receive_request(message, value, directory, memory, resets, dtstamp=utc_stamp(now))
        case Method.CANCEL:
            return receive_cancel(message, value, directory, memory)
        case Method.DECLINECOUNTER:
            known = value is not None and has_same_organizer(value, message, directory)
            return Received(Outcome.APPLIED, item=True) if known else IGNORED
        case Method.REPLY:
            return receive_reply(message, value, directory, rows, utc_stamp(now))
        case Method.REFRESH:
            return receive_refresh(message, value, directory, utc_stamp(now))
    return receive_counter(message, value, directory)


def check_sender(message: Message, directory: Directory) -> None:
    """See that a message is from its organizer, or from an attendee whom it names.

    A REQUEST may come from an attendee who delegates to the recipient (RFC 5546 §3.2.2.3).

    :raises InvalidSchedulingMessage: otherwise.
    """
    own = organizer(message.object, directory)
    components = message.object.components
    if message.method in _FROM_ORGANIZER:
        if own is None:
            raise InvalidSchedulingMessage(f"A {message.method} has an ORGANIZER.")
        if own.key != message.sender.key and not (message.method is Method.REQUEST and _delegates(message, directory)):
            raise InvalidSchedulingMessage(f"A {message.method} comes from the organizer.")
        return
    if own is not None and own.key != message.recipient.key:
        raise InvalidSchedulingMessage(f"A {message.method} goes to the organizer.")
    if not any(attendee_line(each, message.sender, directory) is not None for each in components):
        raise InvalidSchedulingMessage(f"A {message.method} comes from an attendee whom it names.")


def _delegates(message: Message, directory: Directory) -> bool:
    """Whether the sender of a REQUEST is an attendee who delegates to the recipient."""
    for component in message.object.components:
        line = attendee_line(component, message.recipient, directory)
        delegators = [] if line is None else line.params.get("DELEGATED-FROM", [])
        if message.sender.key in map(directory.key, delegators):
            return attendee_line(component, message.sender, directory) is not None
    return False
