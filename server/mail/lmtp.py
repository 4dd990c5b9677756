"""Mail that a mail server delivers by LMTP (RFC 2033).

Each mail is accepted, whatever it holds: what is no scheduling message is passed over. Where it cannot be read now, as
while the database is down, the answer is temporary (4xx), and the mail server keeps the mail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import structlog
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import Envelope, Session

from server.domain.errors import DatabaseError, TooManyConflicts, Unavailable
from server.services.mail.incoming import Arrived, IncomingMails

log = structlog.get_logger()

_TAKEN = "250 2.0.0 Taken"
_LATER = "451 4.3.0 Try again later"
_TOO_MANY = "452 4.5.3 Too many recipients"
_MAX_SIZE = 10 * 1_048_576
"""Bytes of a mail that are kept. A larger one is passed over."""
_MAX_LINE = 1_048_576
"""Bytes of a line. A mail with a longer one is passed over."""
_MAX_RECIPIENTS = 1000
"""Of a mail. Mail servers send the others in a further one."""
_PASSED_OVER = ("552 Error: Too much mail data", "500 Line too long")
"""Beginnings of aiosmtpd's answers to mails that exceed `_MAX_SIZE` and `_MAX_LINE`."""

logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd logs each command


class LmtpServer:
    """Makes the protocol of each connection."""

    def __init__(self, mails: IncomingMails, clients: Sequence[IPv4Network | IPv6Network]) -> None:
        """
        :param clients: the networks that may connect by TCP. Who may connect to a Unix socket is up to its file.
        """
        self._mails, self._clients = mails, tuple(clients)
        self._under_way: set[asyncio.Future[None]] = set()
        self._ending = False

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Connection(self)

    def admits(self, peer: object) -> bool:
        """Whether a client may connect. `peer` is the socket's address."""
        if not isinstance(peer, tuple):
            return True
        address = ip_address(str(peer[0]).partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._clients)

    async def finish(self, seconds: float) -> None:
        """Take no more mails, and wait until those that are being received have been."""
        self._ending = True
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)

    # What aiosmtpd calls: its names.

    async def handle_RCPT(  # noqa: N802
        self, _server: LMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, whoever it is."""
        if len(envelope.rcpt_tos) >= _MAX_RECIPIENTS:
            return _TOO_MANY
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: LMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail; the answer has a line for each recipient (RFC 2033 §4.2)."""
        count = len(envelope.rcpt_tos)
        if self._ending:
            return _for_each(_LATER, count)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            data = envelope.original_content or b""
            sender = (envelope.mail_from or "").strip("<>")
            await self._mails.receive(Arrived(data, sender, tuple(envelope.rcpt_tos)))
        except (Unavailable, DatabaseError, TooManyConflicts) as error:
            log.warning("mail_not_received", reason=error.message)
            return _for_each(_LATER, count)
        except Exception:
            log.exception("mail_not_received")
            return _for_each(_LATER, count)
        finally:
            self._under_way.discard(done)
            done.set_result(None)
        return _for_each(_TAKEN, count)

    async def handle_exception(self, error: Exception) -> str:
        """Answer where aiosmtpd fails."""
        log.error("lmtp_failed", error=type(error).__name__)
        return _LATER


class _Connection(LMTP):
    line_length_limit = _MAX_LINE

    def __init__(self, server: LmtpServer) -> None:
        # No size is announced: the mail server would return what is larger.
        super().__init__(server, data_size_limit=None, enable_SMTPUTF8=True, hostname="koyomi", ident="LMTP")
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if not self._server.admits(peer):
            log.warning("lmtp_client_refused", peer=str(peer))
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Read a mail, of which at most `_MAX_SIZE` bytes are kept."""
        self.data_size_limit = _MAX_SIZE
        try:
            await super().smtp_DATA(arg)
        finally:
            self.data_size_limit = None

    async def push(self, status: Any) -> None:
        """Send an answer."""
        if isinstance(status, str) and status.startswith(_PASSED_OVER) and self.envelope is not None:
            log.warning("mail_passed_over", reason=status.partition(" ")[2])
            status = _for_each(_TAKEN, len(self.envelope.rcpt_tos))
        await super().push(status)


def _for_each(answer: str, recipients: int) -> str:
    return "\r\n".join([answer] * max(recipients, 1))
