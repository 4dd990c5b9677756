"""Organizers elsewhere invite a group here by mail (RFC 5545 §3.2.11)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.domain.principals import ExpandableBy
from server.services.mail.incoming_effects import Outcome
from server.services.mail.incoming_settings import IncomingMailSettings
from server.storage.directory import PrincipalChange
from tests.unit.services.incoming_mail_world import ANNA, BEN, DORA, HERE, MailWorld, mail, meeting, request
from tests.unit.services.test_invited_groups import team
from tests.unit.services.world import INSTALLATION

TEAM, CLEO = "team@example.com", "cleo@example.com"


@pytest_asyncio.fixture(loop_scope="session")
async def world() -> AsyncIterator[MailWorld]:
    """With the group of ben and cleo."""
    made = await MailWorld().populated()
    await made.add("cleo", addresses=(CLEO,))
    await made.add("team", kind="group", addresses=(TEAM,))
    await team(made, "ben", "cleo")
    yield made


def line_of(text: str, address: str) -> str:
    lines = text.replace("\r\n ", "").splitlines()
    return next((each for each in lines if each.startswith("ATTENDEE") and each.endswith(address)), "")


async def expandable(world: MailWorld, by: ExpandableBy) -> None:
    change = PrincipalChange(world.ids["team"], expandable_by=by)
    await world.directory.write_principals([change], INSTALLATION.cause)


async def test_the_members_get_the_invitation(world: MailWorld) -> None:
    assert await world.deliver(mail(request(TEAM)), TEAM) == (Outcome.APPLIED, Outcome.APPLIED)
    for who, own, other in (("ben", BEN, CLEO), ("cleo", CLEO, BEN)):
        (copy,) = await world.copies(who)
        assert f'MEMBER="mailto:{TEAM}"' in line_of(copy, own)
        assert "PARTSTAT=NEEDS-ACTION;RSVP=TRUE" in line_of(copy, own)
        assert line_of(copy, TEAM)
        assert not line_of(copy, other), "of others the organizer has said nothing"
        assert await world.items(who) == [("REQUEST", "")]
    assert await world.copies("anna") == []


async def test_a_mail_server_may_have_put_the_members_in_the_place_of_the_group(world: MailWorld) -> None:
    assert await world.deliver(mail(request(TEAM)), BEN) == (Outcome.APPLIED,)
    assert len(await world.copies("ben")) == 1
    assert await world.copies("cleo") == []
    assert await world.deliver(mail(request(TEAM), message_id="<2@x>"), ANNA) == (Outcome.NOT_CONCERNED,)


async def test_who_is_invited_by_name_gets_no_second_line(world: MailWorld) -> None:
    assert await world.deliver(mail(request(TEAM, BEN)), TEAM, BEN) == (Outcome.APPLIED, Outcome.APPLIED)
    (copy,) = await world.copies("ben")
    assert copy.replace("\r\n ", "").count(f"mailto:{BEN}") == 1
    assert "MEMBER" not in line_of(copy, BEN)


async def test_groups_in_groups_lead_to_their_members_once(world: MailWorld) -> None:
    await team(world, "ben", "team", name="all")
    await team(world, "cleo", "all")
    assert await world.deliver(mail(request(TEAM)), TEAM) == (Outcome.APPLIED, Outcome.APPLIED)
    assert (len(await world.copies("ben")), len(await world.copies("cleo"))) == (1, 1)


@pytest.mark.parametrize("by", ["members", "nobody"])
async def test_a_group_that_the_organizer_may_not_expand_invites_nobody(world: MailWorld, by: ExpandableBy) -> None:
    await expandable(world, by)
    assert await world.deliver(mail(request(TEAM)), TEAM) == (Outcome.REFUSED,)
    assert await world.items("ben") == []


async def test_a_group_with_too_many_members_invites_nobody(world: MailWorld) -> None:
    world.scheduling.max_attendees = 1
    assert await world.deliver(mail(request(TEAM)), TEAM) == (Outcome.REFUSED,)
    assert await world.items("ben") == []


async def test_what_is_not_trusted_or_of_somebody_unknown_is_held_for_each_member(world: MailWorld) -> None:
    assert await world.deliver(mail(request(TEAM), results=""), TEAM) == (Outcome.HELD, Outcome.HELD)
    assert await world.items("ben") == [("REQUEST", "untrusted")]
    world.mails = world.receiver(IncomingMailSettings(authserv_id=HERE))
    await world.put_by("ben", "ben/calendar/known.ics", meeting(DORA, by=BEN, uid="known"))
    told = await world.deliver(mail(request(TEAM, uid="n"), message_id="<2@x>"), TEAM)
    assert sorted(told) == [Outcome.APPLIED, Outcome.HELD], "ben has a meeting with dora, cleo has none"
    assert len(await world.copies("ben")) == 2
    assert await world.copies("cleo") == []


async def test_what_was_held_for_a_member_can_be_accepted(world: MailWorld) -> None:
    await world.deliver(mail(request(TEAM), results=""), TEAM)
    items = await world.incoming.held_items((0, 0))
    assert [item.owner.name for item in items] == ["ben", "cleo"]
    await world.mails.held.accept(INSTALLATION.cause, items[0])
    (copy,) = await world.copies("ben")
    assert f'MEMBER="mailto:{TEAM}"' in line_of(copy, BEN)
    assert await world.copies("cleo") == []


async def test_an_answer_stays_until_the_meeting_has_a_new_sequence(world: MailWorld) -> None:
    await world.deliver(mail(request(TEAM)), TEAM)
    (name,) = await world.names("ben/calendar")
    text = (await world.copies("ben"))[0].replace("\r\n ", "")
    own = line_of(text, BEN)
    answered = own.replace("NEEDS-ACTION", "ACCEPTED").replace(";RSVP=TRUE", "")
    await world.put_by("ben", f"ben/calendar/{name}", text.replace(own, answered))
    (sent,) = world.memory.tables.mails.values()
    assert (sent.address, sent.method) == (DORA, "REPLY")
    for number, (sequence, partstat) in enumerate(((0, "ACCEPTED"), (1, "NEEDS-ACTION")), 2):
        changed = request(TEAM, dtstamp=f"2026030{number + 1}T000000Z", more=(f"SEQUENCE:{sequence}",))
        changed = changed.replace("SUMMARY:Plan", f"SUMMARY:Plan {number}")
        assert Outcome.APPLIED in await world.deliver(mail(changed, message_id=f"<{number}@x>"), TEAM)
        (copy,) = await world.copies("ben")
        assert f"SUMMARY:Plan {number}" in copy
        assert f"PARTSTAT={partstat}" in line_of(copy, BEN)
        assert f'MEMBER="mailto:{TEAM}"' in line_of(copy, BEN)


async def test_a_cancellation_reaches_the_members(world: MailWorld) -> None:
    await world.deliver(mail(request(TEAM)), TEAM)
    cancel = request(TEAM, method="CANCEL", dtstamp="20260303T000000Z", more=("SEQUENCE:1", "STATUS:CANCELLED"))
    assert await world.deliver(mail(cancel, message_id="<2@x>"), TEAM) == (Outcome.APPLIED, Outcome.APPLIED)
    for who in ("ben", "cleo"):
        (copy,) = await world.copies(who)
        assert "STATUS:CANCELLED" in copy


async def test_an_organizer_elsewhere_who_forges_one_of_here_invites_nobody(world: MailWorld) -> None:
    assert await world.deliver(mail(request(TEAM, by=ANNA), sender=ANNA), TEAM) == (Outcome.LOCAL,)
    assert await world.items("ben") == []


# -- who leaves --------------------------------------------------------------------------------------------------------

LATER = {"dtstamp": "20260301T000000Z"}


def invited(*attendees: str, **more: object) -> str:
    """A request about a meeting that is not over."""
    return request(*attendees, **{**LATER, **more}).replace("DTSTART:20260301T09", "DTSTART:20990301T09")  # type: ignore[arg-type]


async def statuses(world: MailWorld, who: str) -> list[str]:
    return [re.findall("STATUS:([A-Z]+)", each)[-1] if "STATUS:" in each else "" for each in await world.copies(who)]


async def answer(world: MailWorld, who: str, address: str, partstat: str) -> None:
    (name,) = await world.names(f"{who}/calendar")
    text = (await world.copies(who))[0].replace("\r\n ", "")
    own = line_of(text, address)
    await world.put_by(who, f"{who}/calendar/{name}", text.replace(own, own.replace("NEEDS-ACTION", partstat)))


def mailed(world: MailWorld) -> list[tuple[str, str, str]]:
    """Address, METHOD and answer of the mails, in order."""
    rows = [row for _, row in sorted(world.memory.tables.mails.items())]
    found = [(row, re.search("PARTSTAT=([A-Z]+)", row.text.replace("\r\n ", ""))) for row in rows]
    return [(row.address, row.method, "" if match is None else match[1]) for row, match in found]


@pytest.mark.parametrize("partstat", ["", "ACCEPTED", "TENTATIVE", "DECLINED"])
async def test_who_leaves_the_group_has_a_cancelled_copy(world: MailWorld, partstat: str) -> None:
    await world.deliver(mail(invited(TEAM)), TEAM)
    if partstat:
        await answer(world, "ben", BEN, partstat)
    told = [(DORA, "REPLY", partstat)] if partstat else []
    assert mailed(world) == told
    await team(world, "cleo")
    await world.run_jobs()
    assert [await statuses(world, who) for who in ("ben", "cleo")] == [["CANCELLED"], [""]]
    assert await world.items("ben") == [("CANCEL", ""), ("REQUEST", "")]
    assert await world.items("cleo") == [("REQUEST", "")]
    # The organizer learns of it where they count on an answer.
    promised = partstat in ("ACCEPTED", "TENTATIVE")
    assert mailed(world) == told + ([(DORA, "REPLY", "DECLINED")] if promised else [])
    # Nothing more happens, whatever changes.
    await team(world)
    await world.run_jobs()
    assert await world.items("ben") == [("CANCEL", ""), ("REQUEST", "")]
    assert await statuses(world, "cleo") == ["CANCELLED"]


async def test_who_comes_back_gets_the_next_message(world: MailWorld) -> None:
    await world.deliver(mail(invited(TEAM)), TEAM)
    await team(world, "cleo")
    await world.run_jobs()
    await team(world, "ben", "cleo")
    await world.run_jobs()
    assert await statuses(world, "ben") == ["CANCELLED"]
    changed = invited(TEAM, dtstamp="20260303T000000Z", more=("SEQUENCE:1",))
    await world.deliver(mail(changed, message_id="<2@x>"), TEAM)
    assert await statuses(world, "ben") == [""]
    await team(world, "cleo")
    await world.run_jobs()
    assert await statuses(world, "ben") == ["CANCELLED"]


async def test_who_leaves_a_group_in_the_group_has_a_cancelled_copy(world: MailWorld) -> None:
    await team(world, "ben", name="inner")
    await team(world, "inner", "cleo")
    await world.deliver(mail(invited(TEAM)), TEAM)
    await team(world, name="inner")
    await world.run_jobs()
    assert [await statuses(world, who) for who in ("ben", "cleo")] == [["CANCELLED"], [""]]


async def test_who_is_invited_in_another_way_keeps_the_copy(world: MailWorld) -> None:
    other = "others@example.com"
    await world.add("others", kind="group", addresses=(other,))
    await team(world, "cleo", name="others")
    await world.deliver(mail(invited(TEAM, BEN, other)), TEAM, BEN, other)
    await team(world)
    await world.run_jobs()
    assert [await statuses(world, who) for who in ("ben", "cleo")] == [[""], [""]]
    # Later the organizer names somebody whom the group had led to.
    named = invited(TEAM, CLEO, other, dtstamp="20260303T000000Z", more=("SEQUENCE:1",))
    await world.deliver(mail(named, message_id="<2@x>"), other, CLEO)
    await team(world, name="others")
    await world.run_jobs()
    assert await statuses(world, "cleo") == [""]


async def test_a_policy_that_changes_and_meetings_that_are_over_take_nobody_out(world: MailWorld) -> None:
    await world.deliver(mail(invited(TEAM)), TEAM)
    past = request(TEAM, uid="past").replace("DTSTART:2026", "DTSTART:2025")
    await world.deliver(mail(past, message_id="<2@x>"), TEAM)
    await expandable(world, "nobody")
    await team(world, "cleo")
    await world.run_jobs()
    assert await statuses(world, "ben") == ["", ""]
    await expandable(world, "everyone")
    await team(world, "cleo")
    await world.run_jobs()
    assert sorted(await statuses(world, "ben")) == ["", "CANCELLED"]


async def test_a_held_invitation_that_was_accepted_follows_the_group(world: MailWorld) -> None:
    await world.deliver(mail(invited(TEAM), results=""), TEAM)
    for item in await world.incoming.held_items((0, 0)):
        await world.mails.held.accept(INSTALLATION.cause, item)
    await team(world, "cleo")
    await world.run_jobs()
    assert [await statuses(world, who) for who in ("ben", "cleo")] == [["CANCELLED"], [""]]


async def test_a_series_is_cancelled_with_its_instances(world: MailWorld) -> None:
    text = invited(TEAM, more=("RRULE:FREQ=DAILY;COUNT=3",))
    body = text[text.index("BEGIN:VEVENT") : text.index("END:VEVENT")].replace("RRULE:FREQ=DAILY;COUNT=3\r\n", "")
    moved = (
        body.replace("DTSTART:20990301T09", "DTSTART:20990302T11") + "RECURRENCE-ID:20990302T090000Z\r\nSEQUENCE:1\r\n"
    )
    await world.deliver(mail(text.replace("END:VCALENDAR", f"{moved}END:VEVENT\r\nEND:VCALENDAR")), TEAM)
    assert (await world.copies("ben"))[0].count("BEGIN:VEVENT") == 2
    await team(world, "cleo")
    await world.run_jobs()
    assert (await world.copies("ben"))[0].count("STATUS:CANCELLED") == 2
