"""Answers that the server gives for rooms and for people with an auto-schedule mode, as a part of the delivery.

The reception of an invitation in the home of such a recipient decides (`server.booking`), stores the copy with the
answer, and gives the REPLY back to the change that delivers: the organizer's own change set merges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from server.booking.deciding import (
    ACCEPTED,
    OPEN,
    TENTATIVE,
    Decision,
    PartStat,
    Reason,
    Request,
    RoomRules,
    Slot,
    decide,
    free_instead,
)
from server.booking.free_time import Period
from server.booking.policy import Policy
from server.calendar.materialise import stored_until
from server.calendar.zones import Zone
from server.domain.actors import Actor
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.principals import Principal
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.imip.catalogue import Language
from server.imip.room_answers import Instead, comments, first_declined
from server.itip.answering import Asked, Times, asked, asks, goes_on, is_series, series_end, with_given_answers
from server.itip.calendar_users import Directory
from server.itip.change import utc_stamp
from server.itip.messages import Message, Plan
from server.itip.reception import after_change, memory_of
from server.itip.room_copies import without_cancelled
from server.itip.scheduling_object import SchedulingObject
from server.services.lookup import Lookup
from server.services.rooms.alternatives import room_like
from server.services.scheduling import memory
from server.services.scheduling.room_policies import ROOMS, own_policy, policy_for, rules_of, zone_for
from server.services.time.free_busy import busy_people
from server.storage import Storage
from server.storage.scheduling import Mailbox

HORIZON = timedelta(days=2 * 366)
"""How far ahead the instances of an endless series are looked at: no fewer than are stored."""
OFFERED = timedelta(days=14)
"""How far behind a declined instance a free time is looked for."""


@value
class Given:
    """What follows from an answer of the server in the home of a recipient."""

    object: SchedulingObject | None
    """The recipient's object; None: it is removed, since all of it is cancelled."""
    known: memory.Known
    reply: Message | None
    leaves_items: bool
    """Whether the messages lie in the inbox."""
    forwards: bool = False
    """Whether delegates are told of the messages, since they approve."""
    sends_link: bool = False
    """Whether the organizer gets a link to check in."""


@value
class Recipient:
    """Whom an invitation was delivered to."""

    mailbox: Mailbox
    before: SchedulingObject | None
    """Their object before the messages."""
    copy: SchedulingObject | None
    """Their object with the messages."""
    known: memory.Known


@value
class _Read:
    """What a decision is made on."""

    rules: RoomRules | None
    busy: Sequence[Period] | None
    """None: it is too much work."""
    until: datetime


async def given_answer(
    storage: Storage,
    recipient: Recipient,
    messages: Sequence[Message],
    sender: Principal | None,
    directory: Directory,
    now: datetime,
    language: Language,
) -> Given | None:
    """What the server answers for a recipient; None where it answers nothing for them.

    :param messages: those that were delivered.
    :param sender: the organizer.
    :param language: of what a room says with its answer.
    """
    mailbox, known = recipient.mailbox, recipient.known
    if not mailbox.answers or recipient.copy is None or not messages:
        return None
    policy, who = await policy_for(storage, mailbox, sender, messages[0].sender)
    if policy.automation == "none":
        return None
    is_room, user = mailbox.kind in ROOMS, messages[0].recipient
    left = without_cancelled(recipient.copy) if is_room else recipient.copy
    if left is None or not asks(messages, user, directory):
        return Given(left, known, None, leaves_items=not is_room)
    zone = await zone_for(mailbox)
    days = policy.booking_window_days
    limit = None if days is None else now + timedelta(days=days)
    until = now + HORIZON
    if limit is not None and policy.beyond_window == "decline":
        until = limit
    elif is_room:
        # All instances that are stored take the room, also those beyond the booking window.
        until = series_end(left, max(until, limit or until))
    wanted = asked(left, messages, user, directory, zone, now, until, recipient.before)
    if not wanted.all:
        return Given(left, known, None, leaves_items=False)
    request = Request(
        _slots(wanted, left),
        now,
        bool(wanted.series),
        limit is not None and goes_on(left, max(limit, now)),
        stored_until(left.series, now) if is_room and wanted.series and left.series is not None else None,
    )
    read = await _read(storage, mailbox, policy, request, zone)
    if read.busy is None:
        policy = replace(policy, automation="update")
    decision = decide(policy, read.busy or (), request, who, read.rules)
    says = await _said(storage, mailbox, sender, policy, decision, read, language, zone, now)
    stamp = utc_stamp(now)
    answered, reply = with_given_answers(
        left, wanted, decision.partstats, decision.of_series, user, directory, stamp, says
    )
    if reply is not None:
        before = known.memory or memory_of(left)
        plan = Plan(SchedulingRole.ATTENDEE, answered, (reply,))
        known = replace(known, memory=after_change(before, left, plan, user, directory))
    pending = any(Reason.PENDING in answer.reasons for answer in decision.answers.values())
    leaves_items = pending or OPEN in decision.partstats.values()
    forwards = pending and policy.forward_to_delegates
    booked = not {ACCEPTED, TENTATIVE}.isdisjoint(decision.partstats.values())
    sends_link = policy.check_in == "link" and reply is not None and booked
    return Given(answered, known, reply, leaves_items, forwards, sends_link)


