"""Sending mails by SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS, sign-in (RFC 4954), and SMTPUTF8 (RFC 6531) for
mails with addresses that are not ASCII."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import aiosmtplib

from server.domain.errors import AddressNotSupported, MailDelayed, MailRefused
from server.observe.breakers import Breaker
from server.services.mail.settings import MailSettings
from server.services.mail.transport import Mail

_NO_ANSWER = (
    aiosmtplib.SMTPConnectError,
    aiosmtplib.SMTPTimeoutError,
    aiosmtplib.SMTPServerDisconnected,
    OSError,
)
"""Errors of a mail server that does not answer; others are what it answers."""
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

    @classmethod
    def from_settings(cls, mail: MailSettings) -> MailServer:
        """The mail server of the settings."""
        password = mail.smtp_password.get_secret_value()
        return cls(mail.smtp_host, mail.smtp_port, mail.smtp_security, mail.smtp_timeout, mail.smtp_user, password)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a client."""
        return {
            "hostname": self.host,
            "port": self.port,
            "username": self.user or None,
            "password": self.password if self.user else None,
            "use_tls": self.security == "tls",
            "start_tls": self.security == "starttls",
            "timeout": self.timeout,
        }

    async def greet(self) -> None:
        """Connect and sign in, and send nothing. Raises `MailDelayed`."""
        try:
            async with aiosmtplib.SMTP(**self.options):
                pass
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailDelayed(f"{type(error).__name__}: {error}"[:500]) from error


class SmtpTransport:
    """Sends each mail by a connection of its own."""

    def __init__(self, server: MailServer, breaker: Breaker) -> None:
        self._server = server
        self._breaker = breaker

    async def send(self, mail: Mail) -> None:
        """See `Transport`."""
        server = self._server
        try:
            with self._breaker.call(*_NO_ANSWER):
                await aiosmtplib.send(
                    mail.message,
                    sender=mail.sender,
                    recipients=[mail.recipient],
                    mail_options=_INTERNATIONAL if mail.international else (),
                    **server.options,
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
