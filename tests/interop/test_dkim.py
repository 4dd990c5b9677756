"""A real OpenDKIM as the milter of a real Postfix: what Koyomi sends is signed, and what arrives is trusted by its
Authentication-Results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy

import pytest

from tests.fixtures import opendkim as dkim
from tests.fixtures import postfix as mx
from tests.fixtures.opendkim import opendkim
from tests.fixtures.postfix import Postfix, postfix
from tests.integration.test_incoming_mail import ask
from tests.integration.test_network import until
from tests.interop.test_postfix import (
    ANNA,
    ELSEWHERE,
    HERE,
    MEETING,
    answered,
    attendee,
    count,
    documented,
    server_of_anna,
)
from tests.server_process import ServerProcess, free_port, running
from tests.unit.services.incoming_mail_world import DORA, mail, meeting, reply

MISSING = mx.MISSING or dkim.MISSING
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

ABROAD = "127.0.0.2"
"""The address of a mail server elsewhere: whose mails are checked, and not signed."""
ZOE = "zoe@elsewhere.example"
EVIL = "x@evil.example"
FORGED = "fay@contoso.example"
"""An address in whose name only evil.example signs mails."""
SIGNING = {
    "*@example.org": "example.org",
    FORGED: "evil.example",
    "*@contoso.example": "contoso.example",
}


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, settings_of_a_database: dict[str, object]
) -> Iterator[tuple[ServerProcess, Postfix]]:
    lmtp, smtp = free_port(), free_port()
    sending = {
        "mail.smtp_host": "127.0.0.1",
        "mail.smtp_port": smtp,
        "mail.smtp_security": "none",
        "network.external_url": "https://calendar.example.org",
    }
    server = server_of_anna(tmp_path_factory.mktemp("dkim"), lmtp, {**settings_of_a_database, **sending})
    lines, tables = documented(lmtp)
    with (
        running(server),
        opendkim(HERE, SIGNING) as checks,
        postfix(lines + ELSEWHERE, tables, checks, smtp) as relay,
    ):
        yield server, relay


def next_mail(relay: Postfix, name: str) -> Callable[[], bytes]:
    """Gives the next mail that somebody gets from now on."""
    before = set(relay.mailbox(name))

    def wait() -> bytes:
        until(lambda: set(relay.mailbox(name)) - before)
        (found,) = set(relay.mailbox(name)) - before
        return found

    return wait


def signed(relay: Postfix, data: bytes, sender: str) -> bytes:
    """A mail with the signature of the domain in its From, as the mail server there sends it."""
    arrives = next_mail(relay, "zoe")
    relay.send(data, ZOE, sender)
    found = arrives()
    return found[found.index(b"DKIM-Signature:") :]


def results(data: bytes) -> str:
    """The topmost Authentication-Results of a mail."""
    found = message_from_bytes(data, policy=policy.default).get_all("Authentication-Results") or [""]
    return str(found[0])


def test_what_is_sent_is_signed(both: tuple[ServerProcess, Postfix]) -> None:
    server, relay = both
    arrives = next_mail(relay, "zoe")
    text = meeting(ZOE, by=ANNA, uid="out").replace("20260301T", "20990301T")
    assert ask(server, "PUT", "/calendars/users/anna/calendar/out.ics", text)[0] == 201
    data = arrives()
    signature = data[data.index(b"DKIM-Signature:") :]
    assert re.search(rb"[; ]d=example\.org;", signature.partition(b"\r\nFrom:")[0])
    # Whoever receives it finds the signature right, and the mail as it was signed.
    arrives = next_mail(relay, "anna")
    relay.send(signature, ANNA, ANNA, ABROAD)
    found = results(arrives())
    assert found.startswith(f"{HERE};")
    assert re.search(r"dkim=pass .*header\.d=example\.org", found)


def test_a_signed_mail_takes_effect_and_a_forged_one_does_not(both: tuple[ServerProcess, Postfix]) -> None:
    server, relay = both
    assert ask(server, "PUT", MEETING, meeting(DORA, FORGED, by=ANNA).replace("20260301T", "20990301T"))[0] == 201
    accepted = signed(relay, mail(reply(organizer=ANNA), results=""), DORA)
    # The envelope sender and the host that sends may be anybody's: the signature says who has written it.
    relay.send(accepted, ANNA, EVIL, ABROAD)
    until(lambda: answered(server, "ACCEPTED"))

    held = count(server, "held")
    declined = mail(reply(partstat="DECLINED", dtstamp="20260303T000000Z", organizer=ANNA), results="")
    claim = f"Authentication-Results: {HERE}; dkim=pass header.d=contoso.example\r\n".encode()
    changed = signed(relay, mail(reply(partstat="TENTATIVE", organizer=ANNA), results=""), DORA)
    assert b"TENTATIVE" in changed
    in_her_name = mail(reply(FORGED, organizer=ANNA), FORGED, "")
    forged = (
        (declined, "dkim=none"),
        (claim + declined, "dkim=none"),
        (changed.replace(b"TENTATIVE", b"DECLINED"), "dkim=fail"),
        (signed(relay, in_her_name, FORGED), "dkim=pass .*header.d=evil.example"),
    )
    for number, (data, finding) in enumerate(forged, 1):
        arrives = next_mail(relay, "anna")
        relay.send(data, ANNA, DORA, ABROAD)
        assert re.match(f"{HERE};\\s+{finding}", results(arrives()))
        until(lambda number=number: count(server, "held") == held + number)
    assert answered(server, "ACCEPTED")
    assert "NEEDS-ACTION" in attendee(server, MEETING, FORGED) or "PARTSTAT" not in attendee(server, MEETING, FORGED)
