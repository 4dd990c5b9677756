"""The job that mails an organizer a link to check in: a part of the change that books a room."""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.domain.changes import Put, Write
from server.domain.jobs import Job
from server.services.scheduling.room_policies import own_policy
from server.storage.mails import CHECK_IN_LINKS
from server.storage.scheduling import Mailbox

_NEW_NAME = re.compile(r"([0-9a-f]{32})\.ics")


def sends_links(mailbox: Mailbox) -> bool:
    """Whether the organizers of bookings of a recipient get links to check in."""
    policy = own_policy(mailbox)
    return policy is not None and policy.check_in == "link"


def link_jobs(mailbox: Mailbox, writes: Sequence[Write] = ()) -> tuple[Job, ...]:
    """The job about a booking in a room's calendar.

    :param writes: those of a delivery that makes it.
    """
    if mailbox.object is not None:
        return (Job(CHECK_IN_LINKS, {"home": mailbox.home.id, "object": mailbox.object.id}),)
    inbox = None if mailbox.inbox is None else mailbox.inbox.id
    for write in writes:
        made = _NEW_NAME.fullmatch(write.name) if isinstance(write, Put) and write.collection.id != inbox else None
        if made is not None:
            return (Job(CHECK_IN_LINKS, {"home": mailbox.home.id, "object": 0, "name": int(made[1], 16)}),)
    return ()


def new_name(number: int) -> str:
    """The name of a new event, from the payload."""
    return f"{number:032x}.ics"
