"""What becomes of scheduling messages that arrive by mail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from lxml import etree

from server.domain.errors import NotFound
from server.services.mail.held import KEPT_FOR, MAX_HELD, Held, HeldMessages, Reason, read, written
from server.services.mail.incoming_effects import Outcome
from server.services.mail.incoming_settings import IncomingMailSettings
from server.services.mail.senders import ACTS_FOR_OTHERS
from server.storage.directory import PrincipalChange
from server.storage.incoming_mail import HELD
from tests.unit.imip.test_parsing import FILES
from tests.unit.services.incoming_mail_world import (
    ANNA,
    BEN,
    DORA,
    GUS,
    HERE,
    MEETING,
    TAGS,
    MailWorld,
    line,
    mail,
    meeting,
    message,
    reply,
    request,
)
from tests.unit.services.world import INSTALLATION, card, event

APPLIED, HELD_BACK, LOCAL = Outcome.APPLIED, Outcome.HELD, Outcome.LOCAL
NOT_CONCERNED, REFUSED = Outcome.NOT_CONCERNED, Outcome.REFUSED


@pytest_asyncio.fixture(loop_scope="session")
async def world() -> AsyncIterator[MailWorld]:
    yield await MailWorld().populated()


# -- answers ----------------------------------------------------------------------------------------------------------


async def test_an_answer_from_elsewhere_is_merged_and_told_to_people_here(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA, BEN))
    assert await world.receive(reply()) is APPLIED
    assert await world.partstat(DORA) == "ACCEPTED"
    assert "PARTSTAT=ACCEPTED:mailto:dora" in (await world.copies("ben"))[0].replace("\r\n ", "")
    assert await world.items("anna") == [("REPLY", "")]


async def test_an_older_answer_changes_nothing(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    await world.receive(reply(dtstamp="20260228T000000Z"))
    await world.receive(reply(partstat="DECLINED", dtstamp="20260227T000000Z"))
    assert await world.partstat(DORA) == "ACCEPTED"


@pytest.mark.parametrize("to", [ANNA, "calendar@example.com"])
async def test_the_organizer_is_found_by_the_text_too(world: MailWorld, to: str) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    assert await world.receive(reply(), to) is APPLIED


async def test_an_answer_without_organizer_goes_to_the_recipient_of_the_mail(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    assert await world.receive(reply(organizer=None), "calendar@example.com") is NOT_CONCERNED
    assert await world.receive(reply(organizer=None), BEN) is NOT_CONCERNED
    assert await world.receive(reply(organizer=None)) is APPLIED
    assert await world.partstat(DORA) == "ACCEPTED"


@pytest.mark.parametrize(
    ("sender", "results"),
    [
        (DORA, ""),
        (DORA, "dmarc=fail header.from=contoso.example"),
        (DORA, "dmarc=pass header.from=evil.example"),
        (GUS, None),
        ("dora@contoso.example.evil.example", None),
    ],
)
async def test_an_answer_that_is_not_the_attendees_is_held(world: MailWorld, sender: str, results: str | None) -> None:
    await world.put_by("anna", MEETING, meeting(DORA, GUS))
    assert await world.receive(reply(), sender=sender, results=results) is HELD_BACK
    assert await world.partstat(DORA) == "NEEDS-ACTION"
    assert await world.items("anna") == [("REPLY", "untrusted")]


async def test_a_tag_speaks_for_its_attendee(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA, GUS))
    sent = mail(reply("d.berger@private.example"), "d.berger@private.example", "")
    assert await world.deliver(sent, world.tagged()) == (APPLIED,)
    assert (await world.partstat(DORA), await world.partstat(GUS)) == ("ACCEPTED", "NEEDS-ACTION")


async def test_a_tag_in_organizer_is_one(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    text = reply(organizer=world.tagged().replace("calendar", "Calendar").upper())
    assert await world.deliver(mail(text, results=""), "x@example.com") == (APPLIED,)
    assert await world.partstat(DORA) == "ACCEPTED"


@pytest.mark.parametrize("attendee", [GUS, BEN])
async def test_a_tag_speaks_for_nobody_else(world: MailWorld, attendee: str) -> None:
    await world.put_by("anna", MEETING, meeting(DORA, GUS, BEN))
    text = reply(attendee, "DECLINED")
    await world.deliver(mail(text, attendee, ""), world.tagged())
    assert [await world.partstat(each) for each in (GUS, BEN)] == ["NEEDS-ACTION"] * 2


async def test_a_tag_of_another_meeting_or_installation_is_none(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    await world.put_by("anna", "anna/calendar/o.ics", meeting(DORA, uid="o"))
    other = world.tagged(uid="o")
    forged = other.replace(other[20:24], "aaaa")
    for address in (other, forged):
        assert await world.deliver(mail(reply(), results=""), address) == (HELD_BACK,)
    assert await world.partstat(DORA) == "NEEDS-ACTION"


async def test_an_answer_of_somebody_not_invited_is_held(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    assert await world.receive(reply(GUS), sender=GUS) is HELD_BACK
    text = (
        reply()
        .replace("ATTENDEE;", f'ATTENDEE;DELEGATED-FROM="mailto:{DORA}";')
        .replace(f":mailto:{DORA}", f":mailto:{GUS}")
    )
    assert await world.receive(text, sender=GUS) is HELD_BACK
    assert await world.items("anna") == [("REPLY", "not-invited")] * 2
    assert await world.partstat(GUS) == ""


async def test_a_delegate_whom_the_attendee_has_named_answers(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    delegating = reply(partstat=f'DELEGATED;DELEGATED-TO="mailto:{GUS}"')
    assert await world.receive(delegating) is APPLIED
    assert await world.partstat(GUS) == "NEEDS-ACTION"
    accepted = message(
        "REPLY", line("ORGANIZER", ANNA), line("ATTENDEE", GUS, f';PARTSTAT=ACCEPTED;DELEGATED-FROM="mailto:{DORA}"')
    )
    assert await world.receive(accepted, sender=GUS) is APPLIED
    assert await world.partstat(GUS) == "ACCEPTED"


def mailed(world: MailWorld) -> list[tuple[str, str]]:
    """METHOD and address of the mails so far, and none from then on."""
    found = [(row.method, row.address) for row in world.memory.tables.mails.values()]
    world.memory.tables.mails.clear()
    return sorted(found)


async def test_a_message_causes_at_most_one_mail(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA, "x@gmail.example"))
    assert len(mailed(world)) == 2
    assert await world.receive(reply()) is APPLIED
    assert mailed(world) == []
    assert await world.receive(reply().replace("METHOD:REPLY", "METHOD:REFRESH")) is APPLIED
    assert mailed(world) == [("REQUEST", DORA)]
    delegated = reply(partstat=f'DELEGATED;DELEGATED-TO="mailto:{GUS}"', dtstamp="20260303T000000Z")
    assert await world.receive(delegated) is APPLIED
    assert mailed(world) == [("REQUEST", GUS)]


async def test_an_answer_that_delegates_to_several_is_refused(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    many = reply(partstat=f'DELEGATED;DELEGATED-TO="mailto:{GUS}","mailto:x@gmail.example"')
    assert await world.receive(many) is REFUSED
    assert await world.partstat(GUS) == ""


async def test_an_answer_to_no_meeting_is_passed_over(world: MailWorld) -> None:
    await world.put_by("ben", "ben/calendar/b.ics", event("b"))
    for text, to in ((reply(uid="x"), ANNA), (reply(), ANNA), (reply(organizer=BEN, uid="b"), BEN)):
        assert await world.receive(text, to) is NOT_CONCERNED
        assert await world.receive(text, to, results="") is NOT_CONCERNED
    assert await world.items("anna") == []


@pytest.mark.parametrize("method", ["REPLY", "COUNTER", "REFRESH"])
async def test_nobody_answers_by_mail_for_somebody_here(world: MailWorld, method: str) -> None:
    await world.put_by("anna", MEETING, meeting(DORA, BEN))
    before = await world.items("anna")
    text = reply(BEN, "DECLINED").replace("METHOD:REPLY", f"METHOD:{method}")
    results = "dmarc=pass header.from=example.com"
    assert await world.receive(text, sender=BEN, results=results) is LOCAL
    assert await world.deliver(mail(text, BEN, results), world.tagged(BEN)) == (LOCAL,)
    assert await world.receive(text, sender=DORA) is LOCAL
    assert (await world.partstat(BEN), await world.items("anna")) == ("NEEDS-ACTION", before)


async def test_a_proposal_lies_in_the_inbox(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    before = await world.text("anna", MEETING)
    assert await world.receive(reply().replace("METHOD:REPLY", "METHOD:COUNTER")) is APPLIED
    assert await world.items("anna") == [("COUNTER", "")]
    assert await world.text("anna", MEETING) == before


# -- invitations ------------------------------------------------------------------------------------------------------


async def test_an_invitation_from_elsewhere_is_put_into_the_calendar(world: MailWorld) -> None:
    assert await world.receive(request(ANNA)) is APPLIED
    assert f"ORGANIZER:mailto:{DORA}" in (await world.copies("anna"))[0]
    assert await world.items("anna") == [("REQUEST", "")]
    assert await world.receive(request(ANNA, method="CANCEL", more=("SEQUENCE:1",))) is APPLIED
    assert "STATUS:CANCELLED" in (await world.copies("anna"))[0]


async def test_an_invitation_without_organizer_is_that_of_its_sender(world: MailWorld) -> None:
    text = message("REQUEST", line("ATTENDEE", ANNA))
    assert await world.receive(text, results="") is Outcome.UNREADABLE
    assert await world.receive(text) is APPLIED
    assert f"ORGANIZER:mailto:{DORA}" in (await world.copies("anna"))[0]


async def test_each_recipient_of_the_mail_who_is_invited_gets_it(world: MailWorld) -> None:
    text = request(ANNA, "BEN.B@example.com")
    assert await world.deliver(mail(text), ANNA) == (APPLIED,)
    assert (len(await world.copies("anna")), len(await world.copies("ben"))) == (1, 0)
    assert await world.deliver(mail(text), "archive@example.com") == (APPLIED, APPLIED)
    assert len(await world.copies("ben")) == 1
    assert await world.deliver(mail(request(GUS)), ANNA) == (NOT_CONCERNED,)
    assert await world.deliver(mail(request(ANNA)), BEN) == (NOT_CONCERNED,)


@pytest.mark.parametrize("method", ["REQUEST", "CANCEL", "ADD", "DECLINECOUNTER"])
@pytest.mark.parametrize(
    ("sender", "results"), [(DORA, ""), (DORA, "dkim=pass header.d=evil.example"), (GUS, None), (BEN, None)]
)
async def test_a_message_that_is_not_the_organizers_is_held(
    world: MailWorld, method: str, sender: str, results: str | None
) -> None:
    await world.receive(request(ANNA))
    before = await world.copies("anna")
    text = request(ANNA, method=method, dtstamp="20260303T000000Z", more=("SEQUENCE:5", "LOCATION:Elsewhere"))
    assert await world.receive(text, sender=sender, results=results) is HELD_BACK
    assert await world.copies("anna") == before
    assert (method, "untrusted") in await world.items("anna")


@pytest.mark.parametrize("method", ["REQUEST", "CANCEL", "ADD", "DECLINECOUNTER"])
async def test_a_known_uid_is_its_organizers(world: MailWorld, method: str) -> None:
    await world.receive(request(ANNA))
    await world.put_by("anna", "anna/calendar/own.ics", event("own"))
    await world.put_by("ben", "ben/calendar/b.ics", meeting(ANNA, by=BEN, uid="b"))
    before = await world.copies("anna")
    for uid in ("m", "own", "b"):
        text = request(ANNA, by=GUS, uid=uid, method=method, dtstamp="20270303T000000Z", more=("SEQUENCE:9",))
        assert await world.receive(text, sender=GUS) is REFUSED
    assert await world.copies("anna") == before


@pytest.mark.parametrize("method", ["REQUEST", "CANCEL", "ADD", "DECLINECOUNTER"])
async def test_nobody_invites_by_mail_in_the_name_of_somebody_here(world: MailWorld, method: str) -> None:
    await world.put_by("ben", "ben/calendar/m.ics", meeting(ANNA, by=BEN))
    before = await world.copies("anna"), await world.items("anna")
    for by in (BEN, "BEN.B@EXAMPLE.COM"):
        text = request(ANNA, by=by, method=method, more=("SEQUENCE:9",))
        assert await world.receive(text, sender=by.lower(), results="dmarc=pass header.from=example.com") is LOCAL
        assert await world.receive(text) is LOCAL
    assert (await world.copies("anna"), await world.items("anna")) == before


async def test_who_acts_for_an_organizer_needs_the_consent_of_the_recipient(world: MailWorld) -> None:
    by_assistant = request(ANNA, parameters=f';SENT-BY="mailto:{GUS}"')
    assert await world.receive(by_assistant, sender=GUS) is HELD_BACK
    assert await world.receive(by_assistant, sender=DORA) is HELD_BACK
    assert await world.copies("anna") == []
    await world.set_inbox_property("anna", ACTS_FOR_OTHERS, f"<a xmlns='urn:koyomi:mail'>\n{GUS} x@y.example</a>")
    assert await world.receive(by_assistant, sender=GUS, results="") is HELD_BACK
    assert await world.receive(by_assistant, sender=GUS) is APPLIED
    assert await world.receive(request(ANNA, uid="n"), sender=GUS) is APPLIED
    assert await world.receive(request(ANNA, uid="o"), sender="z@gmail.example") is HELD_BACK


async def test_invitations_of_unknown_senders_lie_in_the_inbox_only(world: MailWorld) -> None:
    world.mails = world.receiver(IncomingMailSettings(authserv_id=HERE, domains=("partner.example",)))
    assert await world.receive(request(ANNA)) is HELD_BACK
    assert await world.receive(request(ANNA, method="CANCEL", uid="z")) is NOT_CONCERNED
    assert (await world.copies("anna"), await world.items("anna")) == ([], [("REQUEST", "unknown-sender")])
    assert await world.receive(request(ANNA, by="p@partner.example", uid="p"), sender="p@partner.example") is APPLIED
    await world.put(
        "anna", "contacts:anna/addressbook/g.vcf", card("g").replace("END:", f"EMAIL:{GUS.upper()}\r\nEND:")
    )
    assert await world.receive(request(ANNA, by=GUS, uid="g"), sender=GUS) is APPLIED
    await world.put_by("anna", MEETING, meeting(DORA, uid="earlier"))
    assert await world.receive(request(ANNA)) is APPLIED
    assert await world.receive(request(BEN), BEN) is HELD_BACK
    assert (
        await world.receive(request(ANNA, by="ora@contoso.example", uid="o"), sender="ora@contoso.example") is HELD_BACK
    )


async def test_a_person_whose_calendar_is_elsewhere_acts_by_mail(world: MailWorld) -> None:
    world.mails = world.receiver(IncomingMailSettings(authserv_id=HERE))
    change = PrincipalChange(id=world.ids["ben"], calendar="elsewhere")
    await world.directory.write_principals([change], INSTALLATION.cause)
    results = "dmarc=pass header.from=example.com"
    assert await world.receive(request(ANNA, by=BEN), sender=BEN, results=results) is APPLIED
    await world.put_by("anna", "anna/calendar/o.ics", meeting(BEN, uid="o"))
    assert await world.receive(reply(BEN, uid="o"), sender=BEN, results=results) is APPLIED
    assert await world.partstat(BEN, "anna/calendar/o.ics") == "ACCEPTED"
    assert await world.receive(request(BEN, uid="n"), BEN) is NOT_CONCERNED


async def test_nobody_may_invite_where_the_setting_says_so(world: MailWorld) -> None:
    await world.receive(request(ANNA))
    world.mails = world.receiver(IncomingMailSettings(authserv_id=HERE, invitations="none"))
    assert await world.receive(request(ANNA, uid="n")) is HELD_BACK
    assert await world.receive(request(ANNA, method="CANCEL", more=("SEQUENCE:1",))) is APPLIED


# -- limits and what is passed over -----------------------------------------------------------------------------------


async def test_what_is_no_calendar_mail_is_passed_over(world: MailWorld) -> None:
    for data in (b"", b"From: x@y.example\r\n\r\nHello", mail(request(ANNA).replace("METHOD:REQUEST", "X-A:1"))):
        assert await world.deliver(data, ANNA) == (Outcome.NO_CALENDAR,)
    assert await world.deliver(mail("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\n"), ANNA) == (
        Outcome.UNREADABLE,
    )
    assert await world.deliver(mail(request(ANNA, method="PUBLISH")), ANNA) == (Outcome.NO_CALENDAR,)
    assert await world.deliver(bytes(20_000_000), ANNA) == (Outcome.UNREADABLE,)


async def test_null_senders_and_own_mails_are_passed_over(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    for sender in ("", "<>"):
        assert await world.deliver(mail(reply()), ANNA, sender=sender) == (Outcome.NULL_SENDER,)
        assert await world.deliver(mail(reply()), world.tagged(), sender=sender) == (Outcome.NULL_SENDER,)
    own = mail(reply(), message_id="<a@own.example>")
    assert await world.deliver(own, ANNA) == (Outcome.OWN,)
    assert await world.partstat(DORA) == "NEEDS-ACTION"


async def test_messages_of_a_sender_are_limited(world: MailWorld) -> None:
    world.mails = world.receiver(IncomingMailSettings(authserv_id=HERE, invitations="all", messages_per_hour=2))
    found = [await world.receive(request(ANNA, uid=f"u{n}")) for n in range(3)]
    assert found == [APPLIED, APPLIED, Outcome.LIMITED]
    assert await world.receive(request(ANNA, by=GUS, uid="g"), sender=GUS) is APPLIED


async def test_a_bounce_says_what_became_of_a_mail(world: MailWorld) -> None:
    report = "\r\n".join(
        [
            "From: MAILER-DAEMON@mx.example.com",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
            "",
            "--b",
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; mx.example.com",
            "",
            "Final-Recipient: rfc822; dora@contoso.example",
            "Action: {action}",
            "Status: {status}",
            "--b--",
        ]
    )
    address = TAGS.bounce_address(1, 7)
    for action, status in (
        ("failed", "5.1.1"),
        ("failed", "5.2.2"),
        ("failed", "5.6.7"),
        ("Failed", "odd"),
        ("delayed", "4.4.1"),
    ):
        await world.deliver(report.format(action=action, status=status).encode(), address, sender="")
    assert world.bounces == [("5.2", "5.1.1"), ("5.1", "5.2.2"), ("5.2", "5.6.7"), ("5.1", "5.0.0")]
    assert await world.deliver(report.encode(), address[:-20] + "x" + address[-19:], sender="") == (
        Outcome.NULL_SENDER,
    )
    assert await world.deliver(mail(reply()), address, sender="") == (Outcome.NULL_SENDER,)


async def test_strangers_do_not_fill_an_inbox(world: MailWorld) -> None:
    world.mails = world.receiver(IncomingMailSettings(authserv_id=HERE, messages_per_hour=1000))
    for number in range(MAX_HELD + 2):
        last = await world.receive(request(ANNA, uid=f"u{number}"), results="")
    assert last is Outcome.FULL
    assert len(await world.items("anna")) == MAX_HELD


async def test_a_home_without_space_takes_no_more(world: MailWorld) -> None:
    await world.fill("anna")
    assert await world.receive(request(ANNA), results="") is Outcome.FULL
    assert await world.receive(request(ANNA)) is REFUSED


# -- what is held -----------------------------------------------------------------------------------------------------


async def test_a_held_message_is_accepted(world: MailWorld) -> None:
    await world.put_by("anna", MEETING, meeting(DORA))
    await world.receive(reply(), results="")
    await world.receive(request(ANNA, uid="n"), results="")
    for item in await world.incoming.held_items():
        assert await world.mails.held.accept(INSTALLATION.cause, item) == "1.2"
        with pytest.raises(NotFound):
            await world.mails.held.drop(INSTALLATION.cause, item)
    assert await world.partstat(DORA) == "ACCEPTED"
    assert len(await world.copies("anna")) == 2
    assert await world.items("anna") == [("REPLY", ""), ("REQUEST", "")]


async def test_a_held_message_is_dropped(world: MailWorld) -> None:
    await world.receive(request(ANNA), results="")
    (item,) = await world.incoming.held_items()
    assert (item.owner.name, read(item.held)) == ("anna", Held(Reason.UNTRUSTED, DORA, f"mailto:{DORA}"))
    await world.mails.held.drop(INSTALLATION.cause, item)
    assert (await world.items("anna"), await world.copies("anna")) == ([], [])


async def test_what_is_held_goes_after_thirty_days(world: MailWorld) -> None:
    await world.receive(request(ANNA), results="")
    await world.receive(request(ANNA, uid="n"))
    for days, count in ((KEPT_FOR - timedelta(hours=1), 0), (KEPT_FOR + timedelta(hours=1), 1)):
        later = HeldMessages(world.scheduling, world.incoming, lambda days=days: datetime.now(UTC) + days)  # type: ignore[misc]
        assert await later.forget(INSTALLATION.cause) == count
    assert await world.items("anna") == [("REQUEST", "")]


async def test_what_is_held_makes_nobody_busy(world: MailWorld) -> None:
    window = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    await world.receive(request(ANNA), results="")
    assert not (await world.storage.busy_people([world.ids["anna"]], window, window))[0].merged
    await world.put("anna", "anna/calendar/own.ics", event("own"))
    assert (await world.storage.busy_people([world.ids["anna"]], window, window))[0].merged


def test_the_mark_is_well_formed_whatever_it_says() -> None:
    held = Held(Reason.NOT_INVITED, "a&<\"'>@x.example", "mailto:b\x01\ud800é")
    text = written(held)
    assert read(text) == Held(Reason.NOT_INVITED, "a&<\"'>@x.example", "mailto:bé")
    assert HELD.endswith("held")
    assert etree.fromstring(text.encode()).get("sender") == held.sender


async def test_a_meeting_in_tnef_takes_effect(world: MailWorld) -> None:
    """From the request of a series over a modified instance to its cancellation, and answers to a meeting here."""
    await world.add("clara", addresses=("clara@example.com",))

    async def received(name: str) -> Outcome:
        (outcome,) = await world.deliver(FILES[f"tnef-{name}"], "clara@example.com")
        return outcome

    assert await received("weekly") is APPLIED
    (copy,) = await world.copies("clara")
    assert "RRULE:FREQ=WEEKLY;BYDAY=MO,WE" in copy
    assert copy.count("RECURRENCE-ID") == 2
    assert await received("cancel") is APPLIED
    assert all("STATUS:CANCELLED" in each for each in await world.copies("clara"))
    path = "clara/calendar/planning.ics"
    await world.put_by("clara", path, meeting(DORA, by="clara@example.com", uid="planning@example.com"))
    for name in ("accepted", "declined", "tentative"):
        assert await received(name) is APPLIED
        assert await world.partstat(DORA, path) == name.upper()
    assert await received("no-meeting") is Outcome.NO_CALENDAR
