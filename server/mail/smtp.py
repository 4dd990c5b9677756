"""Sending mails by SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS, and sign-in (RFC 4954)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import aiosmtplib

from server.domain.errors import MailDelayed, MailRefused
from server.services.mail.transport import Mail


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    timeout: float
    """Seconds for each answer."""
    user: str = ""
    """Empty: nobody signs in."""
    password: str = field(default="", repr=False)


class SmtpTransport:
    """Sends each mail by a connection of its own."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def send(self, mail: Mail) -> None:
        """See `Transport`."""
        server = self._server
        try:
            await aiosmtplib.send(
                mail.message,
                sender=mail.sender,
                recipients=[mail.recipient],
                hostname=server.host,
                port=server.port,
                username=server.user or None,
                password=server.password if server.user else None,
                use_tls=server.security == "tls",
                start_tls=server.security == "starttls",
                timeout=server.timeout,
            )
        except aiosmtplib.SMTPAuthenticationError as error:
            raise MailDelayed(f"The mail server refuses the sign-in: {error.code}") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            raise _answered(refused.code, refused.message) from error
        except (aiosmtplib.SMTPConnectResponseError, aiosmtplib.SMTPHeloError) as error:
            raise MailDelayed(f"{error.code} {error.message}") from error
        except aiosmtplib.SMTPResponseException as error:
            raise _answered(error.code, error.message) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailDelayed(f"{type(error).__name__}: {error}"[:500]) from error


def _answered(code: int, message: str) -> MailRefused | MailDelayed:
    """The error of an answer of the mail server: 5xx is final (RFC 5321 §4.2.1)."""
    made = MailRefused if 500 <= code < 600 else MailDelayed
    return made(f"{code} {message}"[:500])
