"""Messages after a restore: people elsewhere may know of changes that the restored data do not have."""

from __future__ import annotations

from datetime import datetime

from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory
from server.itip.participants import all_attendees
from server.itip.planning import scheduling_role
from server.itip.scheduling_object import SchedulingObject
from server.services.mail.outgoing import OutgoingMails
from server.storage import Storage

RAISED_BY = 999
"""By how much SEQUENCE is raised before the change itself raises it by one."""


async def after_restore(
    storage: Storage,
    mails: OutgoingMails,
    home_id: int,
    owner: CalendarUser,
    created_at: datetime | None,
    value: SchedulingObject,
    directory: Directory,
) -> SchedulingObject:
    """A stored meeting as its next change is planned from.

    SEQUENCE is higher where the meeting is older than the last restore, people elsewhere are invited, and no mail about
    it has been stored since: their calendars ignore messages with a lower one than they have.

    :param owner: the owner of this home, in the directory.
    :param created_at: when the object was made; None: before the restore, if there was one.
    """
    restored_at = mails.restored_at
    if restored_at is None or (created_at is not None and created_at >= restored_at):
        return value
    if scheduling_role(value, owner, directory) is not SchedulingRole.ORGANIZER:
        return value
    attendees = all_attendees(value, directory).values()
    if not any(not each.is_here and each.has_mail_address for each in attendees):
        return value
    if await storage.mailed_since(home_id, value.uid, restored_at):
        return value
    return value.map_components(lambda each: each.with_value("SEQUENCE", str(each.sequence + RAISED_BY)))
