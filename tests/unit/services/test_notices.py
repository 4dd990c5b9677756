"""Notices by mail of invitations to those who act for somebody."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
import pytest_asyncio

from server.domain.changes import PropertyChanges
from server.domain.errors import Unavailable
from server.services.mail.invitations_to import INVITATIONS_TO, NOTICES, invitations_to
from server.services.mail.settings import MailSettings
from server.storage.directory import PrincipalChange, RelationChange
from server.storage.mails import NOTICE, MailLimits
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.test_acting import delegate, meeting
from tests.unit.services.test_implicit_scheduling import items
from tests.unit.services.world import INSTALLATION, World

BOSS, AIDE, GUEST = (f"mailto:{name}@example.com" for name in ("boss", "aide", "guest"))
MEETING = "guest/calendar/m.ics"


@pytest_asyncio.fixture(loop_scope="session")
async def office(world: World) -> World:
    """A boss, whose delegates are an aide and a group with cleo, who has no address, and dora; and a guest."""
    for name in ("boss", "aide", "guest", "dora"):
        await world.add(name, addresses=(f"{name}@example.com",), display_name=name.title())
    members = frozenset(world.ids[name] for name in ("cleo", "dora"))
    await world.directory.write_relations([RelationChange(world.ids["team"], members)], INSTALLATION.cause)
    await delegate(world, "aide", "team")
    return world


async def wish(world: World, word: str | None) -> None:
    """Let the boss say who gets notices."""
    value = None if word is None else f'<invitations-to xmlns="urn:koyomi:mail">{word}</invitations-to>'
    home = await world.find("boss", "boss")
    await world.collections.set_home_properties(
        await world.actor("boss"), home, PropertyChanges({INVITATIONS_TO: value})
    )


def told(world: World) -> list[str]:
    return sorted(mail.recipient for mail in world.mails)


def read(data: bytes) -> EmailMessage:
    found = message_from_bytes(data, policy=default)
    assert isinstance(found, EmailMessage)
    return found


@BOTH_WAYS
@pytest.mark.parametrize(
    ("word", "people"),
    [
        (None, []),
        ("owner", []),
        ("nonsense", []),
        ("delegates", ["aide", "dora"]),
        ("both", ["aide", "boss", "dora"]),
    ],
)
async def test_who_gets_a_notice(office: World, word: str | None, people: list[str]) -> None:
    await wish(office, word)
    await office.invite("guest", MEETING, meeting(GUEST, BOSS))
    await office.run_jobs()
    assert told(office) == [f"{name}@example.com" for name in people]
    # The invitation lies in the owner's inbox and calendar alone.
    assert await items(office, "boss") == ["REQUEST"]
    for name in ("aide", "dora"):
        assert await items(office, name) == []
        assert await office.names(f"{name}/calendar") == []


async def test_what_a_notice_says(office: World) -> None:
    await delegate(office, "aide")
    await wish(office, "delegates")
    await office.invite("guest", MEETING, meeting(GUEST, BOSS, summary="Plan <b>\\nBcc: x@example.com"))
    await office.run_jobs()
    (mail,) = office.mails
    found = read(mail.message)
    assert found["Subject"] == "For Boss: Invitation: Plan <b> Bcc: x@example.com"
    assert found["Bcc"] is None
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["From"] == "Boss <boss@example.com>"
    assert found["To"] == "Aide <aide@example.com>"
    assert found.get_content_type() == "text/plain"
    assert b"text/calendar" not in mail.message
    text = found.get_content()
    assert "Answer in the calendar of Boss." in text
    assert "Guest" in text


@BOTH_WAYS
async def test_cancellations_are_told_and_answers_are_not(office: World) -> None:
    await delegate(office, "aide")
    await wish(office, "delegates")
    await office.invite("boss", "boss/calendar/own.ics", meeting(BOSS, GUEST, uid="own"))
    await office.cancel("guest", f"guest/calendar/{(await office.names('guest/calendar'))[0]}")
    await office.invite("guest", MEETING, meeting(GUEST, BOSS))
    await office.cancel("guest", MEETING)
    await office.run_jobs()
    assert sorted(read(mail.message)["Subject"] for mail in office.mails) == [
        "For Boss: Cancelled: Plan",
        "For Boss: Invitation: Plan",
    ]
    assert await items(office, "boss") == ["CANCEL", "REPLY", "REQUEST"]


async def planned(world: World) -> None:
    """Let the jobs find out who gets a notice, and send none."""
    jobs = world.memory.tables.jobs
    for job in [each for each in jobs if each.kind == NOTICES]:
        jobs.remove(job)
        await world.notices.plan(job.payload["principal"], job.payload["item"])
    assert [each.kind for each in jobs if each.kind == NOTICE] == [NOTICE]


@pytest.mark.parametrize("gone", ["delegation", "wish", "item", "person"])
async def test_jobs_ask_again(office: World, gone: str) -> None:
    await delegate(office, "aide")
    await wish(office, "delegates")
    await office.invite("guest", MEETING, meeting(GUEST, BOSS))
    await planned(office)
    if gone == "delegation":
        await delegate(office)
    elif gone == "wish":
        await wish(office, "owner")
    elif gone == "item":
        await office.delete("boss", f"boss/inbox/{(await office.names('boss/inbox'))[0]}")
    else:
        await office.directory.write_principals(
            [PrincipalChange(id=office.ids["aide"], disabled=True)], INSTALLATION.cause
        )
    await office.run_jobs()
    assert office.mails == []


async def test_another_attempt_sends_the_same_mail(office: World) -> None:
    await delegate(office, "aide")
    await wish(office, "delegates")
    await office.invite("guest", MEETING, meeting(GUEST, BOSS))
    await planned(office)
    jobs, end = office.memory.tables.jobs, office.storage.end_notice
    (job,) = [each for each in jobs if each.kind == NOTICE]

    async def dies(*_: object, **__: object) -> None:
        raise Unavailable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(office.storage, "end_notice", dies)
        with pytest.raises(Unavailable):
            await office.run_jobs()
    assert office.storage.end_notice == end
    jobs += [job, job]
    await office.run_jobs()
    first, second = office.mails
    assert first == second


async def test_notices_count_as_mails_in_the_owners_name() -> None:
    office = World(mail=MailSettings(recipients_per_hour=2))
    for name in ("boss", "aide", "guest"):
        await office.add(name, addresses=(f"{name}@example.com",))
    await delegate(office, "aide")
    await wish(office, "both")
    for number in range(2):
        await office.invite("guest", f"guest/calendar/{number}.ics", meeting(GUEST, BOSS, uid=str(number)))
    state = await office.storage.mail_state()
    assert (state.notices_waiting, state.notices_sent) == (0, 0), "no job has found out who gets one"
    await office.run_jobs()
    assert len(office.mails) == 2
    state = await office.storage.mail_state()
    assert (state.notices_waiting, state.notices_sent, state.notices_failed) == (0, 2, 2)
    # What the owner sends to people elsewhere is too much, too.
    text = meeting(BOSS, "mailto:zoe@elsewhere.example", uid="z").replace("20260301T", "20260401T")
    await office.invite("boss", "boss/calendar/z.ics", text)
    ((id_, row),) = office.memory.tables.mails.items()
    assert await office.storage.begin_mail(row.home_id, id_, MailLimits(2, 10)) == "limited"
    assert await office.storage.begin_mail(row.home_id, id_, MailLimits(10, 2)) == "limited"
    assert not isinstance(await office.storage.begin_mail(row.home_id, id_, MailLimits(3, 3)), str)


async def test_notices_that_wait_are_counted_and_discarded(office: World) -> None:
    await delegate(office, "aide")
    await wish(office, "delegates")
    await office.invite("guest", MEETING, meeting(GUEST, BOSS))
    await planned(office)
    assert (await office.storage.mail_state()).notices_waiting == 1
    assert await office.storage.discard_mails() == 1
    assert (await office.storage.mail_state()).notices_waiting == 0


async def test_a_wish_that_cannot_be_read_is_none(world: World) -> None:
    found = await world.find("anna", "anna")
    assert found.home is not None
    assert invitations_to(found.home.properties) == "owner"
    for value, read_as in (
        ("", "owner"),
        ("<a/>", "owner"),
        ("<a>x", "owner"),
        ("both", "owner"),
        ("<a> both </a>", "both"),
    ):
        assert invitations_to({INVITATIONS_TO: value}) == read_as
