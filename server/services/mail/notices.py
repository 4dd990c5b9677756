"""Notices of invitations to delegates: one job finds out who gets one, and stores a job for each of them.

Nobody is sent what they may not read: both jobs ask again who the delegates are and what the owner wants. A notice is
about the item in the owner's inbox; if that is gone, the owner or a delegate has dealt with it, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from prometheus_client import CollectorRegistry

from server.auth import policy
from server.domain.actors import Actor
from server.domain.changes import Cause, ChangeSet
from server.domain.errors import AccessDenied, InvalidData, MailDelayed, MailRefused, SignInRequired, TooManyInstances
from server.domain.jobs import Job
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.principals import Principal
from server.domain.privileges import Privilege
from server.imip.addresses import own_address
from server.imip.composing import Person
from server.imip.notice import Notice, compose_notice
from server.imip.tags import Tags
from server.itip.calendar_users import addresses
from server.itip.messages import Method
from server.itip.scheduling_object import read_object
from server.observe.mail_counts import MailCounts
from server.process.computing import computed
from server.services.lookup import Found, Lookup
from server.services.mail.invitations_to import notices_of
from server.services.mail.sending import TRIED_FOR
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail, Transport
from server.services.objects import write_limits
from server.services.scheduling.calendar_users import directory_of
from server.storage import Storage
from server.storage.access import Access
from server.storage.mails import NOTICE, MailLimits

MAX_NOTICES = 50
"""People who get a notice of one item."""
_NOT_A_MAIL = 1 << 64
"""Added to the id of an item, so that no Message-ID of a notice is that of a mail, which has the id of a job."""

log = structlog.get_logger()


class Notices:
    """The handlers of these jobs."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        limits: Limits,
        settings: MailSettings,
        transport: Transport,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        counts: MailCounts | None = None,
    ) -> None:
        self._counts = counts or MailCounts(CollectorRegistry())
        self._storage, self._access, self._limits = storage, access, write_limits(limits)
        self._settings, self._transport, self._now = settings, transport, now
        self._lookup = Lookup(storage)

    async def plan(self, principal_id: int, item: int) -> int:
        """Store a job for each person who gets a notice of an item. Returns their number."""
        found = await self._item(principal_id, principal_id, item)
        if found is None:
            return 0
        people = {
            each.principal.id: each.principal for each in (await self._access.delegates([principal_id]))[principal_id]
        }
        groups = [each.id for each in people.values() if each.kind == "group"]
        for members in (await self._access.all_members_of(groups)).values() if groups else ():
            people |= {each.id: each for each in members}
        wanted = [id_ for id_, each in people.items() if each.kind == "individual" and id_ != principal_id]
        if _wish(found) == "both":
            wanted.append(principal_id)
        jobs = tuple(
            Job(NOTICE, {"principal": principal_id, "item": item, "recipient": each}) for each in wanted[:MAX_NOTICES]
        )
        if jobs:
            await self._storage.apply(ChangeSet((), self._limits, Cause(None, "jobs"), jobs=jobs))
        return len(jobs)

    async def send(self, principal_id: int, item: int, recipient_id: int) -> bool:
        """Send a notice of an item to one person. Returns whether it was sent.

        Raises `MailDelayed`: it is to be tried again later.
        """
        found = await self._item(principal_id, recipient_id, item)
        if found is None or found.object is None or found.owner is None or found.viewer is None or found.home is None:
            return False
        address = own_address(_mails(found.viewer))
        if address is None or not self._settings.allows(address):
            return False
        place = found.home.id, found.object.id, recipient_id
        limits = MailLimits(self._settings.recipients_per_hour, self._settings.recipients_per_day)
        begun = await self._storage.begin_notice(*place, limits)
        if begun == "limited":
            self._counts.count("limited")
            log.error("mail_limit_reached", home=found.home.id, recipient=recipient_id)
        if begun != "begun":
            return False
        try:
            message = await self._composed(found, found.owner, Person(address, found.viewer.display_name), item)
            sent = message is not None
            if message is not None:
                await self._transport.send(message)
        except (InvalidData, TooManyInstances) as error:
            self._counts.count("invalid")
            log.error("notice_not_composed", principal=principal_id, error=type(error).__name__)
            sent = False
        except MailRefused:
            self._counts.count("refused")
            log.warning("notice_refused", principal=principal_id, recipient=recipient_id)
            sent = False
        except MailDelayed:
            if self._now() - found.object.created_at < TRIED_FOR:
                self._counts.count("delayed")
                raise
            self._counts.count("given_up")
            log.error("notice_given_up", principal=principal_id, recipient=recipient_id)
            sent = False
        await self._storage.end_notice(*place, sent=sent)
        if sent:
            self._counts.count("sent")
            log.info("notice_sent", principal=principal_id, recipient=recipient_id)
        return sent

    async def _item(self, principal_id: int, viewer_id: int, item: int) -> Found | None:
        """An item of an inbox as somebody sees it who gets notices of it; None if it is gone, or they do not."""
        owner = (await self._lookup.resolve(principal_id, None, text=False)).viewer
        if owner is None:
            return None
        target = Target(owner.uid, "uid", "calendar", "inbox", f"{item:032x}.ics")
        known = await self._lookup.resolve(viewer_id, target, text=True)
        if known.viewer is None:
            return None
        try:
            found = await self._lookup.find(Actor(known.viewer, "jobs"), target, Privilege.READ, known=known)
            found.require(Privilege.READ)
        except (AccessDenied, SignInRequired):
            return None
        wish = _wish(found)
        if viewer_id != principal_id:
            wanted = wish != "owner" and policy.acts_for(found.viewer, owner, found.grants)
        else:
            wanted = wish != "owner"
        return found if wanted and found.object is not None else None

    async def _composed(self, found: Found, owner: Principal, to: Person, item: int) -> Mail | None:
        """The notice; None where there is no address to send it from."""
        assert found.object is not None
        assert found.viewer is not None
        own = own_address(_mails(owner))
        sender = self._settings.address or own
        if sender is None:
            return None
        value = read_object(found.object.text or "")
        mailboxes = await self._storage.mailboxes(owner.id, [owner.id], value.uid)
        timezone = next((each.timezone for box in mailboxes for each in box.calendars if each.timezone), None)
        tags = Tags(await self._storage.mail_secret(), sender)
        name = f"{found.viewer.id}-{item:032x}"
        notice = Notice(
            method=Method(value.method),
            message=value,
            directory=await directory_of(self._storage, addresses(value)),
            owner=owner.display_name or owner.name,
            sender=Person(sender, owner.display_name if sender == own else ""),
            recipient=to,
            message_id=tags.message_id(found.viewer.id, _NOT_A_MAIL + found.object.id),
            sent_at=found.object.created_at.astimezone(UTC),
            language=self._settings.language,
            timezone=timezone,
        )
        international = not f"{sender}{to.address}".isascii()
        return Mail(name, sender, to.address, await computed(compose_notice, notice), international)


def _wish(found: Found) -> str:
    if found.home is None or found.object is None:
        return "owner"
    return notices_of(found.home.properties, found.object.properties)


def _mails(principal: Principal) -> list[str]:
    return [f"mailto:{each}" for each in principal.emails]
