"""The LMTP listener, spoken to by the standard library's client."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from server.domain.errors import DatabaseError, TooManyConflicts, Unavailable
from server.mail import lmtp
from server.mail.lmtp import LmtpServer
from server.services.mail.incoming import Arrived

LOOPBACK = (ip_network("127.0.0.0/8"),)


class Mails:
    """Takes what arrives, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.arrived: list[Arrived] = []
        self.error = error
        self.gate: asyncio.Event | None = None
        self.began = asyncio.Event()

    async def receive(self, arrived: Arrived) -> tuple[()]:
        self.began.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.arrived.append(arrived)
        return ()


@asynccontextmanager
async def listening(mails: Mails, clients: Sequence[Any] = LOOPBACK) -> AsyncIterator[tuple[LmtpServer, int]]:
    server = LmtpServer(mails, clients)  # type: ignore[arg-type]
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield server, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def spoken(port: int, speak: Callable[[smtplib.LMTP], Any]) -> Any:
    def run() -> Any:
        with smtplib.LMTP("127.0.0.1", port, timeout=30) as client:
            client.ehlo()
            return speak(client)

    return await asyncio.to_thread(run)


def delivery(data: bytes, recipients: Sequence[str], sender: str = "a@example.org") -> Callable[[smtplib.LMTP], Any]:
    """Deliver a mail; gives the answers, one for each recipient."""

    def speak(client: smtplib.LMTP) -> list[int]:
        assert client.mail(sender)[0] == 250
        codes = [client.rcpt(each)[0] for each in recipients]
        first = client.data(data)[0]
        more = [client.getreply()[0] for _ in range(codes.count(250) - 1)]
        return [first, *more]

    return speak


async def test_a_mail_is_taken_for_each_recipient() -> None:
    mails = Mails()
    async with listening(mails) as (_, port):
        data = b"From: a@example.org\r\n\r\n.dot\r\nText \xff\r\n"
        assert await spoken(port, delivery(data, ["b@example.com", "c+TAG@example.com"])) == [250, 250]
        assert await spoken(port, delivery(data, ["b@example.com"], "")) == [250]
    assert mails.arrived[0] == Arrived(data, "a@example.org", ("b@example.com", "c+TAG@example.com"))
    assert mails.arrived[1].sender == ""


@pytest.mark.parametrize("error", [Unavailable(), DatabaseError(), TooManyConflicts(), RuntimeError("a defect")])
async def test_a_mail_that_cannot_be_read_now_stays_with_the_mail_server(error: Exception) -> None:
    async with listening(Mails(error)) as (_, port):
        assert await spoken(port, delivery(b"From: a@example.org\r\n\r\n", ["b@x.example", "c@x.example"])) == [
            451,
            451,
        ]


async def test_a_mail_that_is_too_large_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmtp, "_MAX_SIZE", 1000)
    monkeypatch.setattr(lmtp._Connection, "line_length_limit", 500)
    mails = Mails()

    def several(client: smtplib.LMTP) -> list[list[int]]:
        assert "size" not in client.esmtp_features
        found = []
        for data in (b"x\r\n" * 1000, b"y" * 2000 + b"\r\n", b"z\r\n"):
            found.append(delivery(data, ["b@x.example", "c@x.example"])(client))
        return found

    async with listening(mails) as (_, port):
        assert await spoken(port, several) == [[250, 250]] * 3
    assert [each.data for each in mails.arrived] == [b"z\r\n"]


async def test_too_many_recipients_are_left_for_another_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmtp, "_MAX_RECIPIENTS", 2)
    mails = Mails()
    async with listening(mails) as (_, port):
        assert await spoken(port, delivery(b"x\r\n", ["a@x.example", "b@x.example", "c@x.example"])) == [250, 250]
    assert mails.arrived[0].recipients == ("a@x.example", "b@x.example")


async def test_other_clients_are_refused() -> None:
    async with listening(Mails(), [ip_network("10.0.0.0/8")]) as (server, port):
        with pytest.raises((smtplib.SMTPException, OSError)):
            await spoken(port, lambda client: client.noop())
        admitted = ["10.1.2.3", "::ffff:10.1.2.3"]
        assert all(server.admits((each, 1)) for each in admitted)
        assert not any(server.admits((each, 1)) for each in ("11.1.2.3", "::1", "fe80::1%lo"))
        assert server.admits("")


async def test_a_server_that_ends_finishes_the_mail_under_way_and_takes_no_other() -> None:
    mails = Mails()
    mails.gate = asyncio.Event()
    async with listening(mails) as (server, port):
        first = asyncio.create_task(spoken(port, delivery(b"x\r\n", ["a@x.example"])))
        async with asyncio.timeout(30):
            await mails.began.wait()
        ending = asyncio.create_task(server.finish(30))
        await asyncio.sleep(0)
        assert await spoken(port, delivery(b"y\r\n", ["a@x.example"])) == [451]
        mails.gate.set()
        assert await first == [250]
        await ending
    assert [each.data for each in mails.arrived] == [b"x\r\n"]
