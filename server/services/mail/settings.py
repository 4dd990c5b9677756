"""Settings of scheduling by mail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, SecretStr, field_validator, model_validator

from server.imip.addresses import is_mail_address
from server.imip.tags import MAX_BASE
from server.services.mail.incoming_settings import IncomingMailSettings
from server.settings.option import Part, option


def _listed(value: object) -> object:
    """Mail addresses and domains from a list, or from text with commas between them (the environment)."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    items = tuple(str(item).lower() for item in value)
    for item in items:
        if not is_mail_address(item if "@" in item else f"x@{item}"):
            raise ValueError("not a mail address or domain")
    return items


class MailSettings(Part):
    """Mail to people elsewhere."""

    address: str = option(
        "",
        "The mail address of this installation. Answers and bounces arrive at tagged addresses of it, as "
        "calendar+TAG@example.org, which the mail server has to deliver. If empty, they go to the person in whose name "
        "a mail is sent.",
        allowed=f"a mail address with at most {MAX_BASE} characters before the @, or empty",
    )
    tagged_organizer: bool = option(
        False,
        "Put the tagged address into ORGANIZER as well, for calendar apps that answer there instead of to Reply-To. "
        "Needs address.",
    )
    smtp_host: str = option(
        "",
        "The mail server that takes mails to people elsewhere. If empty, each mail is written into a file of folder, "
        "and nothing is sent.",
        allowed="the name or address of a host, or empty",
        pattern=r"^[A-Za-z0-9._:-]*$",
    )
    smtp_port: int = option(587, "Its port: 587 with starttls, 465 with tls, usually.", ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = option(
        "starttls", "TLS after STARTTLS, from the beginning, or never. The certificate is checked."
    )
    smtp_user: str = option("", "The name to sign in with. If empty, nobody signs in.", allowed="a name, or empty")
    smtp_password: SecretStr = option(
        SecretStr(""), "The password to sign in with; it is never printed.", allowed="a password, or empty"
    )
    smtp_timeout: float = option(60.0, "How long the mail server may take for an answer.", unit="seconds", gt=0, le=600)
    folder: Path | None = option(
        None,
        "The folder for the files of mails where there is no mail server. If empty, the folder mail in storage.data.",
        allowed="the path of a folder, or empty",
    )
    language: Literal["de", "en", "ja"] = option("en", "The language of mails.")
    allow: Annotated[tuple[str, ...], BeforeValidator(_listed)] = option(
        (),
        "The only recipients of mails, for test systems. If empty, all are.",
        allowed='a list of mail addresses and domains, as ["ann@example.com", "example.net"] (in the environment: with '
        "commas between them), or empty",
    )
    decline_delay: float = option(
        30.0,
        "How long an answer that declines waits. It is not sent if the meeting comes back meanwhile: some apps move a "
        "meeting by deleting it and adding it again.",
        unit="seconds",
        ge=0,
        le=3600,
    )
    recipients_per_hour: int = option(
        500, "Recipients to whom mails are sent in one person's name in an hour.", ge=0, le=1_000_000
    )
    recipients_per_day: int = option(
        2000, "Recipients to whom mails are sent in one person's name in a day.", ge=0, le=1_000_000
    )
    incoming: IncomingMailSettings = IncomingMailSettings()

    @field_validator("address")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if value and (not is_mail_address(value) or len(value.rpartition("@")[0]) > MAX_BASE):
            raise ValueError("not such an address")
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.tagged_organizer and not self.address:
            raise ValueError("mail.tagged_organizer needs mail.address")
        if self.smtp_password.get_secret_value() and self.smtp_security == "none":
            raise ValueError("mail.smtp_password needs mail.smtp_security = starttls or tls: else others could read it")
        return self

    def allows(self, address: str) -> bool:
        """Whether mails may go to a mail address."""
        folded = address.lower()
        return not self.allow or folded in self.allow or folded.rpartition("@")[2] in self.allow
