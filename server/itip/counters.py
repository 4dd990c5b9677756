"""Proposals of attendees and the organizer's answer to them: COUNTER and DECLINECOUNTER (RFC 5546 §3.2.7, §3.2.8)."""

from __future__ import annotations

from server.itip.audience import message_object, told
from server.itip.calendar_users import Directory
from server.itip.comparison import same_times
from server.itip.instances import derived
from server.itip.messages import Message, Method
from server.itip.participants import all_attendees, attendee_line, is_organizer
from server.itip.reception import IGNORED, Outcome, Received
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def receive_counter(message: Message, value: SchedulingObject | None, directory: Directory) -> Received:
    """What a COUNTER does: the proposal of an attendee lies in the organizer's inbox, and sets nothing."""
    if value is None or not is_organizer(value, message.recipient, directory):
        return IGNORED
    if message.sender.key not in all_attendees(value, directory):
        return IGNORED
    return Received(Outcome.APPLIED, item=True)


def declined_counter(message: Message, value: SchedulingObject, directory: Directory, dtstamp: str) -> Message | None:
    """The DECLINECOUNTER to the sender of a COUNTER that the organizer rejects (RFC 5546 §3.2.8).

    None where they are no longer invited, and where the meeting is at the time that they proposed.

    :param value: the organizer's object.
    """
    components: list[SchedulingComponent] = []
    for proposal in message.object.components:
        instance = value.instance_of(proposal.first("RECURRENCE-ID"))
        known = derived(value, instance)
        line = None if known is None else attendee_line(known, message.sender, directory)
        if known is not None and line is not None and not same_times(value, known, message.object, proposal):
            components.append(told(known.with_lines("ATTENDEE", [line]), dtstamp))
    if not components:
        return None
    answer = message_object(value, components, Method.DECLINECOUNTER)
    return Message(Method.DECLINECOUNTER, message.recipient, message.sender, answer)
