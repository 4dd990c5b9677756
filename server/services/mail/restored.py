"""Messages after a restore: people elsewhere may know of changes that the restored data do not have."""

from __future__ import annotations

from datetime import datetime

from server.domain.objects import Object
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import Directory
from server.itip.participants import all_attendees
from server.itip.scheduling_object import SchedulingObject
from server.storage import Storage

RAISED_BY = 999
"""By how much SEQUENCE is raised before the change itself raises it by one."""


async def after_restore(
    storage: Storage,
    restored_at: datetime | None,
    home_id: int,
    existing: Object,
    old: SchedulingObject,
    directory: Directory,
) -> SchedulingObject:
    """A stored meeting as its next change is planned from.

    SEQUENCE is higher where the meeting is older than the last restore, people elsewhere are invited, and no mail about
    it has been stored since: their calendars ignore messages with a lower one than they have.
    """
    if restored_at is None or existing.role is not SchedulingRole.ORGANIZER or existing.created_at >= restored_at:
        return old
    elsewhere = (each for each in all_attendees(old, directory).values() if not each.is_here and each.has_mail_address)
    if next(elsewhere, None) is None or await storage.mailed_since(home_id, old.uid, restored_at):
        return old
    return old.map_components(lambda each: each.with_value("SEQUENCE", str(each.sequence + RAISED_BY)))
