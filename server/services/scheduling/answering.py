"""Answers that the server gives for recipients with an auto-schedule mode, as a part of the delivery.

The reception of an invitation in the home of such a recipient decides (`server.booking`), stores the copy with the
answer, and gives the REPLY back to the change that delivers: the organizer's own change set merges it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, get_args

from server.booking.deciding import OPEN, Decision, Request, RoomRules, Slot, decide
from server.booking.policy import Mode, Policy, Requester, policy_of_mode
from server.domain.changes import Unchanged
from server.domain.errors import InvalidData, TooManyInstances
from server.domain.principals import Principal, name_key
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.itip.answering import Asked, asked, asks, with_given_answers, without_cancelled
from server.itip.calendar_users import Directory
from server.itip.change import utc_stamp
from server.itip.messages import Message, Plan
from server.itip.reception import after_change, memory_of
from server.itip.scheduling_object import SchedulingObject
from server.services.lookup import Lookup
from server.services.scheduling import memory
from server.services.scheduling.groups import groups_of
from server.services.time.free_busy import busy_people
from server.services.time.time_ranges import zone_or_utc
from server.storage import Storage
from server.storage.scheduling import AddressSearch, Mailbox

HORIZON = timedelta(days=2 * 365)
"""How far ahead the instances of a series are looked at."""
_ROOMS = ("room", "resource")


@value
class Given:
    """What follows from an answer of the server in the home of a recipient."""

    object: SchedulingObject | None
    """The recipient's object; None: it is removed, since all of it is cancelled."""
    known: memory.Known
    reply: Message | None
    leaves_items: bool
    """Whether the messages lie in the inbox."""
    unchanged: tuple[Unchanged, ...] = ()
    """What was read to decide, and must still be so."""


def mode_of(mailbox: Mailbox) -> Mode:
    """The auto-schedule mode of a recipient."""
    mode = (mailbox.auto_schedule or {}).get("mode", "none")
    return mode if mode in get_args(Mode) else "none"


async def given_answer(
    storage: Storage,
    mailbox: Mailbox,
    messages: Sequence[Message],
    copy: SchedulingObject | None,
    known: memory.Known,
    sender: Principal | None,
    directory: Directory,
    now: datetime,
) -> Given | None:
    """What the server answers for a recipient; None where it answers nothing for them.

    :param messages: those that were delivered.
    :param copy: the recipient's object with them.
    :param sender: the organizer.
    """
    is_room = mailbox.kind in _ROOMS
    if not mailbox.auto_schedule or copy is None or not messages:
        return None
    policy = await _policy(storage, mailbox, sender)
    if policy.automation == "none":
        return None
    user = messages[0].recipient
    left = without_cancelled(copy) if is_room else copy
    if left is None or not asks(messages, user, directory):
        return Given(left, known, None, leaves_items=not is_room)
    calendar = mailbox.collection or next(iter(mailbox.calendars), None)
    zone = await zone_or_utc("" if calendar is None else calendar.timezone or "")
    wanted = asked(left, messages, user, directory, zone, now, now + HORIZON)
    if not wanted.all:
        return Given(left, known, None, leaves_items=False)
    decision, unchanged = await _decided(storage, mailbox, policy, wanted, now)
    partstats, of_series = decision.partstats, decision.of_series
    stamp = utc_stamp(now)
    answered, reply = with_given_answers(left, wanted, partstats, of_series, user, directory, stamp)
    if reply is not None:
        before = known.memory or memory_of(left)
        plan = Plan(SchedulingRole.ATTENDEE, answered, (reply,))
        known = replace(known, memory=after_change(before, left, plan, user, directory))
    return Given(answered, known, reply, OPEN in partstats.values(), unchanged)


async def _decided(
    storage: Storage, mailbox: Mailbox, policy: Policy, wanted: Asked, now: datetime
) -> tuple[Decision, tuple[Unchanged, ...]]:
    """The answers about what is asked. Where the busy times are too much work, all is left open."""
    slots = tuple(Slot(each.instance, each.start, each.end) for each in wanted.single)
    slots += tuple(Slot(each.instance, each.start, each.end, in_series=True) for each in wanted.series)
    request = Request(slots, now, whole_series=bool(wanted.series))
    room = RoomRules() if mailbox.kind in _ROOMS else None
    if not policy.asks_for_busy_times:
        return decide(policy, (), request, Requester(), room), ()
    start, end = min(each.start for each in slots), max(each.end for each in slots)
    end = max(end, start + timedelta(seconds=1))
    person, held = mailbox.principal_id, mailbox.object
    masked = [] if held is None else [(person, held.id)]
    try:
        (busy,) = await busy_people(
            storage,
            Lookup(storage),
            [person],
            start,
            end,
            "scheduling",
            masked=masked,
        )
    except (InvalidData, TooManyInstances):
        busy = None
    # Two changes do not book a room at once: the later one decides again.
    read = Unchanged(mailbox.home.id, None, mailbox.home.revision, person)
    unchanged = (read,) if room is not None else ()
    if busy is None:
        return decide(policy_of_mode("none"), (), request, Requester(), room), ()
    return decide(policy, [(each.start, each.end) for each in busy], request, Requester(), room), unchanged


async def _policy(storage: Storage, mailbox: Mailbox, sender: Principal | None) -> Policy:
    """The policy by which a mode answers. Only a recipient with an auto-accept group costs statements."""
    assert mailbox.auto_schedule is not None
    is_auto_accepted = await _is_auto_accepted(storage, mailbox.auto_schedule, sender)
    return policy_of_mode("automatic" if is_auto_accepted else mode_of(mailbox))


async def _is_auto_accepted(storage: Storage, settings: Mapping[str, Any], sender: Principal | None) -> bool:
    """Whether an organizer belongs to the auto-accept group."""
    group = settings.get("auto_accept_group")
    if not group or sender is None:
        return False
    named = AddressSearch(frozenset([group]), frozenset([name_key(group)]))
    ids = [each.principal.id for each in await storage.addressed(named) if each.principal.kind == "group"]
    if not ids:
        return False
    found, _ = await storage.group_members(ids, 0, "")
    members = {user.principal_id for group in groups_of(found).values() for user in group.members}
    return sender.id in members
