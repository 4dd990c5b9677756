"""Sending mails by SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS, sign-in (RFC 4954), and SMTPUTF8 (RFC 6531) for
mails with addresses that are not ASCII."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import aiosmtplib

from server.domain.errors import AddressNotSupported, MailDelayed, MailRefused
from server.services.mail.transport import Mail

_INTERNATIONAL = ("SMTPUTF8", "BODY=8BITMIME")
"""What MAIL says of a mail with addresses that are not ASCII (RFC 6531 §3.4)."""
_NOT_INTERNATIONAL = "5.6.7"
"""The status of addresses that are not ASCII, where a server on the way or the mailbox takes none (RFC 6531 §3.5)."""


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
                mail_options=_INTERNATIONAL if mail.international else (),
                hostname=server.host,
                port=server.port,
                username=server.user or None,
                password=server.password if server.user else None,
                use_tls=server.security == "tls",
                start_tls=server.security == "starttls",
                timeout=server.timeout,
            )
        except aiosmtplib.SMTPNotSupported as error:
            if not mail.international:
                raise MailDelayed(f"{type(error).__name__}: {error}"[:500]) from error
            raise AddressNotSupported("The mail server does not offer SMTPUTF8.") from error
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
    text = f"{code} {message}"[:500]
    if not 500 <= code < 600:
        return MailDelayed(text)
    return AddressNotSupported(text) if message.startswith(_NOT_INTERNATIONAL) else MailRefused(text)
