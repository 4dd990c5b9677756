"""The decision about an invitation: an answer for each instance, with its reasons. Pure.

    decide(policy, busy, request, who, room) -> Decision

| request | who | answer |
| --- | --- | --- |
| keeps to the rules | may book | accepted |
| keeps to the rules | may request, in policy or out of it | waits for approval |
| breaks a rule | may request out of policy | waits for approval |
| conflicts, breaks a rule that nobody may break, or else | | declined |

What somebody else has declined, has not answered or has cancelled is not busy: the caller leaves it out of `busy`, and
so it does with what the invitation itself takes. Touching is no conflict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from server.booking.free_time import Period, conflict, merged, next_free
from server.booking.policy import Policy, Requester

PartStat = Literal["ACCEPTED", "DECLINED", "TENTATIVE", "NEEDS-ACTION"]
ACCEPTED: PartStat = "ACCEPTED"
DECLINED: PartStat = "DECLINED"
TENTATIVE: PartStat = "TENTATIVE"
"""Somebody has to approve; the time is kept."""
OPEN: PartStat = "NEEDS-ACTION"
"""Somebody has to answer."""
_PREFERRED = (ACCEPTED, TENTATIVE, DECLINED, OPEN)
"""The answer of a series, of those that are equally common."""


class Reason(StrEnum):
    """Why an instance is answered so."""

    FREE = "free"
    """It fits."""
    KEPT = "kept"
    """A person has answered for this time already."""
    LEFT_OPEN = "left-open"
    """Invitations are left to people."""
    PENDING = "pending"
    """It waits for approval."""
    LATER = "later"
    """It is free and lies beyond the booking window, in a series whose instances within the window decide."""
    BUSY = "busy"
    SERIES_CONFLICTS = "series-conflicts"
    """Other instances of the series conflict, more than the policy tolerates."""
    NOT_ALLOWED = "not-allowed"
    """The organizer may neither book nor request."""
    EXTERNAL = "external"
    NO_TIME = "no-time"
    """It has no length, or ends before it begins."""
    RECURRING = "recurring"
    BEYOND_WINDOW = "beyond-window"
    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    CLOSED = "closed"
    TOO_MANY_PEOPLE = "too-many-people"
    TOO_OFTEN = "too-often"
    """The series has more instances than are stored."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One instance that is asked for. Times are aware."""

    instance: str
    """Its identifier, as the caller names it."""
    start: datetime
    end: datetime
    in_series: bool = False
    """Whether it belongs to a series."""
    people: int = 0
    """How many people are invited to it, the organizer included."""
    given: PartStat | None = None
    """What a person has answered for its time: that stays."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    slots: tuple[Slot, ...]
    now: datetime
    whole_series: bool = False
    """Whether a series is asked about, not only single instances of it: then the limits of conflicts count."""
    goes_on: bool = False
    """Whether the series has more instances behind the last slot."""
    known_until: datetime | None = None
    """Until when instances of the series take the room for now; None: all do, `now`: none does."""

    @property
    def takes_nothing(self) -> bool:
        """Whether the series has too many instances to take the room: others would get its times."""
        return self.known_until is not None and self.known_until <= self.now


@dataclass(frozen=True, slots=True)
class RoomRules:
    """What a room or piece of equipment brings to a decision beside its policy."""

    gap: timedelta = timedelta(0)
    """The least time between two bookings: the buffers before and after."""
    capacity: int | None = None
    """How many people it seats; None: not known."""
    closed: tuple[Period, ...] = ()
    """When it is not open, within the time of the request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer about one instance."""

    partstat: PartStat
    reasons: tuple[Reason, ...]
    """What broke a rule, in the order of `Reason`; of what fits or waits, why it does. Not empty."""
    conflict: Period | None = None
    """The first busy time that it overlaps."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is answered."""

    answers: Mapping[str, Answer]
    """By instance. What is over has none."""
    of_series: PartStat = OPEN
    """The commonest answer of the instances in a series, which is that of the series."""
    booked_until: datetime | None = None
    """Until when a series is booked that goes on behind the booking window, or endlessly."""
    window_ends: datetime | None = None
    """The end of the booking window."""
    crowded: frozenset[str] = frozenset()
    """The instances to which more people are invited than the room seats."""
    slots: Mapping[str, Slot] = field(default_factory=dict)
    """What was asked, of what is answered."""

    @property
    def partstats(self) -> dict[str, str]:
        """PARTSTAT by instance."""
        return {instance: answer.partstat for instance, answer in self.answers.items()}


