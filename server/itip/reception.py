"""What a message does at its recipient: the values that `server.itip.receiving.receive` takes and gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from server.calendar.expand import written_time
from server.calendar.values import parse_calendar_time
from server.domain.errors import InvalidData
from server.domain.occurrences import Kind
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.instances import covering, describing, excluded
from server.itip.messages import Answered, Message, Method, Plan, Reset
from server.itip.participants import DECLINED, attendee_line, partstat
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

PENDING = "1.0"
"""SCHEDULE-STATUS: the message is not delivered yet (RFC 6638 §3.2.9)."""
DELIVERED = "1.2"
"""SCHEDULE-STATUS: the message was delivered (RFC 6638 §3.2.9)."""
UID_TAKEN = "5.3"
"""SCHEDULE-STATUS: the message was not delivered; the recipient has another object of its UID."""


class Outcome(Enum):
    """What became of a message."""

    APPLIED = "applied"
    """It took effect, or lies in the inbox."""
    IGNORED = "ignored"
    """It is older than what is known, asks for nothing, or concerns nothing that the recipient has."""
    REFUSED = "refused"
    """It is not delivered: the status says why."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """The version of a message about an instance (RFC 5546 §2.1.5): the later one has the greater value."""

    sequence: int
    dtstamp: str
    """DTSTAMP as a UTC value (`20260105T100000Z`); empty without one."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the rows of a recipient's home say of a UID, beside the object itself, which may have been deleted.

    Without rows, `memory_of` gives what the object says.
    """

    versions: Mapping[str, Version] = field(default_factory=dict)
    """The last message about each instance that came from the organizer; that of `MASTER` concerns all instances."""
    removed: frozenset[str] = frozenset()
    """The instances that the recipient declined and removed; `MASTER` where they removed the whole object."""
    cancelled: frozenset[str] = frozenset()
    """The instances whose last message was a CANCEL: it may have come before the series that has them."""
    answered: Mapping[str, int] = field(default_factory=dict)
    """The SEQUENCE of the recipient's last answer about each instance."""

    def latest(self, instance: str) -> Version | None:
        """The version of the last message that concerned an instance."""
        own, series = self.versions.get(instance), self.versions.get(MASTER)
        return max(own, series) if own is not None and series is not None else own or series


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that an organizer's server keeps of a UID."""

    answers: tuple[Answered, ...] = ()
    """The last answer of each attendee about each instance."""
    resets: tuple[Reset, ...] = ()
    """The last time that attendees were asked anew about each instance."""


@dataclass(frozen=True, slots=True)
class Received:
    """What a message does at its recipient."""

    outcome: Outcome
    status: str = DELIVERED
    """SCHEDULE-STATUS of the recipient for the sender."""
    object: SchedulingObject | None = None
    """The recipient's object as it is stored from now on; None: it stays as it is, or there is none."""
    item: bool = False
    """Whether the message is left in the inbox."""
    memory: Memory | None = None
    """What the rows of an attendee's home say afterwards; None: as before."""
    answers: tuple[Answered, ...] = ()
    """Rows of answers that replace those of the same attendee and instance, in the organizer's home."""
    changed: frozenset[str] = frozenset()
    """The instances in which an answer changed what others see: their copies are refreshed
    (`server.itip.refreshing.refreshes`)."""
    resets: tuple[Reset, ...] = ()
    """Rows of resets in the organizer's home: those whom the answer added, as delegates, are asked anew."""
    invited: tuple[CalendarUser, ...] = ()
    """Those whom the answer added, as delegates: they get an invitation, unless the delegator sends it."""
    messages: tuple[Message, ...] = ()
    """What is sent in return: the answer to a REFRESH or to a delegation that does not count, or an answer that the
    message crossed."""


IGNORED = Received(Outcome.IGNORED)


def version_of(component: SchedulingComponent) -> Version:
    """The version that a component of a message has."""
    return Version(component.sequence, stamp_of(component))


def stamp_of(component: SchedulingComponent) -> str:
    """DTSTAMP of a component as a UTC value; empty without one, or where it cannot be read."""
    written = component.value("DTSTAMP")
    if written is None:
        return ""
    try:
        time = parse_calendar_time(written)
    except InvalidData:
        return ""
    return written_time(time.local, Kind.TIMED)


def memory_of(copy: SchedulingObject | None) -> Memory:
    """What an object says of the messages that came before, for those of which no rows are kept."""
    if copy is None:
        return Memory()
    return Memory({component.instance: version_of(component) for component in copy.components})


def remembered(
    memory: Memory, versions: Mapping[str, Version], removed: Iterable[str], *, cancels: bool = False
) -> Memory:
    """The memory with later versions of some instances; those that a version of the series overtakes are left out.

    :param cancels: whether these are the versions of a CANCEL.
    """
    merged = dict(memory.versions)
    for instance, version in versions.items():
        before = merged.get(instance)
        merged[instance] = version if before is None else max(before, version)
    series = merged.get(MASTER)
    if series is not None:
        merged = {key: value for key, value in merged.items() if key == MASTER or value > series}
    cancelled = memory.cancelled | set(versions) if cancels else memory.cancelled - set(versions)
    return replace(memory, versions=merged, removed=frozenset(removed), cancelled=cancelled & merged.keys() - {MASTER})


