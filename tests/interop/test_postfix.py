"""A real Postfix, configured as `docs/mail.md` prints it, hands mail to a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.fixtures.milter import milter
from tests.fixtures.postfix import MISSING, Postfix, postfix
from tests.integration.test_incoming_mail import ask, metrics
from tests.integration.test_network import until
from tests.server_process import ServerProcess, free_port, running
from tests.unit.services.incoming_mail_world import DORA, mail, meeting, reply

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "mail.md"
HERE, ANNA = "mx.example.org", "anna@example.org"
MEETING = "/calendars/users/anna/calendar/m.ics"
FORGED = f"{HERE}; dmarc=pass header.from=contoso.example"


def files_of_the_document() -> dict[str, str]:
    """The files that the document prints, by their names without folders."""
    blocks = re.findall(r"^```text\n# (\S+)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return {Path(name).name: text for name, text in blocks}


def documented(port: int) -> tuple[str, dict[str, str]]:
    """The lines of main.cf and the tables, as the document has them, for another port of Koyomi."""
    files = files_of_the_document()
    settings = files["main.cf"]
    assert settings.count("127.0.0.1:2424") == 2
    return settings.replace("2424", str(port)), {name: files[name] for name in files if name.startswith("koyomi_")}


def server_of_anna(folder: Path, lmtp: int, more: Mapping[str, object]) -> ServerProcess:
    """A server, not yet running, of anna's, which receives mail at a port and believes the mail server `HERE`."""
    people = folder / "people.json"
    anna = {"kind": "individual", "name": "anna", "password": "secret", "emails": [ANNA]}
    people.write_text(json.dumps({"principals": [anna]}))
    settings = {
        "network.workers": 1,
        "monitoring.port": free_port(),
        "mail.address": "calendar@example.org",
        "mail.incoming.authserv_id": HERE,
        "mail.incoming.lmtp_listen": f"127.0.0.1:{lmtp}",
        **more,
    }
    server = ServerProcess(folder / "data", folder / "log", settings)
    server.command("principals", "load", str(people))
    return server


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, settings_of_a_database: dict[str, object]
) -> Iterator[tuple[ServerProcess, Postfix]]:
    port = free_port()
    server = server_of_anna(tmp_path_factory.mktemp("postfix"), port, settings_of_a_database)
    with running(server), milter(HERE) as checks, postfix(*documented(port), checks) as relay:
        yield server, relay


def answered(server: ServerProcess, value: str) -> bool:
    text = ask(server, "GET", MEETING)[1].replace("\r\n ", "")
    line = next(each for each in text.splitlines() if each.startswith("ATTENDEE") and each.endswith(DORA))
    return f"PARTSTAT={value}" in line


def sent_mails(server: ServerProcess) -> list[EmailMessage]:
    """The mails that the server has written, once there are some."""
    folder = server.data / "mail"
    until(lambda: folder.is_dir() and list(folder.glob("*.eml")))
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in folder.glob("*.eml")]


def count(server: ServerProcess, outcome: str) -> float:
    found = re.search(rf'koyomi_incoming_mail_messages_total{{outcome="{outcome}"}} (\S+)', metrics(server))
    return float(found[1]) if found else 0.0


def test_mail_for_people_here_reaches_their_mailboxes_and_koyomi(both: tuple[ServerProcess, Postfix]) -> None:
    server, relay = both
    # What is over is not mailed.
    assert ask(server, "PUT", MEETING, meeting(DORA, by=ANNA).replace("20260301T", "20990301T"))[0] == 201
    answer = reply(organizer=None)
    relay.send(mail(answer, results=""), ANNA, DORA)
    until(lambda: answered(server, "ACCEPTED"))
    until(lambda: len(relay.mailbox("anna")) == 1)
    # Whoever answers at the tagged address of an invitation answers for its attendee.
    (invitation,) = [each for each in sent_mails(server) if each["To"].endswith(f"<{DORA}>") or each["To"] == DORA]
    tentative = reply("d@private.example", "TENTATIVE", ANNA, dtstamp="20260302T010000Z")
    relay.send(mail(tentative, "d@private.example", ""), invitation["Reply-To"], "y@evil.example")
    until(lambda: answered(server, "TENTATIVE"))
    assert relay.mailbox("calendar") == []
    # The results of the milter are the only ones: those that the sender forged are gone.
    declined = reply(partstat="DECLINED", dtstamp="20260303T000000Z", organizer=ANNA)
    relay.send(
        mail(declined, results="").replace(b"From:", f"Authentication-Results: {FORGED}\r\nFrom:".encode(), 1),
        ANNA,
        "x@evil.example",
    )
    until(lambda: count(server, "held") == 1)
    until(lambda: len(relay.mailbox("anna")) == 2)
    assert FORGED.encode() not in relay.mailbox("anna")[1]
    assert answered(server, "TENTATIVE")
    # What is no calendar mail goes to the mailbox, and is taken by Koyomi.
    relay.send(b"From: dora@contoso.example\r\nTo: anna@example.org\r\n\r\nHello\r\n", ANNA, DORA)
    until(lambda: count(server, "no_calendar") == 1)
    relay.send(mail(reply(partstat="DECLINED", organizer=ANNA)), "calendar+tag@example.org", "y@evil.example")
    until(lambda: count(server, "held") == 2)
    assert relay.mailbox("calendar") == []
    assert "status=bounced" not in relay.log


