"""What a home knows of the messages about a UID, as it is stored (`server.domain.changes.Remember.state`).

The JSON object of an attendee's home has the keys `versions` (instance to SEQUENCE and DTSTAMP), `removed` and
`cancelled` (instances), `answered` (instance to SEQUENCE) and `groups` (the ids of the groups through which an
organizer elsewhere invites them). That of an organizer's home has `answers` (attendee,
instance, SEQUENCE, DTSTAMP), `resets` (instance, SEQUENCE, attendees), `since` (a UTC value), `groups` (the ids of the
groups that the object invites, by which the meetings of a group are found), `left_out` (instance, attendee) and
`former` (`homes` and `addresses` of `server.services.scheduling.former_organizers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.domain.values import value
from server.itip.change import InvitedGroups
from server.itip.messages import Answered, Reset
from server.itip.reception import Memory, Rows, Version, memory_of
from server.itip.scheduling_object import SchedulingObject
from server.services.scheduling.former_organizers import NOBODY, FormerOrganizers

State = Mapping[str, Any]


@value
class Known:
    """What a home knows."""

    memory: Memory | None = None
    """Of an attendee; None: what the object says."""
    rows: Rows = Rows()
    """Of an organizer."""
    since: str = ""
    """Of an organizer: when they deleted a meeting, then when they made another one with its UID, as a UTC value
    (`20260105T100000Z`). Messages of before are about another meeting. Empty where there was none."""
    groups: InvitedGroups = InvitedGroups()
    """Of an organizer: the groups that the object invites, without statuses. Of an attendee: those through which an
    organizer elsewhere invites them."""
    former: FormerOrganizers = NOBODY
    """Of an organizer: who organized the meeting before it was handed over to them."""


def read(state: State | None) -> Known:
    """What a stored state says."""
    if state is None:
        return Known()
    memory = None
    if "versions" in state:
        versions = {instance: Version(*version) for instance, version in state.get("versions", {}).items()}
        removed, cancelled = frozenset(state.get("removed", ())), frozenset(state.get("cancelled", ()))
        memory = Memory(versions, removed, cancelled, state.get("answered", {}))
    answers = tuple(Answered(*answer) for answer in state.get("answers", ()))
    resets = tuple(
        Reset(instance, sequence, frozenset(attendees)) for instance, sequence, attendees in state.get("resets", ())
    )
    left_out = frozenset((instance, attendee) for instance, attendee in state.get("left_out", ()))
    groups = InvitedGroups(tuple(state.get("groups", ())), left_out)
    former = state.get("former", {})
    organized = FormerOrganizers(tuple(former.get("homes", ())), tuple(former.get("addresses", ())))
    return Known(memory, Rows(answers, resets), state.get("since", ""), groups, organized)


def write(known: Known, stored: SchedulingObject | None) -> State | None:
    """The state to store beside an object; None where the object says it all."""
    state: dict[str, Any] = {}
    memory = known.memory
    if memory is not None and memory != memory_of(stored):
        state["versions"] = {
            instance: [version.sequence, version.dtstamp] for instance, version in memory.versions.items()
        }
        state["removed"] = sorted(memory.removed)
        state["cancelled"] = sorted(memory.cancelled)
        state["answered"] = dict(memory.answered)
    if known.rows.answers:
        state["answers"] = [[each.attendee, each.instance, each.sequence, each.dtstamp] for each in known.rows.answers]
    if known.rows.resets:
        state["resets"] = [[each.instance, each.sequence, sorted(each.attendees)] for each in known.rows.resets]
    if known.since:
        state["since"] = known.since
    if known.groups.ids:
        state["groups"] = list(known.groups.ids)
    if known.groups.left_out:
        state["left_out"] = sorted(map(list, known.groups.left_out))
    if known.former != NOBODY:
        state["former"] = {"homes": list(known.former.homes), "addresses": list(known.former.addresses)}
    return state or None
