"""Mails that are removed when they are old: only the first message after a restore has a higher SEQUENCE."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from server.domain.actors import Actor
from server.domain.limits import Limits
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.mail.outgoing import OutgoingMails
from server.services.objects import Objects
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.sent import Sent
from storage_plugins.postgres.upkeep.pruning import _FORGET_MAILED, forget_mails, repeat
from tests.integration.storage.conftest import Person, make_person
from tests.integration.storage.member_storage import MemberStorage
from tests.unit.services.world import event

ZOE = "mailto:zoe@elsewhere.example"


class Sender:
    """Somebody who organizes a meeting that is older than the last restore, and its mails."""

    def __init__(self, storage: Any, person: Person) -> None:
        self.storage, self.person = storage, person

    async def value(self, sql: str, *arguments: object) -> Any:
        return await self.storage.database.fetchval(sql, *arguments)

    async def change(self, summary: str) -> int:
        """Let an app change the meeting; returns its SEQUENCE."""
        limits = Limits()
        mails = OutgoingMails(restored_at=await self.storage.restored_at())
        scheduling = Scheduling(self.storage, Objects(self.storage, limits), limits, mails=mails)
        viewer = (await self.storage.resolve(self.person.id, None)).viewer
        assert viewer is not None
        actor, target = Actor(viewer, "caldav"), Target(viewer.uid, "uid", "calendar", "calendar", "m.ics")
        found = await Lookup(self.storage).find(actor, target, Privilege.WRITE_CONTENT, text=True)
        own = f"urn:x-uid:{viewer.uid}"
        people = (f"ORGANIZER:{own}", f"ATTENDEE;PARTSTAT=ACCEPTED:{own}", f"ATTENDEE:{ZOE}")
        text = event("m", f"SUMMARY:{summary}", f"SEQUENCE:{self._sequence(found)}", *people, start="20990301T090000Z")
        await scheduling.put(actor, found, text.encode(), Sent())
        found = await Lookup(self.storage).find(actor, target, Privilege.READ, text=True)
        return self._sequence(found)

    def _sequence(self, found: Any) -> int:
        text = "" if found.object is None else found.object.text or ""
        return int((re.findall(r"SEQUENCE:(\d+)", text) or ["0"])[0])

    async def later(self, days: int) -> None:
        """Let days pass."""
        for table, column in (
            ("outgoing_mail", "created_at"),
            ("outgoing_mail_batch", "created_at"),
            ("object", "created_at"),
            ("installation", "restored_at"),
            ("mailed_meeting", "mailed_at"),
        ):
            await self.value(f"update {table} set {column} = {column} - make_interval(days => $1)", days)  # noqa: S608
        await self.value("update outgoing_mail set status = 'sent' where status = 'waiting'")
        await forget_mails(self.storage.database, timedelta(days=30))


async def test_sequence_is_raised_once_after_a_restore_however_old_its_mails_are(database: str) -> None:
    async with MemberStorage(database, notify=False) as storage:
        made = Sender(storage, await make_person(storage))
        assert await made.change("Plan") == 0
        await made.later(1)
        await made.value("update installation set restored_at = clock_timestamp()")
        assert await made.change("First") == 1000
        await made.later(40)
        assert await made.value("select count(*) from outgoing_mail") == 0
        assert await made.change("Second") == 1001
        await made.later(40)
        assert await made.change("Third") == 1002

        # Another restore raises it again; what was known of the one before goes in time.
        await made.value("update installation set restored_at = clock_timestamp()")
        assert await made.change("Fourth") == 2002
        await made.later(400)
        assert await made.value("select count(*) from mailed_meeting") == 1
        await made.value("update installation set restored_at = clock_timestamp()")
        await repeat(storage.database, _FORGET_MAILED, timedelta(days=366), 500)
        assert await made.value("select count(*) from mailed_meeting") == 0


async def test_nothing_is_kept_without_a_restore(database: str) -> None:
    async with MemberStorage(database, notify=False) as storage:
        made = Sender(storage, await make_person(storage))
        await made.change("Plan")
        await made.later(40)
        assert await made.value("select count(*) from outgoing_mail") == 0
        assert await made.value("select count(*) from mailed_meeting") == 0
