"""What sends a mail: a mail server, or a folder for files."""

from __future__ import annotations

from typing import Protocol

from server.domain.values import value


@value
class Mail:
    """A mail on its way."""

    name: str
    """Equal for all attempts, and for no two mails; letters, digits and hyphens."""
    sender: str
    """The envelope sender: where bounces go."""
    recipient: str
    message: bytes
    """As it is sent (RFC 5322), with CRLF."""
    international: bool = False
    """Whether its envelope or its header has an address that is not ASCII: only SMTPUTF8 takes it (RFC 6531)."""


class Transport(Protocol):
    """Sends mails."""

    async def send(self, mail: Mail) -> None:
        """Hand a mail over. Raises `MailRefused`, of which `AddressNotSupported` is one, and `MailDelayed`."""
