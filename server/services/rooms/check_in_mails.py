"""Mails to the organizers of bookings: a link to check in at booking, and that a booking was released.

A mail may be sent twice if a worker dies after it was handed over; both have the same Message-ID.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import CollectorRegistry

from server.calendar.iana import iana_zone
from server.calendar.zones import UTC_ZONE
from server.domain.actors import Actor
from server.domain.errors import InvalidData, MailRefused, NotFound
from server.domain.privileges import Privilege
from server.imip.addresses import mail_address, own_address
from server.imip.check_in_links import CheckInLink, token_of
from server.imip.check_in_mail import CheckInMail, compose_check_in_mail
from server.imip.composing import Person
from server.imip.tags import Tags
from server.itip.scheduling_object import SchedulingObject, read_object
from server.observe.mail_counts import MailCounts
from server.process.computing import computed
from server.services.lookup import Lookup
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail, Transport
from server.services.rooms.settings import RoomSettings
from server.services.scheduling.calendar_users import addressed
from server.services.scheduling.check_in_links import new_name
from server.services.scheduling.room_policies import policy_of
from server.storage import Storage
from server.storage.check_ins import BookedObject

CHECK_IN_PATH = "check-in"
"""The first segment of the paths of links."""
_NOT_A_MAIL = 2 << 64
"""Added to the id of a job, so that no Message-ID is that of another mail (`server.services.mail.notices`)."""
_ACTOR = Actor(None, "jobs")

log = structlog.get_logger()


class CheckInMails:
    """The handlers of the jobs."""

    def __init__(
        self,
        storage: Storage,
        mail: MailSettings,
        rooms: RoomSettings,
        external_url: str,
        transport: Transport,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        counts: MailCounts | None = None,
    ) -> None:
        """`external_url` is that of the server; without one there are no links."""
        self._storage, self._mail, self._transport, self._now = storage, mail, transport, now
        self._url, self._counts = external_url.rstrip("/"), counts or MailCounts(CollectorRegistry())
        self._opens = timedelta(minutes=rooms.check_in_opens_minutes)
        self._grace = timedelta(minutes=rooms.check_in_minutes)

    async def send_link(self, home_id: int, object_id: int, name: int, job_id: int) -> bool:
        """Send the organizer of a booking a link, unless they have one that is valid to its end. Returns whether it was
        sent.

        :param name: of the booking, if its id is 0.

        Raises `MailDelayed`: it is to be tried again later.
        """
        place = await self._storage.booked_object(home_id, object_id=object_id, name=new_name(name))
        if place is None or place.last_end is None or place.last_end <= self._now() or not self._url:
            return False
        if place.link_expires_at is not None and place.link_expires_at >= place.last_end:
            return False
        expires_at = place.last_end.replace(microsecond=0) + timedelta(seconds=1)
        token = token_of(CheckInLink(place.home_id, place.object_id, expires_at), await self._storage.mail_secret())
        sent = await self._send(place, job_id, None, f"{self._url}/{CHECK_IN_PATH}/{token}")
        if sent:
            await self._storage.link_sent(place.home_id, place.object_id, self._now(), expires_at)
        return sent

    async def tell_released(self, home_id: int, object_id: int, start: int, end: int, job_id: int) -> bool:
        """Tell the organizer of a booking that the room was released. Returns whether a mail was sent.

        :param start: of the instance, `end`: both in seconds since 1970.

        Raises `MailDelayed`: it is to be tried again later.
        """
        place = await self._storage.booked_object(home_id, object_id=object_id)
        if place is None:
            return False
        times = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        return await self._send(place, job_id, times, None)

    async def _send(
        self, place: BookedObject, job_id: int, times: tuple[datetime, datetime] | None, link: str | None
    ) -> bool:
        room = (await self._storage.rooms([place.principal_id])).get(place.principal_id)
        principal = (await self._storage.resolve(place.principal_id, None)).viewer
        policy = None if room is None else policy_of(room)
        copy = await self._copy(place)
        if room is None or principal is None or policy is None or copy is None:
            return False
        if link is not None and policy.check_in != "link":
            return False
        recipient = await self._organizer(copy)
        own = own_address([f"mailto:{each}" for each in principal.emails])
        address = self._mail.address or own
        if recipient is None or address is None:
            log.warning("check_in_mail_without_address", home=place.home_id, object=place.object_id)
            return False
        if times is None and (copy.series is None or not copy.series.recurs):
            bookings = await self._storage.bookings_to_check_in(
                place.principal_id, self._now(), place.last_end or self._now(), object_id=place.object_id
            )
            times = (bookings[0].id.start, bookings[0].id.end) if bookings else None
        sender = Person(address, principal.display_name or principal.name)
        secret = await self._storage.mail_secret()
        mail = CheckInMail(
            copy=copy,
            room=principal.display_name or principal.name,
            times=times,
            zone=(iana_zone(room.time_zone) if room.time_zone else None) or UTC_ZONE,
            link=link,
            opens=self._opens,
            grace=self._grace if policy.release_no_shows else None,
            sender=sender,
            recipient=recipient,
            message_id=Tags(secret, address).message_id(place.home_id, _NOT_A_MAIL + job_id),
            sent_at=self._now().astimezone(UTC),
            language=self._mail.language,
        )
        message = await computed(compose_check_in_mail, mail)
        international = not f"{address}{recipient.address}".isascii()
        try:
            await self._transport.send(
                Mail(f"check-in-{place.home_id}-{job_id}", address, recipient.address, message, international)
            )
        except MailRefused:
            self._counts.count("refused")
            log.warning("check_in_mail_refused", home=place.home_id, object=place.object_id)
            return False
        self._counts.count("sent")
        return True

    async def _copy(self, place: BookedObject) -> SchedulingObject | None:
        try:
            found = await Lookup(self._storage).find(_ACTOR, place.target, Privilege.READ, text=True)
            return None if found.object is None else read_object(found.object.text or "")
        except (NotFound, InvalidData):
            return None

    async def _organizer(self, copy: SchedulingObject) -> Person | None:
        """The organizer, with an address to which mails may go."""
        line = copy.components[0].first("ORGANIZER")
        if line is None:
            return None
        known = await addressed(self._storage, [line.value.strip()])
        if known:
            name = known[0].principal.display_name
            address = own_address([f"mailto:{email}" for email in known[0].principal.emails])
        else:
            name, address = "", mail_address(line.value)
        return Person(address, name) if address is not None and self._mail.allows(address) else None
