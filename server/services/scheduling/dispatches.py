"""Dispatches: the messages of one change that jobs deliver, as they are stored (`server.domain.changes.SetDispatch`).

The JSON object has the keys `at` (when the change was made), `new` (whether the sender's object was), `cause`,
`messages` (METHOD, whether it is quiet, text), `resets` (instance, SEQUENCE, attendees), `since`, `about`, `former`,
and `recipients`: a list of objects with `id` (of the principal), `address`, `messages` (their indexes), `status`
(SCHEDULE-STATUS), `at` (when it was last tried, or null) and `tries`. When all deliveries have ended, the texts are
removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from server.domain.changes import Cause, SetDispatch
from server.domain.jobs import Job
from server.domain.principals import Principal
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.messages import Message, Method, Reset
from server.itip.reception import PENDING
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.scheduling import memory
from server.services.scheduling.calendar_users import address_of
from server.services.scheduling.letters import NOT_DELIVERED
from server.storage.scheduling import Dispatch

TRIED_FOR = timedelta(hours=24)
"""How long a delivery that failed is tried again."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
"""Time until the first of these tries. Each further one comes after as long as the delivery has failed, at most
`LONGEST_PAUSE`."""

DELIVERIES = "deliveries"
"""Kind of the jobs that deliver what requests leave to them."""
REDELIVERIES = "redeliveries"
"""Kind of the jobs that try again to deliver."""
REFRESHES = "refreshes"
"""Kind of the jobs that refresh the copies of all attendees after answers."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient of a dispatch."""

    id: int
    """Of the principal."""
    address: str
    messages: tuple[int, ...]
    """Indexes of the messages, in the order in which they take effect."""
    status: str = PENDING
    """SCHEDULE-STATUS."""
    at: str | None = None
    """When a delivery was last tried; None: never."""
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Sending:
    """What a change sends by jobs."""

    at: datetime
    is_new: bool
    cause: Cause
    messages: tuple[tuple[Method, bool, str], ...]
    """METHOD, whether it is quiet, and the text."""
    resets: tuple[Reset, ...]
    recipients: tuple[Recipient, ...]
    since: str
    """As in `server.services.scheduling.memory.Known`."""
    about: str
    """As in `server.services.scheduling.delivery.Letter`."""
    former: str = ""
    """An address of the former organizer of a meeting that was handed over (`server.itip.handing_over`)."""

    @property
    def is_waiting(self) -> bool:
        """Whether there are recipients to whom a delivery is still to be tried."""
        return any(each.status == PENDING for each in self.recipients)

    def with_outcomes(self, outcomes: Mapping[int, str], now: datetime) -> Sending:
        """The same with the SCHEDULE-STATUS of deliveries, by the id of the recipient."""
        changed = tuple(
            replace(each, status=outcomes[each.id], at=now.isoformat(), tries=each.tries + 1)
            if each.id in outcomes
            else each
            for each in self.recipients
        )
        return replace(self, recipients=changed)


def meeting_of(organizer: CalendarUser, uid: str) -> int:
    """The number of a meeting, as `SetDispatch.meeting` has it."""
    digest = hashlib.sha256(f"{organizer.key}\n{uid}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def sending_of(
    messages: Mapping[str, Sequence[Message]],
    known: memory.Known,
    cause: Cause,
    at: datetime,
    statuses: Mapping[str, str],
    *,
    is_new: bool,
    about: str = "",
    former: str = "",
) -> Sending:
    """The messages to several recipients, by their key.

    `known` is what the sender's home knows afterwards; `statuses` are those of recipients to whom a delivery was tried,
    by their key. Recipients who are told the same share one text.
    """
    texts: dict[int, int] = {}
    shared: list[tuple[Method, bool, str]] = []
    recipients: list[Recipient] = []
    for key, sent in messages.items():
        indexes: list[int] = []
        for message in sent:
            index = texts.setdefault(id(message.object), len(shared))
            if index == len(shared):
                shared.append((message.method, message.quiet, message.text))
            indexes.append(index)
        to = sent[0].recipient
        assert to.principal_id is not None
        tried = statuses.get(key)
        recipient = Recipient(to.principal_id, stable_address(to), tuple(indexes))
        if tried is not None:
            recipient = replace(recipient, status=tried, at=at.isoformat(), tries=1)
        recipients.append(recipient)
    rows = known.rows.resets, tuple(recipients), known.since
    return Sending(at, is_new, cause, tuple(shared), *rows, about, former)


