"""A meeting of an organizer here, two people here, and people elsewhere whose programs answer by mail."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.services.mail.incoming import Arrived, IncomingMails, receiving
from server.services.mail.incoming_effects import Outcome
from server.services.mail.incoming_settings import IncomingMailSettings
from server.services.mail.sending import MailJobs
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail
from tests.unit.services.incoming_mail_world import ANNA, BEN, DORA, GUS, HERE, MEETING, MailWorld, line
from tests.unit.services.programs_elsewhere import Answer, Program, bounce, exchange, google
from tests.unit.services.world import NOW, event

CLEO, NOBODY, LIST, KAI = "cleo@example.com", "nobody@nowhere.example", "all@lists.example", "kai@kai.example"
SETTINGS = MailSettings(
    address="calendar@example.com", incoming=IncomingMailSettings(authserv_id=HERE, invitations="all")
)


class Elsewhere:
    """The people elsewhere, and what carries mails between them and the people here."""

    def __init__(self, world: MailWorld, mails: IncomingMails) -> None:
        self.world, self.mails, self.on_the_way = world, mails, list[Mail]()
        self.jobs = MailJobs(world.storage, world.objects, world.limits, SETTINGS, self, lambda: NOW)
        self.programs = {GUS: Program(GUS, google), DORA: Program(DORA, exchange)}

    async def send(self, mail: Mail) -> None:
        self.on_the_way.append(mail)

    async def carry(self) -> list[str]:
        """Send what waits, and let the programs read it; gives the recipients."""
        for id_, row in list(self.world.memory.tables.mails.items()):
            if row.status == "waiting":
                await self.jobs.send(row.home_id, id_)
                await self.jobs.state(row.home_id, row.meeting)
        sent, self.on_the_way = self.on_the_way, []
        for mail in sent:
            if mail.recipient in self.programs:
                self.programs[mail.recipient].read(mail.message)
            if mail.recipient == NOBODY:
                assert await self.mails.receive(Arrived(bounce(mail.message), "", (mail.sender,))) == (Outcome.BOUNCED,)
                row = self.world.memory.tables.mails[int(mail.name.partition("-")[2])]
                await self.jobs.state(row.home_id, row.meeting)
        return sorted(mail.recipient for mail in sent)

    async def answer(self, who: str, partstat: str) -> Outcome:
        """Let somebody answer; the mail server in front finds the mail authentic."""
        return await self.deliver(self.programs[who].answer("m", partstat))

    async def deliver(self, answer: Answer) -> Outcome:
        found = f"Authentication-Results: {HERE}; dmarc=pass header.from={answer.sender.partition('@')[2]}\r\n"
        (outcome,) = await self.mails.receive(Arrived(found.encode() + answer.data, answer.sender, (answer.to,)))
        return outcome

    async def answers(self, path: str = MEETING) -> dict[str, str]:
        """PARTSTAT and SCHEDULE-STATUS of the attendees in an object."""
        text = (await self.world.text("cli", path) or "").replace("\r\n ", "")
        found = {}
        for each in text.splitlines():
            if each.startswith("ATTENDEE"):
                given = dict(one.partition("=")[::2] for one in each.partition(":")[0].split(";")[1:])
                status = given.get("SCHEDULE-STATUS", "").strip('"')
                found[each.partition("mailto:")[2]] = f"{given.get('PARTSTAT', 'NEEDS-ACTION')} {status}".strip()
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere() -> AsyncIterator[Elsewhere]:
    world = await MailWorld().populated()
    await world.add("cleo", addresses=(CLEO,))
    yield Elsewhere(world, await receiving(world.scheduling, world.incoming, SETTINGS))


def meeting(*attendees: str, start: str = "20990601T090000Z", more: tuple[str, ...] = ()) -> str:
    people = [line("ATTENDEE", ANNA, ";PARTSTAT=ACCEPTED"), *(line("ATTENDEE", each) for each in attendees)]
    return event("m", "SUMMARY:Plan", line("ORGANIZER", ANNA), *people, *more, start=start)


async def test_a_meeting_from_its_invitation_to_its_end(elsewhere: Elsewhere) -> None:
    world, everybody = elsewhere.world, (BEN, CLEO, GUS, DORA, NOBODY)
    await world.put_by("anna", MEETING, meeting(*everybody))
    assert await elsewhere.carry() == sorted((GUS, DORA, NOBODY))
    # Somebody has no such address, the others answer.
    assert [await elsewhere.answer(GUS, "ACCEPTED"), await elsewhere.answer(DORA, "TENTATIVE")] == [Outcome.APPLIED] * 2
    expected = {
        ANNA: "ACCEPTED",
        BEN: "NEEDS-ACTION 1.2",
        CLEO: "NEEDS-ACTION 1.2",
        GUS: "ACCEPTED 2.0",
        DORA: "TENTATIVE 2.0",
        NOBODY: "NEEDS-ACTION 5.2",
    }
    assert await elsewhere.answers() == expected
    # People here see the answers; nobody elsewhere gets those of others.
    for who in ("ben", "cleo"):
        (name,) = await world.names(f"{who}/calendar")
        shown = await elsewhere.answers(f"{who}/calendar/{name}")
        assert (shown[GUS], shown[DORA]) == ("ACCEPTED", "TENTATIVE")
    assert await elsewhere.carry() == []
    # The organizer moves the meeting: all are asked anew.
    text = (
        (await world.text("anna", MEETING) or "").replace("\r\n ", "").replace("20990601T090000Z", "20990601T140000Z")
    )
    await world.put_by("anna", MEETING, text)
    assert await elsewhere.carry() == sorted((GUS, DORA, NOBODY))
    assert {(await elsewhere.answers())[each].split()[0] for each in (GUS, DORA)} == {"NEEDS-ACTION"}
    assert await elsewhere.answer(DORA, "DECLINED") is Outcome.APPLIED
    assert (await elsewhere.answers())[DORA] == "DECLINED 2.0"
    await world.cancel("anna", MEETING)
    assert await elsewhere.carry() == sorted((GUS, DORA, NOBODY))
    assert [each.events for each in elsewhere.programs.values()] == [{}, {}]


async def test_an_answer_to_the_time_before_does_not_count(elsewhere: Elsewhere) -> None:
    world = elsewhere.world
    await world.put_by("anna", MEETING, meeting(GUS))
    await elsewhere.carry()
    late = elsewhere.programs[GUS].answer("m", "ACCEPTED")
    text = (
        (await world.text("anna", MEETING) or "").replace("\r\n ", "").replace("20990601T090000Z", "20990601T140000Z")
    )
    await world.put_by("anna", MEETING, text)
    assert await elsewhere.deliver(late) is Outcome.APPLIED
    assert (await elsewhere.answers())[GUS].split()[0] == "NEEDS-ACTION"


async def test_members_of_a_mailing_list_answer(elsewhere: Elsewhere) -> None:
    """Who answers to the organizer was not invited by this address; who answers at the tag speaks for the list."""
    await elsewhere.world.put_by("anna", MEETING, meeting(LIST))
    elsewhere.programs[LIST] = listed = Program(LIST, google)
    await elsewhere.carry()
    assert listed.last is not None
    to_organizer = google(KAI, listed.last, listed.events["m"], "ACCEPTED")
    assert await elsewhere.deliver(to_organizer) is Outcome.HELD
    assert await elsewhere.answers() == {ANNA: "ACCEPTED", LIST: "NEEDS-ACTION 1.1"}
    assert await elsewhere.deliver(exchange(KAI, listed.last, listed.events["m"], "ACCEPTED")) is Outcome.APPLIED
    assert await elsewhere.answers() == {ANNA: "ACCEPTED", LIST: "ACCEPTED 2.0"}


@pytest.mark.parametrize("who", [GUS, DORA])
async def test_a_mail_that_comes_back_to_its_sender_changes_nothing(elsewhere: Elsewhere, who: str) -> None:
    """As by a forwarding of all mail, or by a list of which the organizer is a member."""
    await elsewhere.world.put_by("anna", MEETING, meeting(who))
    await elsewhere.carry()
    mail = elsewhere.programs[who].last
    assert mail is not None
    before = await elsewhere.world.text("anna", MEETING)
    assert await elsewhere.deliver(Answer(mail.as_bytes(), BEN, ANNA)) is Outcome.OWN
    assert await elsewhere.world.text("anna", MEETING) == before
