"""What the split of a series does to the copies of attendees here, and to what rows say of it (caldav-recursplit §3).

Each copy is divided at the same instance, with all that is the attendee's own. Then both parts get what the organizer's
parts say, as by a quiet REQUEST, so that a copy which was behind agrees with them, too. Nobody is asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from server.itip.answers import receive_reply
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.invitation import receive_request
from server.itip.merging import has_same_organizer, is_followed
from server.itip.messages import Message
from server.itip.participants import all_attendees
from server.itip.reception import UID_TAKEN, Memory, Rows, resets_of, with_answers
from server.itip.refreshing import refreshes
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject
from server.itip.splitting import Parts, Split, divided


@dataclass(frozen=True, slots=True)
class SplitSeries:
    """An organizer's object that is divided."""

    split: Split
    parts: Parts
    later_rows: Rows
    earlier_rows: Rows


@dataclass(frozen=True, slots=True)
class SplitCopy:
    """What the split does at an attendee."""

    parts: Parts
    later_memory: Memory | None
    """What rows say of the old UID afterwards; None: what the copy says."""
    earlier_memory: Memory | None
    """The same of the new UID."""
    replies: tuple[Message, ...] = ()
    """Answers about either part that the organizer has not got yet: a job was to deliver them."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The messages about both parts, by the key of the attendee; those who are invited to one part only have one."""

    later: Mapping[str, Message]
    earlier: Mapping[str, Message]

    @property
    def recipients(self) -> dict[str, CalendarUser]:
        """All attendees who have one, by key."""
        return {key: message.recipient for each in (self.earlier, self.later) for key, message in each.items()}


def requests_of(parts: Parts, directory: Directory, dtstamp: str) -> Requests:
    """The messages to all whom the server tells of an organizer's parts: quiet ones to people here.

    :param dtstamp: the time now, as a UTC value.
    """

    def to_all(part: SchedulingObject | None) -> dict[str, Message]:
        if part is None:
            return {}
        elsewhere = frozenset(key for key, user in all_attendees(part, directory).items() if not user.is_here)
        told = refreshes(part, frozenset(part.by_instance), directory, dtstamp, invited=elsewhere)
        return {message.recipient.key: message for message in told}

    return Requests(to_all(parts.later), to_all(parts.earlier))


def split_copy(
    user: CalendarUser,
    copy: SchedulingObject | None,
    memory: Memory | None,
    series: SplitSeries,
    requests: Requests,
    directory: Directory,
    dtstamp: str,
) -> SplitCopy | str:
    """What the split does to the copy of an attendee here; a SCHEDULE-STATUS where they have another object of the UID.

    A copy that does not follow the organizer, since its owner answers by other means, is not divided.

    :param copy: None where they have none, as after a decline; what rows say of it is divided all the same.
    :param memory: None: what the copy says.
    :raises InvalidData: for rules and times of the copy that cannot be read.
    """
    later, earlier = requests.later.get(user.key), requests.earlier.get(user.key)
    message = later or earlier
    if copy is not None and message is not None and not has_same_organizer(copy, message, directory):
        return UID_TAKEN
    parts, at = Parts(copy, None), series.split.at
    later_memory = earlier_memory = memory
    if copy is None or is_followed(copy, user, directory):
        if copy is not None:
            parts = divided(copy, series.split)
        if memory is not None:
            later_memory, earlier_memory = divided_memory(memory, at)

    replies: list[Message] = []

    def updated(
        message: Message | None, part: SchedulingObject | None, known: Memory | None, rows: Rows
    ) -> tuple[SchedulingObject | None, Memory | None]:
        if message is None:
            return part, known
        resets = resets_of(rows.resets, user)
        result = receive_request(message, part, directory, known, resets, dtstamp=dtstamp)
        replies.extend(result.messages)
        return result.object or part, result.memory or known

    new_later, later_memory = updated(later, parts.later, later_memory, series.later_rows)
    new_earlier, earlier_memory = updated(earlier, parts.earlier, earlier_memory, series.earlier_rows)
    return SplitCopy(Parts(new_later, new_earlier), later_memory, earlier_memory, tuple(replies))


def with_replies(series: SplitSeries, replies: Iterable[Message], directory: Directory, dtstamp: str) -> SplitSeries:
    """The organizer's parts with answers of attendees (`SplitCopy.replies`)."""
    found = {False: (series.parts.earlier, series.earlier_rows), True: (series.parts.later, series.later_rows)}
    for reply in replies:
        for side, (part, rows) in found.items():
            if part is not None and part.uid == reply.uid:
                result = receive_reply(reply, part, directory, rows, dtstamp)
                found[side] = result.object or part, with_answers(rows, result.answers)
    (earlier, earlier_rows), (later, later_rows) = found[False], found[True]
    return SplitSeries(series.split, Parts(later, earlier), later_rows, earlier_rows)


def divided_memory(memory: Memory, at: str) -> tuple[Memory, Memory]:
    """What the rows of an attendee's home say of the later and of the earlier part."""

    def of(concerns: Callable[[str], bool]) -> Memory:
        return Memory(
            {instance: version for instance, version in memory.versions.items() if concerns(instance)},
            frozenset(filter(concerns, memory.removed)),
            frozenset(filter(concerns, memory.cancelled)),
            {instance: sequence for instance, sequence in memory.answered.items() if concerns(instance)},
        )

    return of(lambda instance: _is_later(instance, at)), of(lambda instance: _is_earlier(instance, at))


def divided_rows(rows: Rows, at: str) -> tuple[Rows, Rows]:
    """What the rows of the organizer's home say of the later and of the earlier part."""

    def of(concerns: Callable[[str, str], bool]) -> Rows:
        return Rows(
            tuple(each for each in rows.answers if concerns(each.instance, at)),
            tuple(each for each in rows.resets if concerns(each.instance, at)),
        )

    return of(_is_later), of(_is_earlier)


def _is_later(instance: str, at: str) -> bool:
    return instance == MASTER or instance >= at


def _is_earlier(instance: str, at: str) -> bool:
    return instance == MASTER or instance < at
