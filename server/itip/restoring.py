"""What an attendee's copy is that was deleted and is restored: what the organizer's object says now."""

from __future__ import annotations

from datetime import datetime

from server.itip.calendar_users import CalendarUser, Directory
from server.itip.change import utc_stamp
from server.itip.messages import Message, Method
from server.itip.own_parts import with_own_parts
from server.itip.participants import organizer
from server.itip.refreshing import receive_refresh
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject


def restored_copy(
    deleted: SchedulingObject,
    present: SchedulingObject | None,
    owner: CalendarUser,
    directory: Directory,
    now: datetime,
) -> SchedulingObject | None:
    """The attendee's view of the organizer's present object, with alarms, TRANSP and private properties of the deleted
    copy. The answer is the one that the organizer has.

    None where the organizer has no such meeting, or does not invite the attendee to it any more.

    :param owner: the attendee.
    """
    to = organizer(deleted, directory)
    if to is None:
        return None
    refresh = Message(Method.REFRESH, owner, to, deleted)
    found = receive_refresh(refresh, present, directory, utc_stamp(now)).messages
    if not found:
        return None

    def own(component: SchedulingComponent) -> SchedulingComponent:
        before = deleted.by_instance.get(component.instance) or deleted.master
        return with_own_parts(component, before, owner, directory, answered_anew=True)

    return found[0].object.with_method(None).map_components(own)
