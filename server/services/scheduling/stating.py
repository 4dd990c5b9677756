"""Writing into the sender's object what became of deliveries that had not ended when it was written."""

from __future__ import annotations

from collections.abc import Collection as Values
from collections.abc import Mapping
from dataclasses import replace

from server.domain.changes import Put
from server.domain.scheduling import SCHEDULING_OBJECTS
from server.itip.calendar_users import Directory
from server.itip.participants import with_schedule_statuses
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.objects import Objects
from server.storage.scheduling import Mailbox


async def stated(
    objects: Objects,
    mailbox: Mailbox | None,
    ended: Mapping[str, str],
    directory: Directory,
    replaced: Values[str],
) -> Put | None:
    """The write of the sender's object with SCHEDULE-STATUS of recipients, by their key; None where it says so, or is
    gone. Its Schedule-Tag stays.

    :param replaced: the statuses that may be replaced: a later answer or delivery has set another one.
    """
    if mailbox is None or mailbox.object is None or mailbox.collection is None:
        return None
    existing, collection = mailbox.object, mailbox.collection
    if existing.role not in SCHEDULING_OBJECTS:
        return None
    stored = read_object(existing.text or "")
    known = _statuses(stored, directory, replaced)
    statuses = {key: status for key, status in ended.items() if known.get(key, status) != status}
    if not statuses:
        return None
    with_statuses = with_schedule_statuses(stored, statuses, directory)
    content = await objects.content(collection, with_statuses.text.encode(), existing, mailbox.addresses)
    content = replace(content, schedule_tag=existing.schedule_tag)
    return await objects.put_of(collection, existing.name, content, existing)


def _statuses(value: SchedulingObject, directory: Directory, replaced: Values[str]) -> dict[str, str]:
    """SCHEDULE-STATUS by calendar user where it may be replaced."""
    found: dict[str, str] = {}
    for component in value.components:
        for line in component.lines:
            if line.name in ("ATTENDEE", "ORGANIZER"):
                status = line.parameter("SCHEDULE-STATUS") or ""
                if status in replaced:
                    found[directory.key(line.value)] = status
    return found
