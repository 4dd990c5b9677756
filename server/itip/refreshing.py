"""How attendees learn what the organizer's object says now: REFRESH (RFC 5546 §3.2.6), and quiet messages."""

from __future__ import annotations

from server.itip.audience import NO_VIEW, View, message_object, part_view, told, view_components, views
from server.itip.calendar_users import Directory
from server.itip.messages import Message, Method
from server.itip.participants import all_attendees, is_organizer, organizer
from server.itip.reception import IGNORED, Outcome, Received
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject


def receive_refresh(message: Message, value: SchedulingObject | None, directory: Directory, dtstamp: str) -> Received:
    """What a REFRESH does: a present attendee gets a REQUEST with all that concerns them; the inbox gets nothing."""
    if value is None or not is_organizer(value, message.recipient, directory):
        return IGNORED
    view = views(value, directory, message.recipient).get(message.sender.key, NO_VIEW)
    if not view.instances:
        return IGNORED
    answer = request_of(value, view, view.instances, dtstamp)
    return Received(Outcome.APPLIED, messages=(Message(Method.REQUEST, message.recipient, message.sender, answer),))


def refreshes(
    value: SchedulingObject,
    changed: frozenset[str],
    directory: Directory,
    dtstamp: str,
    answered: frozenset[str] = frozenset(),
    invited: frozenset[str] = frozenset(),
) -> tuple[Message, ...]:
    """The messages by which the others learn of answers: quiet ones to people here, and invitations to delegates.

    :param value: the organizer's object with the answers.
    :param changed: the instances concerned (`Received.changed`).
    :param answered: the keys of those who answered, whose copies say so already.
    :param invited: the keys of delegates whom an answer added.
    """
    own = organizer(value, directory)
    if own is None:
        return ()
    users = all_attendees(value, directory)
    made_before: dict[tuple[View, tuple[str, ...]], SchedulingObject] = {}
    messages: list[Message] = []
    for key, view in views(value, directory, own).items():
        user = users[key]
        is_new = key in invited
        if not is_new and (key in answered or not user.is_here):
            continue
        # A REQUEST with the series has all of its overrides: it replaces what was there.
        whole = (
            is_new
            or (view.has_master and MASTER in changed)
            or (view.ranged and not changed.isdisjoint(view.instances))
        )
        instances = view.instances if whole else tuple(each for each in view.instances if each in changed)
        if not instances:
            continue
        request = made_before.get((view, instances))
        if request is None:
            request = made_before[view, instances] = request_of(value, view, instances, dtstamp)
        messages.append(Message(Method.REQUEST, own, user, request, quiet=not is_new))
    return tuple(messages)


def request_of(value: SchedulingObject, view: View, instances: tuple[str, ...], dtstamp: str) -> SchedulingObject:
    """The REQUEST about some components of a view.

    :param dtstamp: the time now, as a UTC value.
    """
    components = [told(each, dtstamp) for each in view_components(value, part_view(view, instances))]
    return message_object(value, components, Method.REQUEST)
