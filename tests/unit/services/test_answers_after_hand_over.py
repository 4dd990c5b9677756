"""Answers by mail that go to somebody who has handed the meeting over, and may be gone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.domain.principals import Principal
from server.imip.tags import Tags
from server.services.mail.incoming import Arrived, IncomingMails, receiving
from server.services.mail.incoming_effects import Outcome
from server.services.mail.incoming_settings import IncomingMailSettings
from server.services.mail.settings import MailSettings
from server.services.principals import changes as principals
from server.services.scheduling import memory
from server.services.scheduling.former_organizers import FormerOrganizers
from server.services.scheduling.organized import Organized
from server.storage.scheduling import Mailbox
from tests.unit.services.incoming_mail_world import (
    ANNA,
    BEN,
    DORA,
    GUS,
    HERE,
    MEETING,
    MailWorld,
    mail,
    meeting,
    message,
    reply,
)
from tests.unit.services.world import INSTALLATION, NOW

CLEO, EVE = "cleo@example.com", "eve@evil.example"
ADDRESS = "calendar@example.com"
SETTINGS = MailSettings(address=ADDRESS, incoming=IncomingMailSettings(authserv_id=HERE))


class Office:
    """Anna, Ben and Cleo here; Anna has invited Dora, and Gus, who are elsewhere."""

    def __init__(self, world: MailWorld, mails: IncomingMails) -> None:
        self.world, self.mails = world, mails

    async def person(self, name: str) -> Principal:
        found = (await self.world.actor(name)).principal
        assert found is not None
        return found

    async def hand_over(self, name: str, to: str) -> None:
        record = await self.world.directory.principal(name)
        assert record is not None
        other = await self.world.directory.principal(to)
        assert other is not None
        acts = Organized(self.world.scheduling, INSTALLATION, record, NOW).hand_over(other)
        assert [each.error async for each in acts] == [None]

    async def tag(self) -> str:
        """The address to which Dora answers Anna's invitation."""
        home = self.world.memory.tables.home(self.world.ids["anna"], "calendar")
        assert home is not None
        return Tags(await self.world.storage.mail_secret(), ADDRESS).reply_address(home.id, "m", f"mailto:{DORA}")

    async def receive(self, text: str, to: str, sender: str = DORA, results: str | None = None) -> Outcome:
        (outcome,) = await self.mails.receive(Arrived(mail(text, sender, results), sender, (to,)))
        return outcome

    async def mailbox(self, name: str) -> Mailbox:
        id_ = self.world.ids[name]
        (found,) = await self.world.storage.mailboxes(id_, [id_], "m")
        return found

    async def partstat(self, name: str, of: str = DORA) -> str:
        found = (await self.mailbox(name)).object
        assert found is not None
        return await self.world.partstat(of, f"{name}/calendar/{found.name}")

    async def delete(self, name: str, *, purge: bool) -> None:
        await principals.delete(INSTALLATION, self.world.directory, name, purge=purge)


@pytest_asyncio.fixture(loop_scope="session")
async def office() -> AsyncIterator[Office]:
    world = await MailWorld().populated()
    await world.add("cleo", addresses=(CLEO,))
    made = Office(world, await receiving(world.scheduling, world.incoming, SETTINGS))
    await world.put_by("anna", MEETING, meeting(BEN, DORA, GUS).replace("20260301T09", "20990301T09"))
    yield made


@pytest.mark.parametrize("gone", ["", "deleted", "purged"])
@pytest.mark.parametrize("by_tag", [False, True])
async def test_an_answer_reaches_who_organizes_the_meeting_now(office: Office, gone: str, by_tag: bool) -> None:
    to = await office.tag() if by_tag else ANNA
    await office.hand_over("anna", "cleo")
    if gone:
        await office.delete("anna", purge=gone == "purged")
    # A tag names the attendee, whoever writes.
    sender, results = ("dora@home.example", "") if by_tag else (DORA, None)
    assert await office.receive(reply(), to, sender, results) is Outcome.APPLIED
    assert await office.partstat("cleo") == "ACCEPTED"
    assert await office.partstat("ben") == "ACCEPTED"


@pytest.mark.parametrize("by_tag", [False, True])
async def test_a_meeting_may_be_handed_over_twice(office: Office, by_tag: bool) -> None:
    to = await office.tag() if by_tag else ANNA
    await office.hand_over("anna", "cleo")
    await office.hand_over("cleo", "ben")
    for name in ("anna", "cleo"):
        await office.delete(name, purge=True)
    assert await office.receive(reply(), to) is Outcome.APPLIED
    assert await office.receive(reply(GUS, organizer=CLEO), CLEO, GUS) is Outcome.APPLIED
    assert [await office.partstat("ben"), await office.partstat("ben", GUS)] == ["ACCEPTED"] * 2


async def test_a_meeting_may_be_handed_back(office: Office) -> None:
    to = await office.tag()
    await office.hand_over("anna", "cleo")
    await office.hand_over("cleo", "anna")
    assert await office.receive(reply(), to) is Outcome.APPLIED
    assert await office.receive(reply(GUS, organizer=CLEO), CLEO, GUS) is Outcome.APPLIED
    assert [await office.partstat("anna"), await office.partstat("anna", GUS)] == ["ACCEPTED"] * 2


async def test_a_proposal_reaches_who_organizes_the_meeting_now(office: Office) -> None:
    await office.hand_over("anna", "cleo")
    people = (f"ORGANIZER:mailto:{ANNA}", f"ATTENDEE;PARTSTAT=TENTATIVE:mailto:{DORA}")
    assert await office.receive(message("COUNTER", *people), ANNA) is Outcome.APPLIED
    assert ("COUNTER", "") in await office.world.items("cleo")


async def test_nobody_answers_a_meeting_that_was_not_handed_over_by_the_addressee(office: Office) -> None:
    await office.hand_over("anna", "cleo")
    for text, to, sender, results, expected in (
        (reply(organizer=BEN), BEN, DORA, None, Outcome.NOT_CONCERNED),
        (reply(organizer="nobody@example.com"), "nobody@example.com", DORA, None, Outcome.NOT_CONCERNED),
        (reply(uid="other"), ANNA, DORA, None, Outcome.NOT_CONCERNED),
        # Forged, or of somebody who is not invited: it is the new organizer who decides.
        (reply(), ANNA, EVE, "", Outcome.HELD),
        (reply(EVE), ANNA, EVE, None, Outcome.HELD),
    ):
        assert await office.receive(text, to, sender, results) is expected
    assert await office.partstat("cleo") == "NEEDS-ACTION"
    assert await office.world.items("cleo") == [("REPLY", "not-invited"), ("REPLY", "untrusted")]


async def test_what_is_kept_of_former_organizers_names_nobody_and_stays(office: Office) -> None:
    await office.hand_over("anna", "cleo")
    box = await office.mailbox("cleo")
    former = memory.read(box.state).former
    assert len(former.homes) == 1
    assert "anna" not in json.dumps(box.state)
    assert box.object is not None
    # It outlives changes by the new organizer, and their deletion of the meeting.
    path = f"cleo/calendar/{box.object.name}"
    await office.world.put_by("cleo", path, (box.object.text or "").replace("SUMMARY:Plan", "SUMMARY:New plan"))
    assert memory.read((await office.mailbox("cleo")).state).former == former
    await office.world.cancel("cleo", path)
    assert memory.read((await office.mailbox("cleo")).state).former == former != FormerOrganizers()
    assert await office.receive(reply(), ANNA) is Outcome.NOT_CONCERNED
