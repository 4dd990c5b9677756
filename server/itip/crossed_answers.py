"""Answers that a message crossed: they stay in the copy, and go to the organizer again (`server.itip.invitation`).

Such a REPLY is one for the instances that it names. With the series it is also one for all other instances that the
copy does not have by themselves: the organizer's server lets their overrides follow (`server.itip.answers`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from server.itip.attendee import reply_object
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.messages import Message, Method
from server.itip.participants import attendee_line
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def answered_again(
    crossed: Sequence[SchedulingComponent],
    copy: SchedulingObject | None,
    user: CalendarUser,
    directory: Directory,
    answered: Mapping[str, int],
    ended: Collection[str],
) -> list[SchedulingComponent]:
    """The components of the REPLY: those that were crossed and, with the series, the overrides that may not follow it.

    What is cancelled may take place again: it is named where the recipient has answered it by itself.

    :param copy: what the recipient has afterwards.
    :param answered: the SEQUENCE of the recipient's last answer about each instance.
    :param ended: the instances of overrides that follow a declined series.
    """
    if copy is None or not any(each.instance == MASTER or each.is_range for each in crossed):
        return [*crossed]
    named = {each.instance for each in crossed}
    others = [
        each
        for each in copy.overrides
        if each.instance not in named
        and attendee_line(each, user, directory) is not None
        and (each.token("STATUS") != "CANCELLED" or (each.instance in answered and each.instance not in ended))
    ]
    return [*crossed, *others]


def reply_again(
    components: Sequence[SchedulingComponent],
    frame: SchedulingObject,
    user: CalendarUser,
    to: CalendarUser,
    directory: Directory,
    dtstamp: str,
) -> Message:
    """The REPLY, which leaves no item in the organizer's inbox.

    :param frame: the object whose VCALENDAR and VTIMEZONEs it has.
    """
    return Message(Method.REPLY, user, to, reply_object(frame, components, user, to, directory, dtstamp), quiet=True)


def sequences_after(
    answered: Mapping[str, int],
    components: Sequence[SchedulingComponent],
    copy: SchedulingObject | None,
    ended: Collection[str],
) -> dict[str, int]:
    """The SEQUENCE of the recipient's last answer about each instance after the REPLY (`Memory.answered`).

    :param answered: the same before it.
    :param copy: as in `answered_again`, with `ended`.
    """
    found, named = dict(answered), {each.instance: each.sequence for each in components}
    if MASTER in named:
        own = set() if copy is None else copy.by_instance.keys() - set(ended)
        held = named.keys() | own
        found = {
            instance: sequence for instance, sequence in found.items() if instance in held or sequence > named[MASTER]
        }
    for instance, sequence in named.items():
        found[instance] = max(sequence, found.get(instance, 0))
    return found
