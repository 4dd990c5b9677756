"""Mails to people elsewhere, on a storage in memory: which are stored, sent, replaced and dropped."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from server.domain.errors import AddressNotSupported, KoyomiError, MailDelayed, MailRefused
from server.services.mail.outgoing import CLIENT_SENDS
from server.services.mail.sending import MailJobs
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail
from server.services.scheduling.implicit import Scheduling
from tests.unit.services.world import NOW, World, calendar

PATH = "anna/calendar/m.ics"
ANNA, BEN = "mailto:anna@example.org", "mailto:ben@example.org"
DORA = "mailto:дора@пример.example"
ZOE, YAN = "mailto:zoe@elsewhere.example", "mailto:yan@elsewhere.example"


@dataclass
class Carrier:
    """Takes mails, or raises."""

    mails: list[Mail] = field(default_factory=list)
    error: KoyomiError | None = None

    async def send(self, mail: Mail) -> None:
        if self.error is not None:
            raise self.error
        self.mails.append(mail)

    @property
    def sent(self) -> list[tuple[str, str]]:
        """Recipients and subjects."""
        return [(mail.recipient.partition("@")[0], str(headers(mail)["Subject"])) for mail in self.mails]


def headers(mail: Mail):  # type: ignore[no-untyped-def]
    return message_from_bytes(mail.message, policy=default)


def unfolded(part: EmailMessage) -> list[str]:
    return str(part.get_content()).replace("\r\n", "\n").replace("\n ", "").splitlines()


class Posted(World):
    def __init__(self, settings: MailSettings = MailSettings(decline_delay=0)) -> None:  # noqa: B008 - a value
        super().__init__(mail=settings)
        self.now, self.carrier = NOW, Carrier()
        self.scheduling = Scheduling(self.storage, self.objects, self.limits, now=lambda: self.now, mails=self.outgoing)
        self.mail_jobs = MailJobs(self.storage, self.objects, self.limits, settings, self.carrier, now=lambda: self.now)

    async def send(self, *, errors: type[KoyomiError] | None = None) -> None:
        """Send what waits, and write what became of it."""
        rows = self.memory.tables.mails
        for id_, row in sorted(rows.items()):
            if row.status in ("waiting", "sending"):
                if errors is None:
                    await self.mail_jobs.send(row.home_id, id_)
                else:
                    with pytest.raises(errors):
                        await self.mail_jobs.send(row.home_id, id_)
        for home_id, meeting in sorted({(row.home_id, row.meeting) for row in rows.values()}):
            await self.mail_jobs.state(home_id, meeting)

    @property
    def statuses(self) -> list[str]:
        return [row.status for _, row in sorted(self.memory.tables.mails.items())]

    async def status(self, who: str, path: str = PATH) -> str | None:
        text = (await self.text("anna", path) or "").replace("\r\n ", "")
        (line,) = [each for each in text.splitlines() if each.endswith(who)]
        return line.partition("SCHEDULE-STATUS=")[2][:3] or None


def meeting(organizer: str, *attendees: str, start: str = "20260401T090000Z", lines: tuple[str, ...] = ()) -> str:
    people = (f"ORGANIZER:{organizer}", *(f"ATTENDEE:{each}" for each in attendees))
    times = ("UID:m", "DTSTAMP:20260101T000000Z", f"DTSTART:{start}", "DURATION:PT1H")
    return calendar("BEGIN:VEVENT", *times, "SUMMARY:Plan", *lines, *people, "END:VEVENT")


@pytest.fixture
async def world() -> Posted:
    made = Posted()
    await made.add("anna", addresses=("anna@example.org",))
    await made.add("ben", addresses=("ben@example.org",))
    return made


async def test_1_0_before_a_mail_is_sent_and_1_1_after_it(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, BEN, ZOE))
    assert (await world.status(ZOE), await world.status(BEN)) == ("1.0", "1.2")
    before = await world.member("anna", PATH)
    await world.send()
    after = await world.member("anna", PATH)
    assert await world.status(ZOE) == "1.1"
    assert before is not None
    assert after is not None
    assert after.schedule_tag == before.schedule_tag
    assert world.carrier.sent == [("zoe", "Invitation: Plan")]
    await world.send()
    assert len(world.carrier.mails) == 1


@pytest.mark.parametrize("tagged", [False, True])
async def test_organizer_has_the_tagged_address_where_the_setting_says_so(tagged: bool) -> None:
    settings = MailSettings(address="calendar@example.org", tagged_organizer=tagged)
    world = Posted(settings)
    await world.add("anna", addresses=("anna@example.org",))
    await world.invite("anna", PATH, meeting(ANNA, ZOE))
    await world.send()
    (mail,) = world.carrier.mails
    reply_to = headers(mail)["Reply-To"].addresses[0].addr_spec
    assert reply_to.startswith("calendar+")
    (part,) = [each for each in headers(mail).walk() if each.get_content_type() == "text/calendar"]
    (line,) = [each for each in unfolded(part) if each.startswith("ORGANIZER")]
    assert line.endswith(f":mailto:{reply_to}" if tagged else f":{ANNA}")


async def test_a_newer_mail_takes_the_place_of_one_that_waits(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, ZOE))
    await world.invite("anna", PATH, meeting(ANNA, ZOE, start="20260402T090000Z"))
    assert world.statuses == ["replaced", "waiting"]
    await world.cancel("anna", PATH)
    assert world.statuses == ["replaced", "waiting", "waiting"], "another METHOD"
    await world.send()
    assert world.carrier.sent == [("zoe", "Invitation: Plan"), ("zoe", "Cancelled: Plan")]


async def test_changes_are_those_since_the_last_mail(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, ZOE))
    await world.send()
    for day in (2, 3):
        await world.invite("anna", PATH, meeting(ANNA, ZOE, start=f"2026040{day}T090000Z"))
    await world.send()
    text = headers(world.carrier.mails[-1]).get_body(("plain",)).get_content()
    assert "Friday, 3 April 2026, 09:00 – 10:00 (UTC+00:00) (was: Wednesday, 1 April 2026" in text


async def test_answers_of_others_are_not_mailed(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, BEN, ZOE))
    await world.send()
    (name,) = await world.names("ben/calendar")
    text = await world.text("ben", f"ben/calendar/{name}") or ""
    accepted = text.replace("\r\n ", "").replace("PARTSTAT=NEEDS-ACTION;", "PARTSTAT=ACCEPTED;", 1)
    await world.invite("ben", f"ben/calendar/{name}", accepted)
    await world.send()
    assert len(world.carrier.mails) == 1


async def test_excluded_days_are_one_cancel_without_a_request(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, ZOE, lines=("RRULE:FREQ=DAILY;COUNT=9",)))
    await world.send()
    days = ("RRULE:FREQ=DAILY;COUNT=9", "EXDATE:20260402T090000Z", "EXDATE:20260404T090000Z")
    await world.invite("anna", PATH, meeting(ANNA, ZOE, lines=days))
    await world.send()
    assert [subject for _, subject in world.carrier.sent] == ["Invitation: Plan", "Cancelled on some days: Plan"]


async def test_5_1_when_the_mail_server_refuses(world: Posted) -> None:
    world.carrier.error = MailRefused()
    await world.invite("anna", PATH, meeting(ANNA, ZOE))
    await world.send()
    assert await world.status(ZOE) == "5.1"
    assert world.statuses == ["failed"]


async def test_5_1_after_a_day_in_which_no_mail_server_takes_it(world: Posted) -> None:
    world.carrier.error = MailDelayed()
    await world.invite("anna", PATH, meeting(ANNA, ZOE))
    await world.send(errors=MailDelayed)
    assert await world.status(ZOE) == "1.0"
    tables = world.memory.tables
    ((id_, row),) = tables.mails.items()
    tables.mails[id_] = replace(row, first_tried_at=NOW - timedelta(hours=24))
    await world.send()
    assert await world.status(ZOE) == "5.1"


async def test_the_same_message_id_on_every_attempt(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, ZOE))
    ((id_, row),) = world.memory.tables.mails.items()
    await world.mail_jobs.send(row.home_id, id_)
    world.memory.tables.mails[id_] = replace(row, status="sending")  # the process died before it was marked
    await world.mail_jobs.send(row.home_id, id_)
    first, second = world.carrier.mails
    assert first.message == second.message


async def test_5_2_where_no_mail_may_go(world: Posted) -> None:
    allowing = Posted(MailSettings(allow="elsewhere.example, yan@other.example"))
    await allowing.add("anna", addresses=("anna@example.org",))
    await allowing.invite("anna", PATH, meeting(ANNA, ZOE, "mailto:yan@other.example", "mailto:max@other.example"))
    assert await allowing.status(ZOE) == "1.0"
    assert await allowing.status("mailto:yan@other.example") == "1.0"
    assert await allowing.status("mailto:max@other.example") == "5.2"


async def test_an_address_that_is_not_ascii_goes_by_smtputf8_or_gets_5_2(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, ZOE, DORA))
    assert await world.status(DORA) == "1.0"
    await world.send()
    by_recipient = {mail.recipient: mail for mail in world.carrier.mails}
    plain, international = by_recipient["zoe@elsewhere.example"], by_recipient["дора@xn--e1afmkfd.example"]
    assert (plain.international, international.international) == (False, True)
    assert plain.message.isascii(), "with her address in its calendar, escaped"
    header = international.message.partition(b"\r\n\r\n")[0].decode()
    assert "To: дора@xn--e1afmkfd.example\r\n" in header
    assert await world.status(DORA) == "1.1"
    world.carrier.error = AddressNotSupported("no SMTPUTF8")
    await world.invite("anna", PATH, meeting(ANNA, DORA, start="20260402T090000Z"))
    await world.send()
    assert await world.status(DORA) == "5.2"


async def test_whose_only_address_is_not_ascii_sends_from_it(world: Posted) -> None:
    await world.add("cleo", addresses=("клео@example.org",))
    await world.invite("cleo", "cleo/calendar/m.ics", meeting("mailto:клео@example.org", ZOE))
    await world.send()
    (mail,) = world.carrier.mails
    assert mail.international
    assert str(headers(mail)["From"]) == "cleo <клео@example.org>"


async def test_5_2_without_an_address_to_send_from(world: Posted) -> None:
    await world.add("cleo")
    await world.invite("cleo", "cleo/calendar/m.ics", meeting("urn:x-uid:id-cleo", ZOE))
    await world.send()
    text = (await world.text("cleo", "cleo/calendar/m.ics") or "").replace("\r\n ", "")
    assert "SCHEDULE-STATUS=5.2" in text


async def test_nothing_is_sent_of_the_past(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, ZOE, start="20250401T090000Z"))
    assert (world.statuses, await world.status(ZOE)) == ([], None)
    await world.invite("anna", PATH, meeting(ANNA, ZOE, start="20260401T090000Z"))
    await world.invite("anna", PATH, meeting(ANNA, ZOE, start="20250401T090000Z"))
    assert world.statuses == ["replaced", "waiting"], "they know of a time to come"


async def test_a_decline_that_waits_is_dropped_when_the_meeting_comes_back() -> None:
    world = Posted(MailSettings())
    await world.add("anna", addresses=("anna@example.org",))
    accepted = meeting(ZOE, ANNA).replace(f"ATTENDEE:{ANNA}", f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}")
    await world.invite("anna", PATH, accepted)
    await world.send()
    await world.cancel("anna", PATH)
    assert world.statuses == ["sent", "waiting"]
    await world.invite("anna", "anna/calendar/moved.ics", accepted)
    assert world.statuses == ["sent", "dropped", "waiting"]


@pytest.mark.parametrize("of_home", [True, False])
async def test_an_app_that_sends_its_own_mails(world: Posted, of_home: bool) -> None:
    tables = world.memory.tables
    home = next(each for each in tables.homes.values() if each.principal_id == world.ids["anna"])
    properties = {CLIENT_SENDS: "<x/>"}
    if of_home:
        tables.homes[home.id] = replace(home, properties=properties)
    else:
        collection = (await world.find("cli", "anna/calendar")).collection
        assert collection is not None
        tables.collections[collection.id] = replace(tables.collections[collection.id], properties=properties)
    await world.invite("anna", PATH, meeting(ANNA, BEN, ZOE))
    assert (world.statuses, await world.status(ZOE), await world.status(BEN)) == ([], None, "1.2")


async def test_the_first_message_after_a_restore_has_a_higher_sequence(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, ZOE))
    world.restore_backup()
    for number, sequence in ((2, 1000), (3, 1001)):
        await world.invite("anna", PATH, meeting(ANNA, ZOE, start=f"2026040{number}T090000Z"))
        assert f"SEQUENCE:{sequence}\r" in (await world.text("anna", PATH) or "")


async def test_a_divided_series_is_mailed_as_two(world: Posted) -> None:
    await world.invite("anna", PATH, meeting(ANNA, BEN, ZOE, lines=("RRULE:FREQ=DAILY;COUNT=9",)))
    await world.send()
    actor, found = await world.actor("anna"), await world.find("anna", PATH)
    name = await world.splitting.split(actor, found, "20260404T090000Z", "earlier")
    await world.send()
    assert sorted(subject for _, subject in world.carrier.sent) == [
        "Invitation: Plan",
        "Invitation: Plan",
        "Updated invitation: Plan",
    ]
    assert await world.status(ZOE) == await world.status(ZOE, f"anna/calendar/{name}") == "1.1"