def decide(
    policy: Policy, busy: Iterable[Period], request: Request, who: Requester, room: RoomRules | None = None
) -> Decision:
    """The answers about the instances that are not over; the others are not answered.

    :param busy: half-open times at which nothing more fits, in any order; they may overlap.
    :param room: None for people.
    """
    slots = sorted((each for each in request.slots if each.end > request.now), key=lambda each: (each.start, each.end))
    by_instance = {each.instance: each for each in slots}
    if policy.automation != "accept":
        answers = {each.instance: Answer(OPEN, (Reason.LEFT_OPEN,)) for each in slots}
        return Decision(answers, slots=by_instance)
    rules = RoomRules() if room is None else room
    limit = _limit(policy, request)
    later, beyond = _beyond(policy, request, slots, limit)
    taken, closed = merged(busy), merged(rules.closed if policy.opening_hours_only else ())
    answers = dict[str, Answer]()
    apart = dict[str, Answer]()
    held_until: datetime | None = None
    for slot in slots:
        broken = _broken(policy, slot, who, rules, closed, is_room=room is not None, is_beyond=slot.instance in beyond)
        if slot.in_series and request.takes_nothing and not policy.allow_conflicts:
            broken = (*broken, Reason.TOO_OFTEN)
        clash = None if policy.allow_conflicts else conflict(taken, slot.start, slot.end)
        if clash is None and room is not None and held_until is not None and not policy.allow_conflicts:
            # Instances of the request itself may overlap.
            clash = (slot.start, held_until) if slot.start < held_until else None
        kept = None if slot.given is None else Answer(slot.given, (Reason.KEPT,))
        if slot.instance in later:
            if kept is not None or clash is not None:
                apart[slot.instance] = kept or Answer(DECLINED, (Reason.BUSY,), clash)
            else:
                held_until = max(held_until or slot.end, slot.end + rules.gap)
            continue
        answer = answers[slot.instance] = kept or _answer(policy, who, broken, clash)
        if answer.partstat in (ACCEPTED, TENTATIVE):
            held_until = max(held_until or slot.end, slot.end + rules.gap)
    if request.whole_series:
        answers = _within_limits(policy, answers, by_instance)
    given = [answers[each.instance] for each in slots if each.in_series and each.instance in answers]
    of_series = commonest(given) if given else OPEN
    followed = Answer(of_series, (Reason.LATER,))
    answers |= {each.instance: apart.get(each.instance, followed) for each in slots if each.instance in later}
    reaches_beyond = bool(later) or (request.goes_on and policy.beyond_window == "truncate")
    ends = [each for each in (limit if reaches_beyond else None, request.known_until) if each is not None]
    booked_until = min(ends) if ends and of_series in (ACCEPTED, TENTATIVE) else None
    crowded = frozenset(each.instance for each in slots if _is_crowded(policy, each, rules))
    return Decision(answers, of_series, booked_until, limit, crowded, by_instance)


def commonest(answers: Iterable[Answer]) -> PartStat:
    """The answer that most instances have: that of their series. Of several, acceptance comes first.

    Raises `ValueError` without any.
    """
    counted = Counter(answer.partstat for answer in answers)
    return max(counted, key=lambda each: (counted[each], -_PREFERRED.index(each)))


def free_instead(
    policy: Policy,
    busy: Iterable[Period],
    decision: Decision,
    slot: Slot,
    now: datetime,
    until: datetime,
    room: RoomRules | None = None,
) -> Period | None:
    """The next time at which what a decision declined would fit, within the rules.

    :param busy: what is busy until `until`.
    """
    rules = RoomRules() if room is None else room
    own = [
        (each.start - rules.gap, each.end + rules.gap)
        for each in decision.slots.values()
        if decision.answers[each.instance].partstat in (ACCEPTED, TENTATIVE)
    ]
    duration = slot.end - slot.start
    days = policy.booking_window_days
    if days is not None:
        until = min(until, now + timedelta(days=days) + duration)
    closed = rules.closed if policy.opening_hours_only else ()
    return next_free(merged([*busy, *own, *closed]), max(slot.start, now), duration, until)


def _limit(policy: Policy, request: Request) -> datetime | None:
    """When the booking window ends."""
    days = policy.booking_window_days
    return None if days is None else request.now + timedelta(days=days)


