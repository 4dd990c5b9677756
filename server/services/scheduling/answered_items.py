"""What lies in the inbox of a room about a meeting leaves it when nothing of the meeting waits for an answer any more.

Nobody reads the inbox of a room but delegates, who look there for what waits for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.changes import Delete
from server.itip.answering import waits
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.scheduling_object import SchedulingObject
from server.services.scheduling.room_policies import ROOMS
from server.storage import Storage
from server.storage.scheduling import Mailbox


def is_settled(mailbox: Mailbox, copy: SchedulingObject | None, user: CalendarUser, directory: Directory) -> bool:
    """Whether a recipient is a room, and nothing of a meeting waits for its answer.

    :param copy: the room's; None without one.
    """
    return mailbox.kind in ROOMS and (copy is None or not waits(copy, user, directory))


async def item_deletions(storage: Storage, mailbox: Mailbox, uid: str) -> Sequence[Delete]:
    """The deletions of the items of an inbox about a UID. An empty inbox costs no statement."""
    inbox = mailbox.inbox
    if inbox is None or not inbox.member_count:
        return ()
    return [Delete(inbox, name, state) for name, state in await storage.inbox_items(inbox, uid)]