def read(dispatch: Dispatch) -> Sending:
    """What a stored dispatch says."""
    state = dispatch.state
    resets = (Reset(instance, sequence, frozenset(attendees)) for instance, sequence, attendees in state["resets"])
    return Sending(
        datetime.fromisoformat(state["at"]),
        state["new"],
        Cause(*state["cause"]),
        tuple((Method(method), quiet, text) for method, quiet, text in state["messages"]),
        tuple(resets),
        tuple(Recipient(**{**each, "messages": tuple(each["messages"])}) for each in state["recipients"]),
        state["since"],
        state["about"],
        state.get("former", ""),
    )


def new_dispatch(home_id: int, uid: str, meeting: int, sending: Sending) -> SetDispatch:
    """A dispatch to be stored."""
    failing = _is_failing(sending)
    return SetDispatch(home_id, uid, meeting, _written(sending), sending.is_waiting, failing)


def changed_dispatch(dispatch: Dispatch, sending: Sending, now: datetime) -> SetDispatch:
    """A dispatch after some deliveries. What has failed for `TRIED_FOR` is not tried again."""
    waiting = sending.is_waiting
    failing = _is_failing(sending) and now - sending.at < TRIED_FOR
    if not (waiting or failing):
        sending = replace(sending, messages=tuple((method, quiet, "") for method, quiet, _ in sending.messages))
    place = dispatch.home_id, dispatch.uid, dispatch.meeting
    return SetDispatch(*place, _written(sending), waiting, failing, dispatch.id, dispatch.version)


def jobs_of(dispatches: Sequence[SetDispatch], age: timedelta = timedelta(0)) -> tuple[Job, ...]:
    """The jobs that new or changed dispatches need. `age`: for how long deliveries have failed."""
    meetings = {each.meeting for each in dispatches if each.waiting}
    found = [Job(DELIVERIES, {"meeting": each}, f"meeting {each}", f"meeting {each}") for each in sorted(meetings)]
    pause = min(max(age, FIRST_PAUSE), LONGEST_PAUSE)
    for each in sorted({each.meeting for each in dispatches if each.failing}):
        key = f"redelivery {each}"
        found.append(Job(REDELIVERIES, {"meeting": each}, key, key, delay=pause))
    return tuple(found)


def refresh_job(home_id: int, object_id: int, delay: float) -> Job:
    """The job that refreshes the copies of the attendees of an organizer's object."""
    key = f"refresh {home_id} {object_id}"
    payload = {"home": home_id, "object": object_id}
    return Job(REFRESHES, payload, key, key, delay=timedelta(seconds=delay))


def objects_of(sending: Sending) -> tuple[SchedulingObject, ...]:
    """The objects of the messages."""
    return tuple(read_object(text) for _, _, text in sending.messages)


def messages_to(
    recipient: Recipient,
    sending: Sending,
    objects: Sequence[SchedulingObject],
    sender: Principal,
    directory: Directory,
) -> tuple[Message, ...]:
    """The messages of a dispatch to one recipient. `objects` are those that `objects_of` gives."""
    by, to = directory.user(address_of(sender)), directory.user(recipient.address)
    found = []
    for index in recipient.messages:
        method, quiet, _ = sending.messages[index]
        found.append(Message(method, by, to, objects[index], quiet))
    return tuple(found)


def principal_key(principal_id: int) -> str:
    """The key of a principal in every directory (`server.itip.calendar_users.here`)."""
    return f"principal:{principal_id}"


def stable_address(user: CalendarUser) -> str:
    """The address of somebody here that stays theirs."""
    return next((each for each in user.addresses if each.startswith("urn:x-uid:")), user.address)


def _is_failing(sending: Sending) -> bool:
    return any(each.status == NOT_DELIVERED for each in sending.recipients)


def _written(sending: Sending) -> Mapping[str, Any]:
    cause = sending.cause
    return {
        "at": sending.at.isoformat(),
        "new": sending.is_new,
        "cause": [cause.principal_id, cause.origin, cause.request_id, cause.acting_for, cause.trace],
        "messages": [list(each) for each in sending.messages],
        "since": sending.since,
        "about": sending.about,
        "former": sending.former,
        "resets": [[each.instance, each.sequence, sorted(each.attendees)] for each in sending.resets],
        "recipients": [
            {
                "id": each.id,
                "address": each.address,
                "messages": list(each.messages),
                "status": each.status,
                "at": each.at,
                "tries": each.tries,
            }
            for each in sending.recipients
        ],
    }
