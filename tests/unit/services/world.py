"""An installation in memory, and short ways to what a test of a service needs.

Paths are `OWNER/COLLECTION/OBJECT`; those of address books begin with `contacts:`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from server.domain.actors import Actor
from server.domain.changes import Cause
from server.domain.grants import ShareRights
from server.domain.limits import Limits
from server.domain.objects import Object, Target
from server.domain.principals import PrincipalKind
from server.domain.privileges import Privilege
from server.services.collections import Collections
from server.services.granting import Granting
from server.services.lookup import Found, Lookup
from server.services.mail.invitations_to import NOTICES
from server.services.mail.notices import Notices
from server.services.mail.outgoing import OutgoingMails
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail
from server.services.objects import Objects, Put
from server.services.principals.people import People
from server.services.reading import Reading
from server.services.rooms.check_in_mails import CheckInMails
from server.services.rooms.directory_book import DirectoryBook
from server.services.rooms.settings import RoomSettings
from server.services.scheduling.dispatches import DELIVERIES, REDELIVERIES, REFRESHES
from server.services.scheduling.dividing import LongSeries
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.long_series import SPLITS
from server.services.scheduling.memberships import MEMBERS, Memberships
from server.services.scheduling.queued import QueuedDeliveries
from server.services.scheduling.refreshing import Refreshing
from server.services.scheduling.removals import REMOVALS, Removals
from server.services.scheduling.sent import Sent
from server.services.scheduling.settings import SchedulingSettings
from server.services.scheduling.splitting import Splitting
from server.services.sharing import Sharing
from server.storage.directory import PrincipalChange
from server.storage.jobs import MEMBERSHIPS, ROOM_CARDS
from server.storage.mails import CHECK_IN_LINKS, NOTICE, RELEASED
from tests.unit.services.memory_storage.storage import memory

NOW = datetime(2026, 3, 1, tzinfo=UTC)
INSTALLATION = Actor(None, "cli")
CONTACTS = "contacts:"


def target_of(path: str) -> Target:
    kind = "addressbook" if path.startswith(CONTACTS) else "calendar"
    owner, *names = path.removeprefix(CONTACTS).split("/")
    return Target(f"id-{owner}", "uid", kind, *names)  # type: ignore[arg-type]


def event(uid: str, *lines: str, start: str = "20260301T090000Z") -> str:
    """An event of an hour; `lines` are further ones."""
    body = (f"UID:{uid}", "DTSTAMP:20260101T000000Z", f"DTSTART:{start}", "DURATION:PT1H", *lines)
    return calendar("BEGIN:VEVENT", *body, "END:VEVENT")


def calendar(*lines: str) -> str:
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Test//EN", *lines, "END:VCALENDAR", ""))


def card(uid: str, name: str = "Ann") -> str:
    return "\r\n".join(("BEGIN:VCARD", "VERSION:4.0", f"UID:{uid}", f"FN:{name}", "END:VCARD", ""))


ALARM = ("BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT15M", "END:VALARM")


class _Transport:
    def __init__(self, sent: list[Mail]) -> None:
        self._sent = sent

    async def send(self, mail: Mail) -> None:
        self._sent.append(mail)


class World:
    def __init__(
        self,
        limits: Limits | None = None,
        scheduling: SchedulingSettings = SchedulingSettings(),  # noqa: B008 - a value
        mail: MailSettings = MailSettings(),  # noqa: B008 - a value
    ) -> None:
        self.memory = memory()
        self.storage, self.access, self.directory = self.memory.storage, self.memory.access, self.memory.directory
        self.limits = limits or Limits()
        self.lookup = Lookup(self.storage)
        self.objects = Objects(self.storage, self.limits, lambda: NOW)
        self.outgoing = OutgoingMails(mail)
        self.splitting = Splitting(self.storage, self.objects, self.limits, lambda: NOW, self.outgoing)
        self.scheduling = Scheduling(
            self.storage, self.objects, self.limits, scheduling, lambda: NOW, mails=self.outgoing
        )
        self.queued = QueuedDeliveries(
            self.storage, self.objects, self.limits, scheduling, lambda: NOW, turns=self.scheduling.turns
        )
        self.refreshing = Refreshing(
            self.storage, self.objects, self.limits, scheduling, lambda: NOW, self.queued.counts
        )
        self.removals = Removals(self.storage, self.limits, lambda: NOW, self.outgoing)
        self.mails: list[Mail] = []
        """Those that were sent, of notices and check-ins."""
        self.notices = Notices(self.storage, self.access, self.limits, mail, _Transport(self.mails), lambda: NOW)
        self.check_in_mails = CheckInMails(
            self.storage, mail, RoomSettings(), "https://cal.example/koyomi", _Transport(self.mails), lambda: NOW
        )
        self.long_series = LongSeries(self.splitting, scheduling, lambda: NOW)
        self.memberships = Memberships(self.scheduling, timedelta(minutes=10), lambda: NOW)
        self.collections = Collections(self.storage, self.limits, scheduling)
        self.reading = Reading(self.storage, 1000)
        self.sharing = Sharing(self.storage, self.directory, self.access)
        self.granting = Granting(self.access)
        self.people = People(self.directory, self.access)
        self.directory_book = DirectoryBook(self.storage, self.directory, self.objects)
        self.by_jobs = scheduling.direct_recipients == 0
        """Whether jobs deliver everything: then `invite` and `cancel` run them."""
        self.ids: dict[str, int] = {}

    async def add(self, *names: str, kind: PrincipalKind = "individual", **fields: Any) -> None:
        """Add principals with the ids `id-NAME`."""
        changes = [PrincipalChange(uid=f"id-{name}", kind=kind, name=name, **fields) for name in names]
        found = await self.directory.write_principals(changes, INSTALLATION.cause)
        self.ids |= dict(zip(names, found, strict=True))

    async def fill(self, name: str) -> None:
        """Leave no room in somebody's home."""
        await self.directory.write_principals([PrincipalChange(id=self.ids[name], quota_bytes=10)], INSTALLATION.cause)

    async def actor(self, name: str) -> Actor:
        """Somebody who is signed in; `cli` is the installation."""
        if name == "cli":
            return INSTALLATION
        return Actor((await self.storage.resolve(self.ids[name], None)).viewer, "caldav", "request-1")

    async def find(self, who: str, path: str, need: Privilege = Privilege.READ, *, text: bool = False) -> Found:
        return await self.lookup.find(await self.actor(who), target_of(path), need, text=text)

    async def principal(self, who: str, whom: str) -> Found:
        """A principal as somebody finds it."""
        return await self.lookup.find(await self.actor(who), Target(f"id-{whom}", "uid"), Privilege.READ)

    async def put(self, who: str, path: str, text: str) -> Put:
        return await self.objects.put(await self.actor(who), await self.find(who, path), text.encode())

    async def invite(self, who: str, path: str, text: str, sent: Sent = Sent()) -> Put:  # noqa: B008 - a value
        """Put a calendar object as an app does: what follows is sent."""
        actor = await self.actor(who)
        found = await self.find(who, path)
        result = await self.scheduling.put(actor, found, text.encode(), sent)
        if self.by_jobs:
            await self.run_jobs()
        return result

    async def run_jobs(self, *, retries: bool = False) -> None:
        """Run the jobs that wait, and those that these leave behind. `retries`: also one that tries again."""
        jobs = self.memory.tables.jobs
        while due := [each for each in jobs if retries or each.kind != REDELIVERIES]:
            job, retries = due[0], retries and due[0].kind != REDELIVERIES
            jobs.remove(job)
            if job.kind == REMOVALS:
                ids = job.payload
                cause = Cause(ids["principal"] or None, "jobs", acting_for=ids["acting_for"] or None)
                await self.removals.send(ids["home"], ids["collection"], cause)
            elif job.kind == SPLITS:
                await self.long_series.split(job.payload["home"], job.payload["object"])
            elif job.kind == ROOM_CARDS:
                await self.directory_book.follow()
            elif job.kind == MEMBERSHIPS:
                await self.memberships.plan(job.payload["group"])
            elif job.kind == MEMBERS:
                await self.memberships.follow(job.payload["home"], job.payload["object"])
            elif job.kind == NOTICES:
                await self.notices.plan(job.payload["principal"], job.payload["item"])
            elif job.kind == NOTICE:
                ids = job.payload
                await self.notices.send(ids["principal"], ids["item"], ids["recipient"])
            elif job.kind == CHECK_IN_LINKS:
                ids = job.payload
                await self.check_in_mails.send_link(ids["home"], ids["object"], ids.get("name", 0), 1)
            elif job.kind == RELEASED:
                ids = job.payload
                await self.check_in_mails.tell_released(ids["home"], ids["object"], ids["start"], ids["end"], 2)
            elif job.kind == REFRESHES:
                await self.refreshing.refresh(job.payload["home"], job.payload["object"])
            else:
                deliver = self.queued.deliver if job.kind == DELIVERIES else self.queued.redeliver
                await deliver(job.payload["meeting"])

    async def cancel(self, who: str, path: str, sent: Sent = Sent()) -> None:  # noqa: B008 - a value
        """Delete a calendar object as an app does."""
        await self.scheduling.delete(await self.actor(who), await self.find(who, path), sent)
        if self.by_jobs:
            await self.run_jobs()

    async def delete(self, who: str, path: str) -> int:
        return await self.objects.delete(await self.actor(who), await self.find(who, path))

    async def member(self, who: str, path: str) -> Object | None:
        """A member as somebody sees it, with its text."""
        return (await self.find(who, path, text=True)).object

    async def text(self, who: str, path: str) -> str | None:
        found = await self.member(who, path)
        return None if found is None else found.text

    async def names(self, path: str) -> list[str]:
        """The names of the members of a collection."""
        found = await self.find("cli", path)
        pages = [page async for page in self.reading.pages(found, ("name",))]
        return [row[0] for page in pages for row in page]

    async def share(self, path: str, whom: str, rights: ShareRights = "write", *, may_invite: bool = False) -> str:
        """Share a collection; returns the path that it has in the home of the person."""
        await self.sharing.share(INSTALLATION, path.removeprefix(CONTACTS), whom, rights, may_invite=may_invite)
        return await self.shown(whom, path)

    async def shown(self, whom: str, path: str) -> str:
        """The path of another's collection in somebody's home; empty where it is not shown."""
        collection = (await self.find("cli", path)).collection
        assert collection is not None
        prefix = CONTACTS if path.startswith(CONTACTS) else ""
        home = await self.find("cli", f"{prefix}{whom}")
        for found in await self.reading.collections(replace(INSTALLATION, acting_for=self.ids[whom]), home):
            if found.collection is not None and found.collection.id == collection.id:
                return f"{prefix}{whom}/{found.name}"
        return ""

    def restore_backup(self) -> None:
        """As if all that there is came from a backup that was restored now."""
        clock = self.memory.tables.clock
        self.outgoing.restored_at = clock() + timedelta(seconds=1)
        self.memory.tables.clock = lambda: clock() + timedelta(hours=1)

    def meanwhile(self, *acts: Callable[[], Awaitable[object]]) -> None:
        """Let others do something, one act before each of the next writes."""
        self.memory.tables.rivals += acts
