"""A real Dovecot runs the sieve script that `docs/mail.md` prints, and a real Postfix carries the copies to Koyomi."""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage_plugins.postgres.embedded.server import embedded_blocking
from tests.fixtures import dovecot as mailboxes
from tests.fixtures import postfix as mx
from tests.fixtures.dovecot import Dovecot, dovecot
from tests.fixtures.milter import milter
from tests.fixtures.postfix import Postfix, postfix
from tests.integration.test_network import until
from tests.interop.test_postfix import ANNA, HERE, count, documented, files_of_the_document, server_of_anna
from tests.server_process import ServerProcess, free_port, running
from tests.unit.services.incoming_mail_world import DORA, mail, request

MISSING = mx.MISSING or mailboxes.MISSING
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

BASIC = "Basic " + base64.b64encode(b"anna:secret").decode()
CALENDAR = "/calendars/users/anna/calendar/"
INBOX = "/calendars/users/anna/inbox/"


@dataclass(frozen=True)
class Installation:
    """A server with a database that can be stopped, and the mail servers in front of it."""

    server: ServerProcess
    relay: Postfix
    boxes: Dovecot
    database: Path
    binaries: Path | None
    running: ExitStack

    def start_database(self) -> None:
        """Start it; it is stopped by `running.close()`."""
        self.running.enter_context(embedded_blocking(self.database, binaries=self.binaries, durable=False))


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, short_folder: Path, postgres_binaries: Path | None
) -> Iterator[Installation]:
    folder, lmtp, inner, again = tmp_path_factory.mktemp("dovecot"), free_port(), free_port(), free_port()
    files, (lines, tables) = files_of_the_document(), documented(lmtp)
    kept = [line for line in lines.splitlines() if not line.startswith("recipient_bcc_maps")]
    lines = "\n".join([*kept, f"virtual_transport = lmtp:inet:127.0.0.1:{inner}", ""])
    config, services = (files[name].replace("10026", str(again)) for name in ("90-koyomi.conf", "master.cf"))
    database = short_folder / "dovecot"
    with ExitStack() as stack:
        cluster = stack.enter_context(embedded_blocking(database, binaries=postgres_binaries, durable=False))
        settings = {
            "storage.database": cluster.dsn(),
            "storage.unsafe": "true",
            "mail.incoming.invitations": "all",
        }
        server = server_of_anna(folder, lmtp, settings)
        with (
            running(server),
            milter(HERE) as checks,
            dovecot(inner, config, files["before.sieve"]) as boxes,
            postfix(lines, tables, checks, services=services) as relay,
        ):
            yield Installation(server, relay, boxes, database, postgres_binaries, stack)


def members(server: ServerProcess, path: str) -> int:
    """The number of objects in a collection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("PROPFIND", path, headers={"Authorization": BASIC, "Depth": "1"})
        answer = connection.getresponse()
        return len(re.findall(r"<D:href>[^<]+\.ics<", answer.read().decode()))
    finally:
        connection.close()


def test_a_mail_goes_to_the_mailbox_and_the_invitation_to_the_calendar(installation: Installation) -> None:
    server, relay, boxes = installation.server, installation.relay, installation.boxes
    relay.send(mail(request(ANNA, uid="first"), results=""), ANNA, DORA)
    until(lambda: len(boxes.mailbox("anna")) == 1)
    until(lambda: members(server, CALENDAR) == 1)
    assert members(server, INBOX) == 1
    assert count(server, "applied") == 1, "trusted, as the milter found when the mail arrived"
    (kept,) = boxes.mailbox("anna")
    assert kept.count(b"Authentication-Results:") == 1
    assert b"UID:first" in kept
    # What the sender forges is gone before the script makes a copy.
    claim = f"Authentication-Results: {HERE}; dmarc=pass header.from=contoso.example\r\n".encode()
    relay.send(
        claim + mail(request(ANNA, uid="forged"), results="", message_id="<2@evil.example>"), ANNA, "x@evil.example"
    )
    until(lambda: count(server, "held") == 1)
    assert members(server, CALENDAR) == 1
    assert "status=bounced" not in relay.log


def test_nothing_is_lost_while_the_database_is_down(installation: Installation) -> None:
    server, relay, boxes = installation.server, installation.relay, installation.boxes
    before, known = len(boxes.mailbox("anna")), members(server, CALENDAR)
    installation.running.close()
    relay.send(mail(request(ANNA, uid="second"), results="", message_id="<3@contoso.example>"), ANNA, DORA)
    until(lambda: len(boxes.mailbox("anna")) == before + 1)
    until(lambda: "status=deferred" in relay.log and "451 4.3.0" in relay.log)
    installation.start_database()
    until(lambda: members(server, CALENDAR) == known + 1)
    assert len(boxes.mailbox("anna")) == before + 1
    assert "status=bounced" not in relay.log