def after_change(
    memory: Memory, old: SchedulingObject | None, plan: Plan, owner: CalendarUser, directory: Directory
) -> Memory:
    """The memory after an attendee's change: what they answered, declined and removed, and what they have again.

    :param old: the copy before the change; None where it is new.
    :param plan: what `server.itip.planning.plan_change` says of the change.
    """
    new = plan.object
    declined = {
        component.instance
        for message in plan.messages
        if message.method is Method.REPLY
        for component in message.object.components
        if _is_declined(component, owner, directory)
    }
    gone = set[str]()
    if new is None:
        gone |= {MASTER} if old is None else set(old.by_instance)
    elif old is not None:
        gone |= set(excluded(new)) - set(excluded(old))
        if new.master is None:
            gone |= set(old.by_instance) - set(new.by_instance)
    for instance in gone:
        before = None if old is None else describing(old, instance)
        if instance in declined or (before is not None and _is_declined(before, owner, directory)):
            declined.add(instance)
    removed = memory.removed | (gone & declined)
    if new is not None:
        dropped = set(excluded(new))
        present = {each for each in new.by_instance if each not in dropped}
        held = {each for each in removed if new.master is not None and each != MASTER and each not in dropped}
        removed = removed - present - held
    answers = _answered(plan)
    known = dict(memory.answered)
    if MASTER in answers:
        # An answer for the series is one for all instances without an override, and one for a range for those in it.
        held = {*removed, *(() if new is None else new.by_instance)}
        known = {instance: sequence for instance, sequence in known.items() if instance in held}
    elif new is not None:
        known = {
            instance: sequence
            for instance, sequence in known.items()
            if instance in removed or instance in new.by_instance or _segment(new, instance) not in answers
        }
    return replace(memory, removed=frozenset(removed), answered={**known, **answers})


def _segment(value: SchedulingObject, instance: str) -> str:
    """The range (THISANDFUTURE) that an instance lies in; `MASTER` outside of all."""
    series = covering(value, instance)
    return MASTER if series is None else series.instance


def _answered(plan: Plan) -> dict[str, int]:
    """The SEQUENCE of what a plan answers, by instance."""
    return {
        component.instance: component.sequence
        for message in plan.messages
        if message.method is Method.REPLY
        for component in message.object.components
    }


def _is_declined(component: SchedulingComponent, user: CalendarUser, directory: Directory) -> bool:
    line = attendee_line(component, user, directory)
    return line is not None and partstat(line) == DECLINED


def resets_of(resets: Iterable[Reset], user: CalendarUser) -> dict[str, int]:
    """The SEQUENCE at which an attendee was last asked anew about each instance, by the organizer's rows.

    It goes with each message to people here: `server.itip.receiving.receive` takes it.
    """
    found: dict[str, int] = {}
    for reset in resets:
        if user.key in reset.attendees:
            found[reset.instance] = max(reset.sequence, found.get(reset.instance, reset.sequence))
    return found


def is_void(
    instance: str,
    sequence: int,
    before: SchedulingComponent | None,
    answered: Mapping[str, int],
    resets: Mapping[str, int] | None,
) -> bool:
    """Whether what an attendee answered about an instance is void, since they were asked anew.

    :param sequence: that of the message.
    :param before: what the copy says of the instance, which may be its series or range.
    :param answered: as `Memory.answered`.
    :param resets: as `resets_of` gives them; None where they are not known.
    """
    series = answered.get(MASTER if before is None else before.instance, answered.get(MASTER))
    last = answered.get(instance, series)
    if resets is None:
        return sequence > (last if last is not None else -1 if before is None else before.sequence)
    asked = max(resets.get(instance, -1), resets.get(MASTER, -1))
    return asked > (-1 if last is None else last)


def with_answers(rows: Rows, answers: Iterable[Answered]) -> Rows:
    """The rows with later answers in place of those of the same attendee and instance."""
    merged = {(each.attendee, each.instance): each for each in (*rows.answers, *answers)}
    return Rows(tuple(merged.values()), rows.resets)


def with_resets(rows: Rows, resets: Iterable[Reset]) -> Rows:
    """The rows with later resets, in their order: of each attendee and instance the last one is kept."""
    merged: list[Reset] = list(rows.resets)
    for each in resets:
        overtaken = (
            replace(kept, attendees=kept.attendees - each.attendees) if kept.instance == each.instance else kept
            for kept in merged
        )
        merged = [*(kept for kept in overtaken if kept.attendees), each]
    return Rows(rows.answers, tuple(merged))
