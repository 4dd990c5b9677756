"""What happens to bookings whose time others have, since something else than a booking has moved them: new zone data,
another time zone of the room, longer buffers, or the stored part of an endless series that grows.

The older booking keeps the time. The room declines the instances of the other one, as its owner would: the organizer
gets a REPLY, and the room is free for others there.
"""

from __future__ import annotations

from server.domain.actors import Actor
from server.domain.errors import NotFound
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.itip.calendar_users import CalendarUser, Directory, addresses
from server.itip.instances import derived
from server.itip.participants import DECLINED, map_attendee
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.permissions import member_of
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.planned import owner_of
from server.services.scheduling.sent import Sent

CLASHES = "rooms.clash"
"""Kind of the jobs; the SQL function `koyomi_tell_of_clash_1` asks for them."""
_ACTOR = Actor(None, "jobs")


class Clashes:
    """Declines what has no time in a room any more."""

    def __init__(self, scheduling: Scheduling) -> None:
        self._scheduling = scheduling
        self._storage = scheduling.storage

    async def decline(self, home_id: int, object_id: int) -> bool:
        """Decline the instances of an event of a room's calendar that have no reservation. False if there are none, or
        if the event is no meeting: then it stays, and `koyomi db check` lists it."""
        unplaced = await self._storage.unplaced(home_id, object_id)
        if unplaced is None:
            return False

        async def read() -> Found:
            assert unplaced is not None
            return await Lookup(self._storage).find(_ACTOR, unplaced.target, Privilege.WRITE_CONTENT, text=True)

        async def decide(found: Found) -> bool:
            assert unplaced is not None
            if found.object is None or found.object.role is not SchedulingRole.ATTENDEE:
                return False
            stored = read_object(member_of(found).text or "")
            directory = await directory_of(self._storage, addresses(stored) | {address_of(owner_of(found))})
            user = directory.user(address_of(owner_of(found)))
            declined = with_declined(stored, unplaced.instances, user, directory)
            await self._scheduling.put(_ACTOR, found, declined.text.encode(), Sent())
            return True

        try:
            return await change(read, decide)
        except NotFound:
            return False


def with_declined(
    copy: SchedulingObject, instances: frozenset[str], user: CalendarUser, directory: Directory
) -> SchedulingObject:
    """An attendee's copy in which they decline some instances."""
    declined = copy
    for instance in sorted(instances):
        component = copy.by_instance.get(instance) or derived(copy, instance)
        if component is None and instance == MASTER:
            component = copy.components[0]
        if component is not None:
            declined = declined.with_component(declined_by(component, user, directory))
    return declined


def declined_by(component: SchedulingComponent, user: CalendarUser, directory: Directory) -> SchedulingComponent:
    """A component that an attendee declines."""
    answered = map_attendee(
        component, user, directory, lambda line: line.with_parameters({"PARTSTAT": DECLINED, "RSVP": None})
    )
    return answered.with_value("TRANSP", "TRANSPARENT")
