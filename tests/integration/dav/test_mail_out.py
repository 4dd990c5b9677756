"""Mails to people elsewhere, from a request to the file in the folder or to the mail server (RFC 6047)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, Envelope
from click.testing import CliRunner

from server.cli import main
from server.domain.limits import Limits
from server.imip.tags import BounceTag, ReplyTag, Tags
from server.services.mail.incoming import Arrived, receiving
from server.services.mail.incoming_effects import Outcome
from server.services.mail.settings import MailSettings
from server.services.objects import Objects
from server.services.scheduling.implicit import Scheduling
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.embedded.server import Cluster
from storage_plugins.postgres.incoming_mail import PostgresIncomingMail
from storage_plugins.postgres.storage import PostgresStorage
from tests.fixtures.postgres import create_database, drop_database
from tests.integration.dav.conftest import Served, make_person, serving
from tests.integration.dav.person import Person
from tests.unit.calendar.texts import calendar

ZOE, YAN = "mailto:zoe@elsewhere.example", "mailto:yan@elsewhere.example"


def address(person: Person) -> str:
    return f"mailto:{person.name}@example.com"


def meeting(organizer: str, *attendees: str, uid: str = "m", lines: tuple[str, ...] = ()) -> str:
    return calendar(
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        "DTSTART;TZID=Europe/Berlin:20990601T090000",
        "DURATION:PT1H",
        "SUMMARY:Plan",
        *lines,
        f"ORGANIZER:{organizer}",
        *(f"ATTENDEE:{each}" for each in attendees),
        "END:VEVENT",
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


class Post:
    """A person of a server, and the mails that the server sends."""

    def __init__(self, served: Served, person: Person, folder: Path) -> None:
        self.served, self.person, self.folder = served, person, folder
        self.path = f"{self.person.calendar}m.ics"

    def mails(self) -> list[EmailMessage]:
        """In the order in which they were made."""
        paths = sorted(self.folder.glob("*.eml"), key=lambda path: int(path.stem.rpartition("-")[2]))
        return [message_from_bytes(path.read_bytes(), policy=default) for path in paths]  # type: ignore[misc]

    async def sent(self, number: int) -> list[EmailMessage]:
        await until(lambda: len(self.mails()) >= number)
        return self.mails()

    async def stored(self) -> str:
        return (await self.person.http("GET", self.path)).text.replace("\r\n ", "")

    async def status(self, of: str) -> str:
        """SCHEDULE-STATUS of an address, when it is no longer 1.0."""
        async with asyncio.timeout(30):
            while True:
                (line,) = [each for each in (await self.stored()).splitlines() if each.endswith(of)]
                found = re.search("SCHEDULE-STATUS=([0-9.]+)", line)
                if found and found[1] != "1.0":
                    return found[1]
                await asyncio.sleep(0.05)

    async def counts(self) -> dict[str, int]:
        """Mails by status."""
        rows = await self.served.storage.database.fetch(
            "select m.status, count(*) from outgoing_mail m join home h on h.id = m.home_id "
            "where h.principal_id = $1 group by 1",
            self.person.id,
        )
        return dict(map(tuple, rows))


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return body.get_content()


def calendar_of(mail: EmailMessage) -> str:
    (part,) = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    return part.get_payload(decode=True).decode().replace("\r\n ", "")  # type: ignore[union-attr]


@contextlib.asynccontextmanager
async def posted(dsn: str, folder: Path, **mail: object) -> AsyncIterator[Post]:
    """A person of a server that alone runs the jobs of a database."""
    url = mail.pop("external_url", "")
    named = {f"mail.{name}": value for name, value in mail.items()}
    settings = {"network.external_url": url, "mail.folder": str(folder), **named}
    async with (
        PostgresStorage(dsn, DatabaseLimits(connections=2)) as storage,
        serving(dsn, storage, settings) as served,
    ):
        person = await make_person(served)
        yield Post(served, person, folder)
        person.http.close()


@pytest_asyncio.fixture(loop_scope="session")
async def mail_dsn(cluster: Cluster, migrated_template: str) -> AsyncIterator[str]:
    name = await create_database(cluster, migrated_template)
    yield cluster.dsn(name)
    await drop_database(cluster, name)


@pytest_asyncio.fixture(loop_scope="session")
async def post(mail_dsn: str, tmp_path: Path) -> AsyncIterator[Post]:
    async with posted(mail_dsn, tmp_path, address="calendar@example.com", decline_delay=0) as made:
        yield made


async def test_an_organizer_invites_changes_and_cancels(post: Post, mail_dsn: str) -> None:
    me = address(post.person)
    await post.person.has(post.path, meeting(me, me, ZOE))
    (mail,) = await post.sent(1)
    assert mail["To"].addresses[0].addr_spec == "zoe@elsewhere.example"
    assert mail["From"].addresses[0].addr_spec == me.removeprefix("mailto:")
    assert mail["Subject"] == "Invitation: Plan"
    assert "METHOD:REQUEST" in calendar_of(mail)
    assert await post.status(ZOE) == "1.1"
    text = await post.stored()
    await post.person.has(post.path, text.replace("T090000", "T100000"))
    _, mail = await post.sent(2)
    assert mail["Subject"] == "Updated invitation: Plan"
    assert "10:00 – 11:00 (Europe/Berlin, UTC+02:00) (was: Monday, 1 June 2099, 09:00" in text_of(mail)
    assert "SEQUENCE:1" in calendar_of(mail)
    assert await post.status(ZOE) == "1.1"
    said = await koyomi(mail_dsn, "explain", "m", command="schedule")
    assert "1.1 (a mail server took the mail)" in said
    assert said.partition("Mails:")[2].count("zoe@elsewhere.example  REQUEST  sent") == 2
    assert (await post.person.http("DELETE", post.path)).status == 204
    *_, mail = await post.sent(3)
    assert mail["Subject"] == "Cancelled: Plan"
    assert "STATUS:CANCELLED" in calendar_of(mail)


async def test_answers_and_bounces_come_to_tagged_addresses(post: Post) -> None:
    me = address(post.person)
    await post.person.has(post.path, meeting(me, ZOE, uid="tagged"))
    (mail,) = await post.sent(1)
    tags = Tags(await post.served.storage.mail_secret(), "calendar@example.com")
    tag = tags.read(mail["Reply-To"].addresses[0].addr_spec)
    assert isinstance(tag, ReplyTag)
    assert tags.is_about(tag, "tagged")
    assert tags.is_of(tag, ZOE)
    assert tags.is_ours(mail["Message-ID"])


async def test_an_attendee_answers_an_organizer_elsewhere(post: Post) -> None:
    me = address(post.person)
    invitation = meeting(ZOE, me, YAN)
    await post.person.has(post.path, invitation)
    await post.person.has(post.path, invitation.replace(f"ATTENDEE:{me}", f"ATTENDEE;PARTSTAT=ACCEPTED:{me}"))
    (mail,) = await post.sent(1)
    assert mail["To"].addresses[0].addr_spec == "zoe@elsewhere.example"
    assert mail["Subject"] == "Accepted: Plan"
    assert mail["Reply-To"] is None
    text = calendar_of(mail)
    assert "METHOD:REPLY" in text
    assert f"PARTSTAT=ACCEPTED:{me}" in text
    assert YAN not in text
    assert await post.status(ZOE) == "1.1"
    assert (await post.person.http("DELETE", post.path)).status == 204
    *_, mail = await post.sent(2)
    assert mail["Subject"] == "Declined: Plan"


async def test_a_decline_is_dropped_when_the_meeting_comes_back(mail_dsn: str, tmp_path: Path) -> None:
    async with posted(mail_dsn, tmp_path, decline_delay=3600) as post:
        me = address(post.person)
        accepted = meeting(ZOE, me).replace(f"ATTENDEE:{me}", f"ATTENDEE;PARTSTAT=ACCEPTED:{me}")
        await post.person.has(post.path, accepted)
        assert await post.status(ZOE) == "1.1"
        assert (await post.person.http("DELETE", post.path)).status == 204
        assert await post.counts() == {"sent": 1, "waiting": 1}
        post.path = f"{post.person.calendar}moved.ics"
        await post.person.has(post.path, accepted)
        assert await post.status(ZOE) == "1.1"
        assert await post.counts() == {"sent": 2, "dropped": 1}
        assert [mail["Subject"] for mail in post.mails()] == ["Accepted: Plan"] * 2


async def test_a_newer_mail_takes_the_place_of_one_that_waits(post: Post) -> None:
    me = address(post.person)
    await post.served.storage.database.fetch("insert into job_hold (kind) values ('mail') on conflict do nothing")
    try:
        await post.person.has(post.path, meeting(me, ZOE))
        await post.person.has(post.path, (await post.stored()).replace("T090000", "T100000"))
        await post.person.has(post.path, (await post.stored()).replace("T100000", "T110000"))
        assert await post.counts() == {"replaced": 2, "waiting": 1}
    finally:
        await post.served.storage.database.fetch("delete from job_hold")
        post.served.storage.announce_jobs()
    (mail,) = await post.sent(1)
    assert mail["Subject"] == "Invitation: Plan", "they know of no earlier one"
    assert "T110000" in calendar_of(mail)


async def test_nothing_is_sent_of_the_past_and_to_addresses_without_mail(post: Post) -> None:
    me = address(post.person)
    await post.person.has(post.path, meeting(me, ZOE).replace("20990601", "20200601"))
    assert "SCHEDULE-STATUS" not in await post.stored()
    await post.person.has(f"{post.person.calendar}n.ics", meeting(me, "mailto:jörg..x@example.org", uid="n"))
    text = (await post.person.http("GET", f"{post.person.calendar}n.ics")).text.replace("\r\n ", "")
    assert "SCHEDULE-STATUS=5.2" in text
    assert await post.counts() == {}


_LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")


async def koyomi(dsn: str, *words: str, command: str = "mail") -> str:
    environment = {**os.environ, "KOYOMI_STORAGE_DATABASE": dsn, "KOYOMI_NETWORK_EXTERNAL_URL": "https://two.example"}
    done = await asyncio.to_thread(CliRunner().invoke, main, [command, *words], env=environment)
    assert done.exit_code == 0, done.output
    # The server of the test logs in the same process meanwhile.
    return "".join(line for line in done.output.splitlines(keepends=True) if not _LOGGED.match(line))


async def test_mails_are_held_under_another_public_url(mail_dsn: str, tmp_path: Path) -> None:
    async with posted(mail_dsn, tmp_path, external_url="https://one.example"):
        pass
    async with posted(mail_dsn, tmp_path, external_url="https://two.example") as post:
        await post.person.has(post.path, meeting(address(post.person), ZOE))
        said = await koyomi(mail_dsn, "status")
        assert "Held" in said
        assert "Waiting: 1" in said
        assert "They were last sent under https://one.example; the settings have https://two.example." in said
        assert await koyomi(mail_dsn, "discard") == "1 mails were dropped.\n"
        await post.person.has(post.path, (await post.stored()).replace("T090000", "T100000"))
        assert await koyomi(mail_dsn, "release") == "1 mails are to be sent.\n"
        assert await post.status(ZOE) == "1.1"
        assert len(post.mails()) == 1
        said = await koyomi(mail_dsn, "status")
        assert "Held" not in said
        assert "In the last day: 1 sent, 0 failed" in said


@pytest.mark.parametrize("place", ["", "/calendar"])
async def test_an_app_that_sends_its_own_mails(post: Post, mail_dsn: str, place: str) -> None:
    named = f"{post.person.name}{place}"
    me = address(post.person)
    assert await koyomi(mail_dsn, "client", named) == f"{named}: this server sends mails.\n"
    assert await koyomi(mail_dsn, "client", named, "--on") == f"{named}: the app sends its own mails.\n"
    await post.person.has(post.path, meeting(me, ZOE))
    assert "SCHEDULE-STATUS" not in await post.stored()
    await koyomi(mail_dsn, "client", named, "--off")
    await post.person.has(post.path, (await post.stored()).replace("T090000", "T100000"))
    assert await post.status(ZOE) == "1.1"
    assert await post.counts() == {"sent": 1}


class Server:
    """A mail server that answers what a test wants."""

    def __init__(self) -> None:
        self.answer = "250 OK"
        self.taken: list[Envelope] = []

    async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            self.taken.append(envelope)
        return self.answer


@pytest_asyncio.fixture(loop_scope="session")
async def mail_server() -> AsyncIterator[tuple[Server, int]]:
    handler = Server()
    listener = await asyncio.get_running_loop().create_server(lambda: SMTP(handler), "127.0.0.1", 0)
    yield handler, listener.sockets[0].getsockname()[1]
    listener.close()


@pytest_asyncio.fixture(loop_scope="session")
async def by_smtp(mail_dsn: str, tmp_path: Path, mail_server: tuple[Server, int]) -> AsyncIterator[tuple[Post, Server]]:
    server = {
        "external_url": "https://example.org",
        "smtp_host": "127.0.0.1",
        "smtp_port": mail_server[1],
        "smtp_security": "none",
    }
    async with posted(mail_dsn, tmp_path, **server, address="calendar@example.com", recipients_per_hour=2) as made:
        yield made, mail_server[0]


async def test_a_mail_server_takes_mails(by_smtp: tuple[Post, Server]) -> None:
    post, server = by_smtp
    await post.person.has(post.path, meeting(address(post.person), ZOE))
    assert await post.status(ZOE) == "1.1"
    (envelope,) = server.taken
    assert envelope.rcpt_tos == ["zoe@elsewhere.example"]
    tags = Tags(await post.served.storage.mail_secret(), "calendar@example.com")
    assert isinstance(tags.read(envelope.mail_from or ""), BounceTag)


async def test_a_mail_server_refuses(by_smtp: tuple[Post, Server]) -> None:
    post, server = by_smtp
    server.answer = "550 No such user"
    await post.person.has(post.path, meeting(address(post.person), ZOE))
    assert await post.status(ZOE) == "5.1"
    assert await post.counts() == {"failed": 1}


async def test_a_mail_that_is_not_taken_is_tried_again_with_the_same_id(by_smtp: tuple[Post, Server]) -> None:
    post, server = by_smtp
    server.answer = "451 Later"
    await post.person.has(post.path, meeting(address(post.person), ZOE))
    errors = "select count(*) from outgoing_mail where error like '451%'"
    async with asyncio.timeout(30):
        while not await post.served.storage.database.fetchval(errors):
            await asyncio.sleep(0.05)
    server.answer = "250 OK"
    assert await post.status(ZOE) == "1.1"
    ids = [message_from_bytes(each.content or b"")["Message-ID"] for each in server.taken]
    assert len(ids) == len(set(ids))


async def test_a_person_sends_to_so_many_recipients_only(by_smtp: tuple[Post, Server]) -> None:
    post, server = by_smtp
    people = [f"mailto:{number}@elsewhere.example" for number in range(4)]
    for number, each in enumerate(people):
        path = f"{post.person.calendar}{number}.ics"
        await post.person.has(path, meeting(address(post.person), each, uid=f"m{number}"))
        post.path = path
        assert await post.status(each) == ("1.1" if number < 2 else "5.1")
    assert len(server.taken) == 2


async def test_a_mail_that_comes_back(post: Post) -> None:
    """The report arrives at the address of the envelope sender (RFC 3464)."""
    await post.person.has(post.path, meeting(address(post.person), ZOE))
    assert await post.status(ZOE) == "1.1"
    storage = post.served.storage
    (row,) = await storage.database.fetch("select home_id, id from outgoing_mail")
    settings = MailSettings(address="calendar@example.com")
    tags = Tags(await storage.mail_secret(), settings.address)
    scheduling = Scheduling(storage, Objects(storage, Limits()), Limits())
    incoming = await receiving(scheduling, PostgresIncomingMail(storage.database), settings)
    report = REPORT.replace("\n", "\r\n").encode()
    outcomes = await incoming.receive(Arrived(report, "", (tags.bounce_address(row[0], row[1]),)))
    assert outcomes == (Outcome.BOUNCED,)
    async with asyncio.timeout(30):
        while "SCHEDULE-STATUS=5." not in await post.stored():
            await asyncio.sleep(0.05)
    (mail,) = post.mails()
    own = Arrived(mail.as_bytes(), "x@elsewhere.example", (address(post.person).removeprefix("mailto:"),))
    assert await incoming.receive(own) == (Outcome.OWN,)


REPORT = """From: MAILER-DAEMON@elsewhere.example
To: calendar@example.com
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

It came back.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; elsewhere.example

Final-Recipient: rfc822; zoe@elsewhere.example
Action: failed
Status: 5.1.1

--b--
"""