def _beyond(
    policy: Policy, request: Request, slots: Sequence[Slot], limit: datetime | None
) -> tuple[frozenset[str], frozenset[str]]:
    """The instances of a series that are booked when the window reaches them, and those that break the rule.

    A single instance of a series follows it: only the others are tied to the window.
    """
    if limit is None:
        return frozenset(), frozenset()
    beyond = frozenset(each.instance for each in slots if each.start > limit)
    series = [each for each in slots if each.in_series]
    of_series = frozenset(each.instance for each in series)
    truncates = policy.beyond_window == "truncate"
    if not request.whole_series:
        return frozenset(), beyond - of_series if truncates else beyond
    if truncates and series and series[0].start <= limit:
        return beyond & of_series, beyond - of_series
    if beyond & of_series or request.goes_on:
        beyond |= of_series
    return frozenset(), beyond


def _broken(
    policy: Policy,
    slot: Slot,
    who: Requester,
    room: RoomRules,
    closed: Sequence[Period],
    *,
    is_room: bool,
    is_beyond: bool,
) -> tuple[Reason, ...]:
    """The rules that a slot breaks."""
    length = slot.end - slot.start
    shortest, longest = policy.min_duration_minutes, policy.max_duration_minutes
    crowded = policy.capacity == "enforce" and _is_crowded(policy, slot, room)
    broken = {
        Reason.EXTERNAL: who.external and not policy.allow_external,
        Reason.NO_TIME: is_room and slot.end <= slot.start,
        Reason.RECURRING: slot.in_series and not policy.allow_recurring,
        Reason.BEYOND_WINDOW: is_beyond,
        Reason.TOO_SHORT: shortest is not None and length < timedelta(minutes=shortest),
        Reason.TOO_LONG: longest is not None and length > timedelta(minutes=longest),
        Reason.CLOSED: conflict(closed, slot.start, slot.end) is not None,
        Reason.TOO_MANY_PEOPLE: crowded,
    }
    return tuple(reason for reason, is_broken in broken.items() if is_broken)


_NEVER_APPROVED = frozenset((Reason.EXTERNAL, Reason.NO_TIME, Reason.TOO_OFTEN))


def _answer(policy: Policy, who: Requester, broken: tuple[Reason, ...], clash: Period | None) -> Answer:
    """The answer about a slot, its series left out of account."""
    may_request_out = who.belongs_to(policy.request_out_of_policy)
    may_book = who.belongs_to(policy.book_in_policy)
    may_request = may_request_out or who.belongs_to(policy.request_in_policy)
    reasons = broken
    if not broken and not may_book and not may_request:
        reasons = (Reason.NOT_ALLOWED,)
    elif broken and may_request_out and _NEVER_APPROVED.isdisjoint(broken):
        reasons = ()
    if clash is not None and policy.conflicts_stay_open and not reasons:
        return Answer(OPEN, (Reason.BUSY,), clash)
    if clash is not None:
        return Answer(DECLINED, (Reason.BUSY, *reasons), clash)
    if reasons:
        return Answer(DECLINED, reasons)
    if may_book and not broken:
        return Answer(ACCEPTED, (Reason.FREE,))
    return Answer(TENTATIVE if policy.tentative_while_pending else OPEN, (Reason.PENDING, *broken))


def _within_limits(policy: Policy, answers: Mapping[str, Answer], slots: Mapping[str, Slot]) -> dict[str, Answer]:
    """The answers, all instances of a series declined if more of them conflict than the policy tolerates."""
    series = [instance for instance in answers if slots[instance].in_series]
    conflicts = sum(answers[each].partstat == DECLINED and answers[each].conflict is not None for each in series)
    percentage, most = policy.conflict_percentage_allowed, policy.max_conflict_instances
    too_many = most is not None and conflicts > most
    too_many = too_many or (percentage is not None and conflicts * 100 > percentage * len(series))
    if not conflicts or not too_many:
        return dict(answers)
    declined = {
        each: replace(answers[each], partstat=DECLINED, reasons=(Reason.SERIES_CONFLICTS,))
        for each in series
        if answers[each].partstat != DECLINED and slots[each].given is None
    }
    return {**answers, **declined}


def _is_crowded(policy: Policy, slot: Slot, room: RoomRules) -> bool:
    return policy.capacity != "off" and room.capacity is not None and slot.people > room.capacity
