"""Whether what a request puts is a scheduling object of the calendar's owner (RFC 6638 §3.1)."""

from __future__ import annotations

from server.domain.contents import ObjectContent
from server.domain.scheduling import SchedulingRole
from server.services.lookup import Found
from server.services.permissions import collection_of
from server.storage import Storage


async def is_scheduled(storage: Storage, found: Found, content: ObjectContent) -> bool:
    """Whether a content that is put at the found name is a scheduling object, or takes the place of one.

    It is not beside the scheduling object of its UID in the home: then it is a plain copy.
    """
    if not _concerns_scheduling(found, content):
        return False
    if found.object is None or found.object.role is not SchedulingRole.NONE:
        return True
    return await storage.scheduling_object(collection_of(found), content.uid) is None


def role_of(found: Found) -> SchedulingRole:
    """The role of the found member; `NONE` of a name that is free."""
    return SchedulingRole.NONE if found.object is None else found.object.role


def _concerns_scheduling(found: Found, content: ObjectContent) -> bool:
    """Whether an object is a scheduling object before a put, or after it, as far as is known without a lookup.

    It is not where its only ORGANIZER is an e-mail address of somebody else and the owner does not attend: apps store
    such meetings of others when they import them. Other addresses may be none that can be used, or the owner's.
    """
    if collection_of(found).kind != "calendar":
        return False
    scheduling = content.scheduling
    if role_of(found) is not SchedulingRole.NONE or scheduling.role is not SchedulingRole.NONE:
        return True
    if scheduling.organizer is None:
        return False
    return not (scheduling.one_organizer and scheduling.organizer.startswith("mailto:"))
