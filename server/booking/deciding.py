"""The decision about an invitation: an answer for each instance, with its reason.

    decide(policy, busy, request, who) -> {instance: Answer}

What somebody else has declined, has not answered or has cancelled is not busy: the caller leaves it out of `busy`, and
so it does with what the invitation itself takes. Touching is no conflict.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from server.booking.policy import Policy, Requester, mode_for

PartStat = Literal["ACCEPTED", "DECLINED", "NEEDS-ACTION"]
ACCEPTED: PartStat = "ACCEPTED"
DECLINED: PartStat = "DECLINED"
OPEN: PartStat = "NEEDS-ACTION"
"""Somebody has to answer."""
_PREFERRED = (ACCEPTED, DECLINED, OPEN)
"""The answer of a series, of those that are equally common."""


class Reason(StrEnum):
    """Why an instance is answered so."""

    FREE = "free"
    BUSY = "busy"
    ALWAYS = "always"
    """The mode does not look at the calendar."""
    NO_MODE = "no-mode"


@dataclass(frozen=True, slots=True)
class Slot:
    """One instance that is asked for. Times are aware."""

    instance: str
    """Its identifier, as the caller names it."""
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    slots: tuple[Slot, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer about one instance."""

    partstat: PartStat
    reason: Reason
    conflict: tuple[datetime, datetime] | None = None
    """The first busy time that it overlaps."""


Period = tuple[datetime, datetime]


def decide(policy: Policy, busy: Iterable[Period], request: Request, who: Requester) -> Mapping[str, Answer]:
    """The answers about the instances that are not over; the others are not answered.

    :param busy: half-open times, in any order; they may overlap.
    """
    mode = mode_for(policy, who)
    taken = _merged(busy)
    starts = [start for start, _ in taken]
    found: dict[str, Answer] = {}
    for slot in request.slots:
        if slot.end <= request.now:
            continue
        conflict = _conflict(slot, taken, starts)
        match mode:
            case "none":
                found[slot.instance] = Answer(OPEN, Reason.NO_MODE, conflict)
            case "accept-always":
                found[slot.instance] = Answer(ACCEPTED, Reason.ALWAYS, conflict)
            case "decline-always":
                found[slot.instance] = Answer(DECLINED, Reason.ALWAYS, conflict)
            case _ if conflict is None:
                found[slot.instance] = Answer(OPEN if mode == "decline-if-busy" else ACCEPTED, Reason.FREE)
            case _:
                found[slot.instance] = Answer(OPEN if mode == "accept-if-free" else DECLINED, Reason.BUSY, conflict)
    return found


def commonest(answers: Iterable[Answer]) -> PartStat:
    """The answer that most instances have: that of their series. Of several, acceptance comes first.

    Raises `ValueError` without any.
    """
    counted = Counter(answer.partstat for answer in answers)
    return max(counted, key=lambda each: (counted[each], -_PREFERRED.index(each)))


def _merged(busy: Iterable[Period]) -> list[Period]:
    merged: list[Period] = []
    for start, end in sorted(period for period in busy if period[0] < period[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _conflict(slot: Slot, taken: Sequence[Period], starts: Sequence[datetime]) -> Period | None:
    """The first busy time that a slot overlaps. What has no length overlaps what it lies within."""
    at = max(bisect_right(starts, slot.start) - 1, 0)
    for start, end in taken[at : at + 2]:
        if start < slot.end and end > slot.start:
            return start, end
    return None
