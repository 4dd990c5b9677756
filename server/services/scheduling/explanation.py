"""Who got what of a meeting, when, and why not: from what is stored of its UID in all homes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import Directory
from server.itip.participants import all_attendees, attendee_line, organizer, partstat
from server.itip.reception import DELIVERED, PENDING, UID_TAKEN
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.mail.outgoing import NO_WAY, SENT
from server.services.scheduling import dispatches
from server.services.scheduling.dispatches import TRIED_FOR, principal_key
from server.services.scheduling.letters import NO_AUTHORITY, NO_CALENDAR_USER, NOT_DELIVERED
from server.storage.scheduling import Dispatch, MeetingCopy

REASONS = {
    PENDING: "a job delivers it",
    SENT: "a mail server took the mail",
    DELIVERED: "delivered",
    "2.0": "has answered",
    NO_CALENDAR_USER: "nobody here has the address",
    NO_AUTHORITY: "takes no such messages from the sender",
    NOT_DELIVERED: "their home has no room, or no calendar",
    NO_WAY: "no mail may go there, or be sent in the organizer's name",
    UID_TAKEN: "has something else with this UID, or their calendar does not take it",
}
"""What values of SCHEDULE-STATUS mean (RFC 6638 §3.2.9)."""


@dataclass(frozen=True, slots=True)
class Participant:
    """What one of those whom the organizer's object names has got."""

    address: str
    status: str
    """SCHEDULE-STATUS in the organizer's object; empty where it says nothing."""
    reason: str
    """Why they have it, or not."""
    partstat: str
    """Their answer, as the organizer's object has it."""
    copy: str | None = None
    """Collection and name of their object."""
    changed_at: datetime | None = None
    sequence: int | None = None
    """SEQUENCE of their object."""
    own_partstat: str | None = None
    """Their answer, as their object has it."""
    items: tuple[tuple[str, datetime], ...] = ()
    """METHOD and time of the messages in their inbox."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A meeting as its organizer has it."""

    organizer: str
    place: str
    """Collection and name of the organizer's object."""
    changed_at: datetime
    sequence: int
    participants: tuple[Participant, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery by jobs."""

    sender: str
    methods: tuple[str, ...]
    recipient: str
    status: str
    sent_at: datetime
    tried_at: datetime | None
    tries: int
    reason: str


def meetings(copies: Sequence[MeetingCopy], directory: Directory) -> list[Meeting]:
    """The meetings of a UID; `directory` knows all addresses in the copies."""
    found = []
    for each in copies:
        if each.role is SchedulingRole.ORGANIZER:
            value = read_object(each.text)
            people = all_attendees(value, directory)
            own = organizer(value, directory)
            participants = tuple(
                _participant(key, value, copies, directory) for key in people if own is None or key != own.key
            )
            place = f"{each.collection}/{each.name}"
            found.append(Meeting(each.owner.name, place, each.modified_at, value.sequence, participants))
    return found


def deliveries(sent: Sequence[Dispatch]) -> list[Delivery]:
    """What jobs deliver, or have delivered."""
    found = []
    for dispatch in sent:
        sending = dispatches.read(dispatch)
        for each in sending.recipients:
            tried_at = None if each.at is None else datetime.fromisoformat(each.at)
            reason = REASONS.get(each.status, "")
            if each.status == NOT_DELIVERED:
                reason += f"; it is tried again until {sending.at + TRIED_FOR:%Y-%m-%d %H:%M:%S}"
            methods = tuple(str(sending.messages[index][0]) for index in each.messages)
            place = dispatch.sender.name, methods, each.address, each.status
            found.append(Delivery(*place, sending.at, tried_at, each.tries, reason))
    return found


def _participant(key: str, value: SchedulingObject, copies: Sequence[MeetingCopy], directory: Directory) -> Participant:
    lines = [
        line for component in value.components for line in component.all("ATTENDEE") if directory.key(line.value) == key
    ]
    status = next((code for line in lines for code in line.params.get("SCHEDULE-STATUS", ())), "")
    reason = REASONS.get(status, "")
    if status in (PENDING, NOT_DELIVERED) and not directory.user(lines[0].value).is_here:
        reason = "a job sends a mail" if status == PENDING else "the mail was not taken, or came back"
    theirs = [each for each in copies if principal_key(each.owner.id) == key]
    items = tuple((_method(each.text), each.modified_at) for each in theirs if each.role is SchedulingRole.INBOX)
    said = Participant(lines[0].value, status, reason, partstat(lines[0]), items=items)
    held = next((each for each in theirs if each.role is SchedulingRole.ATTENDEE), None)
    if held is None:
        return said
    copy, user = read_object(held.text), directory.user(lines[0].value)
    found = [attendee_line(component, user, directory) for component in copy.components]
    own = next((line for line in found if line is not None), None)
    return Participant(
        said.address,
        status,
        reason,
        said.partstat,
        f"{held.collection}/{held.name}",
        held.modified_at,
        copy.sequence,
        None if own is None else partstat(own),
        items,
    )


def _method(text: str) -> str:
    found = re.search(r"^METHOD:(\S+)", text, re.MULTILINE | re.IGNORECASE)
    return "" if found is None else found[1].upper()
