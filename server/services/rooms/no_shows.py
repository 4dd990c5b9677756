"""Releases bookings of rooms that nobody checks in.

Each release takes these steps, and a run that was broken off is completed by the next one: the booking becomes a
no-show, with the job that tells the organizer; the room leaves a series that was missed too often; the room's copy ends
now. The organizer keeps the meeting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from server.booking.no_shows import is_released, leaves_series
from server.booking.policy import Policy
from server.calendar.contentline import escape_text
from server.domain.actors import Actor
from server.domain.errors import KoyomiError, NotFound
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.domain.scheduling import SchedulingRole
from server.imip.catalogue import Language
from server.imip.catalogue.check_ins import CHECK_IN_TEXTS
from server.itip.calendar_users import CalendarUser, Directory, addresses
from server.itip.instances import derived
from server.itip.participants import DECLINED, attendee_line, partstat
from server.itip.room_releases import released
from server.itip.scheduling_component import MASTER
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.changing import change
from server.services.lookup import Found, Lookup
from server.services.permissions import member_of
from server.services.rooms.clashes import declined_by
from server.services.rooms.settings import RoomSettings
from server.services.scheduling.calendar_users import address_of, addressed, directory_of
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.planned import owner_of
from server.services.scheduling.room_policies import matches, policy_of
from server.services.scheduling.sent import Sent
from server.storage.check_ins import RoomBooking

NO_SHOWS = "rooms.no_shows"
"""Kind of the job that releases what is due."""
_PAGE = 500
_KEPT_FOR, _MOST_KEPT = timedelta(days=400), 200
"""How old the instances may be that stay accepted when the room leaves a series, as in the longest report, and how
many: the latest ones."""
_ACTOR = Actor(None, "jobs")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Read:
    """A booking as its room has it."""

    found: Found
    copy: SchedulingObject
    directory: Directory
    user: CalendarUser
    """The room."""


class NoShows:
    """The handler of the job."""

    def __init__(
        self,
        scheduling: Scheduling,
        settings: RoomSettings,
        language: Language = "en",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._scheduling, self._storage, self._now = scheduling, scheduling.storage, now
        self._grace, self._texts = timedelta(minutes=settings.check_in_minutes), CHECK_IN_TEXTS[language]

    async def release_due(self) -> int:
        """Release all bookings that are due. Returns their number.

        One that fails delays no other: it is due at the next run as well.
        """
        count, after = 0, (0, 0, "")
        while page := await self._storage.running_bookings(self._now(), after=after, limit=_PAGE):
            rooms = await self._storage.rooms(list({each.principal_id for each in page}))
            for booking in page:
                room = rooms.get(booking.principal_id)
                policy = None if room is None else policy_of(room)
                if policy is None:
                    continue
                try:
                    count += await self._release(booking, policy)
                except KoyomiError as error:
                    ids = {"home": booking.id.home_id, "object": booking.id.object_id}
                    log.error("no_show_not_released", **ids, error=type(error).__name__)
            last = page[-1].id
            after = last.home_id, last.object_id, last.instance
        return count

    async def _release(self, booking: RoomBooking, policy: Policy) -> bool:
        now, id_ = self._now(), booking.id
        place = await self._storage.booked_object(id_.home_id, object_id=id_.object_id)
        if place is None:
            return False
        if booking.state == "BOOKED" and not await self._is_due(booking, policy, place.target, now):
            return False
        if await self._storage.miss(id_, now) != "NO_SHOW":
            return False
        misses = await self._storage.misses_in_a_row(id_.home_id, id_.object_id)
        if leaves_series(policy, misses):
            await self._leave(booking, policy, place.target, misses)
        return await self._end(booking, place.target)

    async def _is_due(self, booking: RoomBooking, policy: Policy, target: Target, now: datetime) -> bool:
        id_ = booking.id
        if not is_released(policy, id_.start, id_.end, booking.reserved_at, self._grace, now):
            return False
        if policy.check_in == "link" and not _had_link(booking):
            return False
        read = await self._read(target)
        if read is None or released(read.copy, id_.instance, id_.start, id_.end, now) is None:
            return False
        return not await self._is_exempt(read.copy, policy)

    async def _is_exempt(self, copy: SchedulingObject, policy: Policy) -> bool:
        exempt = policy.no_show_exempt
        line = copy.components[0].first("ORGANIZER")
        if exempt.everyone or not exempt.names or line is None:
            return exempt.everyone
        organizer = await addressed(self._storage, [line.value.strip()])
        return bool(organizer) and bool(await matches(self._storage, exempt.names, organizer[0].principal))

    async def _read(self, target: Target) -> _Read | None:
        """None if the booking is gone, or no meeting."""
        try:
            found = await Lookup(self._storage).find(_ACTOR, target, Privilege.WRITE_CONTENT, text=True)
        except NotFound:
            return None
        if found.object is None or found.object.role is not SchedulingRole.ATTENDEE:
            return None
        copy = read_object(member_of(found).text or "")
        directory = await directory_of(self._storage, addresses(copy) | {address_of(owner_of(found))})
        return _Read(found, copy, directory, directory.user(address_of(owner_of(found))))

    async def _end(self, booking: RoomBooking, target: Target) -> bool:
        """Let the room's copy end now."""
        id_ = booking.id

        async def decide(read: _Read | None) -> bool:
            made = None if read is None else released(read.copy, id_.instance, id_.start, id_.end, self._now())
            if read is None or made is None:
                return False
            await self._scheduling.objects.put(_ACTOR, read.found, made.text.encode())
            log.info("no_show_released", home=id_.home_id, object=id_.object_id)
            return True

        return await change(lambda: self._read(target), decide)

    async def _leave(self, booking: RoomBooking, policy: Policy, target: Target, misses: int) -> None:
        """Decline a series; what has taken place, and the instance that was missed, stay."""
        id_ = booking.id
        earlier = await self._storage.bookings_to_check_in(
            booking.principal_id, id_.start - _KEPT_FOR, id_.start, object_id=id_.object_id
        )
        kept = [each.id.instance for each in earlier][-_MOST_KEPT:]
        said = self._texts.left_series.format(count=misses) if policy.response_details else ""
        comment = " ".join(each for each in (said, policy.additional_response) if each)

        async def decide(read: _Read | None) -> None:
            made = None if read is None else without_series(read.copy, kept, read.user, read.directory, comment)
            if read is not None and made is not None:
                await self._scheduling.put(_ACTOR, read.found, made.text.encode(), Sent())
                log.info("series_left_by_room", home=id_.home_id, object=id_.object_id)

        await change(lambda: self._read(target), decide)


def without_series(
    copy: SchedulingObject, kept: Sequence[str], user: CalendarUser, directory: Directory, comment: str
) -> SchedulingObject | None:
    """A room's copy in which it declines a series except some instances; None if it is no series, or is so already.

    :param comment: what the room says with it; empty: nothing.
    """
    master = copy.master
    line = None if master is None else attendee_line(master, user, directory)
    if master is None or line is None or copy.series is None or not copy.series.recurs or partstat(line) == DECLINED:
        return None
    made = copy
    for instance in kept:
        own = derived(copy, instance)
        if own is not None and instance != MASTER:
            made = made.with_component(own)
    left = [each for each in copy.components if each.instance not in kept or each.instance == MASTER]
    for component in left:
        declined = declined_by(component, user, directory)
        made = made.with_component(declined.with_value("COMMENT", escape_text(comment)) if comment else declined)
    return made


def _had_link(booking: RoomBooking) -> bool:
    """Whether the organizer had a link that was valid during the meeting, when it began."""
    sent, expires = booking.link_sent_at, booking.link_expires_at
    return sent is not None and expires is not None and sent <= booking.id.start and expires >= booking.id.end