def test_mail_waits_while_koyomi_is_away(both: tuple[ServerProcess, Postfix]) -> None:
    server, relay = both
    server.stop()
    relay.send(mail(reply(partstat="TENTATIVE", dtstamp="20260304T000000Z", organizer=ANNA), results=""), ANNA, DORA)
    until(lambda: "status=deferred" in relay.log)
    server.start()
    until(lambda: answered(server, "TENTATIVE"))
    assert "status=bounced" not in relay.log


ELSEWHERE = """
virtual_mailbox_domains = example.org, elsewhere.example
virtual_mailbox_maps = inline:{ { anna@example.org = anna/ }, { calendar@example.org = calendar/ },
    { zoe@elsewhere.example = zoe/ }, { дора@elsewhere.example = dora/ } }
smtpd_reject_unlisted_recipient = no
"""
"""People elsewhere, whose mail server takes mails for anybody and returns those that nobody gets."""
ZOE, NOBODY = "mailto:zoe@elsewhere.example", "mailto:nobody@elsewhere.example"
INTERNATIONAL = "mailto:дора@elsewhere.example"


def attendee(server: ServerProcess, path: str, address: str) -> str:
    text = ask(server, "GET", path)[1].replace("\r\n ", "")
    return next(each for each in text.splitlines() if each.startswith("ATTENDEE") and each.endswith(address))


def test_mails_leave_by_a_real_mail_server_and_come_back_to_it(
    both: tuple[ServerProcess, Postfix], tmp_path: Path
) -> None:
    """An invitation arrives elsewhere; what nobody gets comes back as a report; an answer takes effect."""
    first, _ = both
    first.stop()
    lmtp, smtp, path = free_port(), free_port(), "/calendars/users/anna/calendar/out.ics"
    settings = {
        **first.settings,
        "mail.incoming.lmtp_listen": f"127.0.0.1:{lmtp}",
        "mail.smtp_host": "127.0.0.1",
        "mail.smtp_port": smtp,
        "mail.smtp_security": "none",
        "network.external_url": "https://calendar.example.org",
    }
    server = ServerProcess(first.data, tmp_path / "log", settings)
    lines, tables = documented(lmtp)
    with milter(HERE) as checks, postfix(lines + ELSEWHERE, tables, checks, smtp) as relay, running(server):
        assert "are to be sent" in server.command("mail", "release"), "another public URL held them"
        text = meeting("zoe@elsewhere.example", by=ANNA, uid="out").replace("20260301T", "20990301T")
        others = f"ATTENDEE:{NOBODY}\r\nATTENDEE:{INTERNATIONAL}\r\n"
        text = text.replace("END:VEVENT", f"{others}END:VEVENT", 1).replace("\r\n ", "")
        assert ask(server, "PUT", path, text)[0] == 201
        until(lambda: len(relay.mailbox("zoe")) == 1)
        until(lambda: "SCHEDULE-STATUS=1.1" in attendee(server, path, ZOE))
        until(lambda: "SCHEDULE-STATUS=5." in attendee(server, path, NOBODY))
        until(lambda: "SCHEDULE-STATUS=1.1" in attendee(server, path, INTERNATIONAL))
        until(lambda: len(relay.mailbox("dora")) == 1)
        assert "To: дора@elsewhere.example\n" in relay.mailbox("dora")[0].decode()
        invitation = message_from_bytes(relay.mailbox("zoe")[0], policy=policy.default)
        assert invitation["From"].addresses[0].addr_spec == ANNA
        assert "<calendar+" in invitation["Return-Path"]
        assert relay.mailbox("calendar") == []
