"""Sending by SMTP: TLS, sign-in, and what the answers of a mail server mean; and the folder in its place."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

from server.domain.errors import AddressNotSupported, KoyomiError, MailDelayed, MailRefused
from server.mail.folder import FolderTransport
from server.mail.smtp import MailServer, SmtpTransport
from server.observe.breakers import FAILURES, Breaker
from server.observe.metrics import Metrics
from server.services.mail.transport import Mail
from tests.server_process import free_port


def breaker() -> Breaker:
    return Metrics().breaker("smtp", MailDelayed)


MAIL = Mail("7-42", "calendar+tag@example.org", "zoe@elsewhere.example", "Subject: é\r\n\r\nHello\r\n".encode())


@dataclass
class Handler:
    """Takes mails and answers as a test wants."""

    answers: dict[str, str] = field(default_factory=dict)
    taken: list[Envelope] = field(default_factory=list)

    async def handle_MAIL(self, server, session, envelope, address, options):  # type: ignore[no-untyped-def]
        if "MAIL" not in self.answers:
            envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(self, server, session, envelope, address, options):  # type: ignore[no-untyped-def]
        if "RCPT" not in self.answers:
            envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server, session, envelope):  # type: ignore[no-untyped-def]
        self.taken.append(envelope)
        return self.answers.get("DATA", "250 OK")


def signed_in(server, session, envelope, mechanism, data):  # type: ignore[no-untyped-def]
    return AuthResult(success=(data.login, data.password) == (b"koyomi", b"secret"), handled=False)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this process trusts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, context: ssl.SSLContext | None = None, *, tls: bool = False, international: bool = False
) -> AsyncIterator[int]:
    def protocol() -> SMTP:
        starttls = None if tls else context
        return SMTP(
            handler,
            tls_context=starttls,
            authenticator=signed_in,
            auth_require_tls=not tls and bool(starttls),
            enable_SMTPUTF8=international,
        )

    listener = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=context if tls else None)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


def context_of(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(made)
    return made


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_tls_and_signing_in(authority: trustme.CA, security: str) -> None:
    handler = Handler()
    async with serving(handler, context_of(authority), tls=security == "tls") as port:
        server = MailServer("127.0.0.1", port, security, 30, "koyomi", "secret")  # type: ignore[arg-type]
        await SmtpTransport(server, breaker()).send(MAIL)
    (envelope,) = handler.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == (MAIL.sender, [MAIL.recipient])
    assert envelope.content == MAIL.message
    assert "secret" not in repr(server)


async def test_a_wrong_password_is_a_matter_of_the_administrator(authority: trustme.CA) -> None:
    async with serving(Handler(), context_of(authority)) as port:
        with pytest.raises(MailDelayed, match="sign-in"):
            await SmtpTransport(MailServer("127.0.0.1", port, "starttls", 30, "koyomi", "wrong"), breaker()).send(MAIL)


@pytest.mark.parametrize("name", ["other.example", ""])
async def test_nothing_is_sent_to_another_server_or_without_tls(authority: trustme.CA, name: str) -> None:
    """The certificate is another's; or somebody on the way has taken STARTTLS out of the answer."""
    handler = Handler()
    async with serving(handler, context_of(authority, name) if name else None) as port:
        with pytest.raises(MailDelayed):
            await SmtpTransport(MailServer("127.0.0.1", port, "starttls", 30), breaker()).send(MAIL)
    assert handler.taken == []


@pytest.mark.parametrize(
    ("command", "answer", "error"),
    [
        ("RCPT", "550 5.1.1 No such user", MailRefused),
        ("RCPT", "450 4.2.1 Later", MailDelayed),
        ("MAIL", "553 Not you", MailRefused),
        ("MAIL", "421 Later", MailDelayed),
        ("DATA", "554 No", MailRefused),
        ("DATA", "452 Full", MailDelayed),
    ],
)
async def test_what_answers_mean(command: str, answer: str, error: type[KoyomiError]) -> None:
    async with serving(Handler({command: answer})) as port:
        with pytest.raises(error, match=answer[:3]):
            await SmtpTransport(MailServer("127.0.0.1", port, "none", 30), breaker()).send(MAIL)


async def test_an_address_that_is_not_ascii_needs_smtputf8() -> None:
    mail = Mail("7-43", MAIL.sender, "дора@elsewhere.example", "To: дора@elsewhere.example\r\n\r\nx\r\n".encode(), True)
    handler = Handler()
    async with serving(handler, international=True) as port:
        await SmtpTransport(MailServer("127.0.0.1", port, "none", 30), breaker()).send(mail)
    (envelope,) = handler.taken
    assert (envelope.rcpt_tos, envelope.smtp_utf8) == ([mail.recipient], True)
    assert envelope.content == mail.message
    async with serving(handler) as port:
        with pytest.raises(AddressNotSupported, match="SMTPUTF8"):
            await SmtpTransport(MailServer("127.0.0.1", port, "none", 30), breaker()).send(mail)
    assert len(handler.taken) == 1
    async with serving(Handler({"RCPT": "553 5.6.7 Not here"}), international=True) as port:
        with pytest.raises(AddressNotSupported, match="553"):
            await SmtpTransport(MailServer("127.0.0.1", port, "none", 30), breaker()).send(mail)


async def test_a_mail_server_that_is_away() -> None:
    with pytest.raises(MailDelayed):
        await SmtpTransport(MailServer("127.0.0.1", free_port(), "none", 30), breaker()).send(MAIL)


async def test_a_folder_has_a_file_for_each_mail(tmp_path: Path) -> None:
    folder = FolderTransport(tmp_path / "mail")
    await folder.send(MAIL)
    await folder.send(MAIL)
    assert [path.name for path in (tmp_path / "mail").iterdir()] == ["7-42.eml"]
    assert (tmp_path / "mail/7-42.eml").read_bytes() == MAIL.message
    assert (tmp_path / "mail").stat().st_mode & 0o077 == 0


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("")
    with pytest.raises(MailDelayed):
        await FolderTransport(tmp_path / "mail").send(MAIL)


async def test_a_mail_server_that_does_not_answer_is_left_alone_and_shown_as_unavailable() -> None:
    metrics = Metrics()
    server = MailServer("127.0.0.1", free_port(), "none", 30)
    transport = SmtpTransport(server, metrics.breaker("smtp", MailDelayed))
    assert await metrics.unavailable() == []
    for _ in range(FAILURES):
        with pytest.raises(MailDelayed, match="Connect"):
            await transport.send(MAIL)
    with pytest.raises(MailDelayed, match="not asked"):
        await transport.send(MAIL)
    assert await metrics.unavailable() == ["smtp"]


async def test_a_mail_server_that_refuses_mails_answers() -> None:
    metrics = Metrics()
    async with serving(Handler({"RCPT": "451 Later"})) as port:
        transport = SmtpTransport(MailServer("127.0.0.1", port, "none", 30), metrics.breaker("smtp", MailDelayed))
        for _ in range(FAILURES + 1):
            with pytest.raises(MailDelayed, match="451"):
                await transport.send(MAIL)
    assert await metrics.unavailable() == []
