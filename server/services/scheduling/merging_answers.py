"""The answers that the server gives for recipients, in the change of the organizer that asks them.

They are merged into the organizer's object before it is stored, and the other recipients of the change learn of them in
the same delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from server.domain.values import value
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import utc_stamp
from server.itip.messages import Message, Method
from server.itip.participants import all_attendees
from server.itip.receiving import receive
from server.itip.reception import with_answers
from server.itip.refreshing import refreshes
from server.itip.room_locations import with_rooms_in_location
from server.itip.scheduling_object import SchedulingObject
from server.services.scheduling import memory
from server.services.scheduling.delivery import by_recipient
from server.services.scheduling.letters import Item, Reception, item_of

ANSWERED = "2.0"
"""SCHEDULE-STATUS of attendees who have answered (RFC 5546 §3.6.1)."""


@value
class Merged:
    """An organizer's object with answers."""

    object: SchedulingObject
    known: memory.Known
    """What the organizer's home knows with them."""
    items: tuple[Item, ...]
    """For the organizer's inbox."""
    changed: frozenset[str]
    """The instances whose answers others do not know yet."""
    answered: frozenset[str]
    """The keys of those who answered."""
    says_more: bool
    """Whether it says more than each of those who answered knows by their own answer."""

    def refreshes(
        self, organizer: CalendarUser, directory: Directory, now: datetime
    ) -> Mapping[str, Sequence[Message]]:
        """The messages by which all here learn of the answers, by the key of their recipient.

        Those who answered get all that they are invited to, since their answers are in the copy.
        """
        stamp, own = utc_stamp(now), frozenset((organizer.key,))
        told = refreshes(self.object, self.changed, directory, stamp, self.answered | own)
        if not self.says_more:
            return by_recipient(told)
        others = all_attendees(self.object, directory).keys() - self.answered
        instances = frozenset(self.object.by_instance)
        whole = refreshes(self.object, instances, directory, stamp, own | others)
        return by_recipient([*told, *whole])


def replies_in(receptions: Iterable[Reception], organizer: CalendarUser) -> list[Message]:
    """The answers to an organizer in what was received."""
    return [
        message
        for reception in receptions
        for result in reception.received
        for message in result.messages
        if message.method is Method.REPLY and not message.quiet and message.recipient.key == organizer.key
    ]


def merged_answers(
    value: SchedulingObject,
    replies: Sequence[Message],
    known: memory.Known,
    directory: Directory,
    now: datetime,
    *,
    rooms_in_location: bool = False,
) -> Merged:
    """An organizer's object with answers. `rooms_in_location` is as in `Change`."""
    items: list[Item] = []
    changed: set[str] = set()
    named: set[str] = set()
    for reply in replies:
        result = receive(reply, value, directory, now, rows=known.rows)
        before, value = value, result.object or value
        if result.item:
            items.append(item_of(reply, before, value, directory, now))
        changed |= result.changed
        known = replace(known, rows=with_answers(known.rows, result.answers))
        named |= {value.instance_of(each.first("RECURRENCE-ID")) for each in reply.object.components}
    if rooms_in_location:
        # Rooms that have declined are not where it takes place.
        value = with_rooms_in_location(value, value, directory)
    answered = frozenset(each.sender.key for each in replies)
    says_more = rooms_in_location or len(answered) > 1 or not changed <= named
    return Merged(value, known, tuple(items), frozenset(changed), answered, says_more)