def _slots(wanted: Asked, copy: SchedulingObject) -> tuple[Slot, ...]:
    recurs = is_series(copy)

    def slot(times: Times) -> Slot:
        given = cast("PartStat | None", times.given)
        return Slot(times.instance, times.start, times.end, recurs, times.people, given)

    return tuple(map(slot, wanted.all))


async def _read(storage: Storage, mailbox: Mailbox, policy: Policy, request: Request, zone: Zone) -> _Read:
    """What is busy, as far as the answers depend on it."""
    start, end = min(each.start for each in request.slots), max(each.end for each in request.slots)
    end = max(end, start + timedelta(seconds=1))
    if _explains(mailbox, policy):
        end = max(end, start + OFFERED)
    days = policy.booking_window_days
    # The rules count within the booking window.
    ruled = end if days is None else min(end, request.now + timedelta(days=days) + OFFERED)
    rules = rules_of(mailbox, policy, zone, start, ruled)
    if not policy.asks_for_busy_times:
        return _Read(rules, (), end)
    person, held = mailbox.principal_id, mailbox.object
    if mailbox.kind in ROOMS:
        # Two changes do not book a room at once: the database refuses the later one, which decides again.
        taken = await storage.taken_times([person], start, end, besides=None if held is None else held.id)
        return _Read(rules, taken[person], end)
    masked = [] if held is None else [(person, held.id)]
    try:
        (busy,) = await busy_people(storage, Lookup(storage), [person], start, end, "scheduling", masked=masked)
    except (InvalidData, TooManyInstances):
        busy = None
    return _Read(rules, None if busy is None else [(each.start, each.end) for each in busy], end)


def _explains(mailbox: Mailbox, policy: Policy) -> bool:
    return policy.response_details and own_policy(mailbox) is not None


async def _said(
    storage: Storage,
    mailbox: Mailbox,
    sender: Principal | None,
    policy: Policy,
    decision: Decision,
    read: _Read,
    language: Language,
    zone: Zone,
    now: datetime,
) -> dict[str, str]:
    """What a room with a policy says with its answers, by instance."""
    if own_policy(mailbox) is None:
        return {}
    declined = first_declined(decision) if policy.response_details else None
    instead = None
    if declined is not None:
        slot = free_instead(policy, read.busy or (), decision, declined, now, read.until, read.rules)
        like = await _room_like(storage, mailbox, sender, declined, now)
        instead = Instead(declined.instance, slot, like)
    return comments(decision, policy, read.rules or RoomRules(), language, zone, instead)


async def _room_like(storage: Storage, mailbox: Mailbox, sender: Principal | None, slot: Slot, now: datetime) -> str:
    """The name of a free room like one that declines a single meeting; empty without one.

    Organizers elsewhere are not told of other rooms.
    """
    if sender is None or mailbox.room is None or slot.in_series:
        return ""
    actor, period = Actor(sender, "scheduling"), (slot.start, slot.end)
    found = await room_like(storage, Lookup(storage), actor, mailbox.room, period, slot.people, now)
    return "" if found is None else found.name
