"""Settings of scheduling by mail."""

from __future__ import annotations

from pydantic import field_validator

from server.imip.addresses import is_mail_address
from server.imip.tags import MAX_BASE
from server.services.mail.incoming_settings import IncomingMailSettings
from server.settings.option import Part, option


class MailSettings(Part):
    """Mail to people elsewhere."""

    address: str = option(
        "",
        "The mail address of this installation. Answers and bounces arrive at tagged addresses of it, as "
        "calendar+TAG@example.org, which the mail server has to deliver. If empty, they go to the person in whose name "
        "a mail is sent.",
        allowed=f"a mail address with at most {MAX_BASE} characters before the @, or empty",
    )
    incoming: IncomingMailSettings = IncomingMailSettings()

    @field_validator("address")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if value and (not is_mail_address(value) or len(value.rpartition("@")[0]) > MAX_BASE):
            raise ValueError("not such an address")
        return value
