"""What happens to bookings whose time others have, since something else than a booking has moved them: new zone data,
another time zone of the room, longer buffers, or the stored part of an endless series that grows.

The other booking keeps the time. The room declines the instances of the one without time, as its owner would: the
organizer gets a REPLY that says who has the time, and the room is free for others there. The organizer of the booking
that stays gets its answer again, with a COMMENT about the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from server.booking.deciding import Reason
from server.booking.free_time import Period
from server.calendar.contentline import escape_text
from server.calendar.zones import Zone
from server.domain.actors import Actor
from server.domain.errors import NotFound
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.domain.values import value
from server.imip.catalogue import CATALOGUE
from server.imip.catalogue.room_answers import ROOM_TEXTS, RoomTexts
from server.imip.description import period_in_words
from server.itip.calendar_users import CalendarUser, Directory, addresses
from server.itip.change import utc_stamp
from server.itip.instances import derived
from server.itip.participants import DECLINED, map_attendee
from server.itip.restated_answers import restated
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.permissions import member_of
from server.services.scheduling.calendar_users import address_of, directory_of
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.planned import owner_of
from server.services.scheduling.room_policies import own_policy, zone_for
from server.services.scheduling.sent import Sent
from server.services.scheduling.single_messages import Post, post
from server.storage.reservations import Clash, Unplaced

CLASHES = "rooms.clash"
"""Kind of the jobs; the SQL function `koyomi_tell_of_clash_1` asks for them."""
MAX_TOLD = 50
"""Bookings that stay whose organizers are told, and instances of each of them that they are told of."""
_ACTOR = Actor(None, "jobs")


@value
class _Copy:
    """An event in a room's calendar, which is a meeting."""

    found: Found
    object: SchedulingObject
    room: CalendarUser
    directory: Directory
    zone: Zone
    explains: bool
    """Whether the room says why it declines."""


class Clashes:
    """Declines what has no time in a room any more."""

    def __init__(self, scheduling: Scheduling, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._scheduling = scheduling
        self._storage = scheduling.storage
        self._now = now

    async def decline(self, home_id: int, object_id: int) -> bool:
        """Decline the instances of an event of a room's calendar that have no reservation, and tell those who have the
        times. False if there are none, or if the event is no meeting: then it stays, and `koyomi db check` lists it.

        A run that was broken off is made again. Then it may tell those who have the times twice.
        """
        unplaced = await self._storage.unplaced(home_id, object_id)
        if unplaced is None or await self._read(unplaced.target) is None:
            return False
        for target in dict.fromkeys(each.kept for each in unplaced.clashes[:MAX_TOLD]):
            await self._tell(target, [each for each in unplaced.clashes if each.kept == target][:MAX_TOLD])

        async def decide(copy: _Copy | None) -> bool:
            if copy is None:
                return False
            comments = self._reasons(copy, unplaced) if copy.explains else {}
            declined = with_declined(copy.object, unplaced.instances, copy.room, copy.directory, comments)
            await self._scheduling.put(_ACTOR, copy.found, declined.text.encode(), Sent())
            return True

        return await change(lambda: self._read(unplaced.target), decide)

    async def _tell(self, target: Target, clashes: list[Clash]) -> None:
        """Tell the organizer of a booking that stays of others that had come to its times."""

        async def decide(copy: _Copy | None) -> None:
            if copy is None:
                return
            comments: dict[str, str] = {}
            for each in clashes:
                said = self._texts.kept.format(when=self._when(each.time, copy.zone))
                comments[each.kept_instance] = " ".join(filter(None, (comments.get(each.kept_instance), said)))
            now = self._now()
            message = restated(copy.object, comments, copy.room, copy.directory, utc_stamp(now))
            if message is not None:
                sent = Post(message, owner_of(copy.found), copy.directory, now)
                await post(self._scheduling, _ACTOR.cause, sent)

        await change(lambda: self._read(target), decide)

    async def _read(self, target: Target) -> _Copy | None:
        """None if the event is gone, or no meeting."""
        try:
            found = await Lookup(self._storage).find(_ACTOR, target, Privilege.WRITE_CONTENT, text=True)
        except NotFound:
            return None
        if found.object is None or found.object.role is not SchedulingRole.ATTENDEE:
            return None
        owner, stored = owner_of(found), read_object(member_of(found).text or "")
        directory = await directory_of(self._storage, addresses(stored) | {address_of(owner)})
        (mailbox,) = await self._storage.mailboxes(owner.id, [owner.id], stored.uid)
        policy = own_policy(mailbox)
        return _Copy(
            found=found,
            object=stored,
            room=directory.user(address_of(owner)),
            directory=directory,
            zone=await zone_for(mailbox),
            explains=policy is None or policy.response_details,
        )

    def _reasons(self, copy: _Copy, unplaced: Unplaced) -> dict[str, str]:
        """COMMENT of the instances that are declined: the first of the times that others have."""
        first = {each.instance: each.kept_time for each in reversed(unplaced.clashes)}
        busy = self._texts.reasons[Reason.BUSY]
        return {instance: busy.format(when=self._when(time, copy.zone)) for instance, time in first.items()}

    @property
    def _texts(self) -> RoomTexts:
        return ROOM_TEXTS[self._scheduling.mails.language]

    def _when(self, time: Period, zone: Zone) -> str:
        return period_in_words(CATALOGUE[self._scheduling.mails.language], *time, zone)


def with_declined(
    copy: SchedulingObject,
    instances: frozenset[str],
    user: CalendarUser,
    directory: Directory,
    comments: Mapping[str, str],
) -> SchedulingObject:
    """An attendee's copy in which they decline some instances.

    :param comments: COMMENT by instance.
    """
    declined = copy
    for instance in sorted(instances):
        component = derived(copy, instance)
        if component is None and instance == MASTER:
            component = copy.components[0]
        if component is not None:
            answered = declined_by(component, user, directory).without("COMMENT")
            said = comments.get(instance)
            declined = declined.with_component(
                answered if said is None else answered.with_value("COMMENT", escape_text(said))
            )
    return declined


def declined_by(component: SchedulingComponent, user: CalendarUser, directory: Directory) -> SchedulingComponent:
    """A component that an attendee declines."""
    answered = map_attendee(
        component, user, directory, lambda line: line.with_parameters({"PARTSTAT": DECLINED, "RSVP": None})
    )
    return answered.with_value("TRANSP", "TRANSPARENT")
