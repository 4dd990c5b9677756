"""What a mail that came back says of its delivery (RFC 3464)."""

from __future__ import annotations

import re

from server.imip.mail import Mail

_REPORT = "message/delivery-status"
_GROUP_END = re.compile(r"\r?\n\r?\n")
_FIELD = re.compile(r"^(action|status)[ \t]*:[ \t]*([^\s;(]+)", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_MAX_LENGTH = 65536
"""Bytes of a report that are read."""

NOT_DELIVERED = "5.1"
"""SCHEDULE-STATUS: the mail was not delivered."""
NO_SUCH_ADDRESS = "5.2"
"""SCHEDULE-STATUS: the mail was not delivered, since there is no such address, or it is not ASCII (RFC 6531 §3.5)."""


def failure_in(mail: Mail) -> tuple[str, str] | None:
    """The SCHEDULE-STATUS of the recipient, and the status of the report (RFC 3463; `5.0.0` without one).

    None where the mail reports no failure: a delay, a success, or nothing that can be read.
    """
    for part in mail.parts:
        if part.header.content_type[0] != _REPORT:
            continue
        text = part.content[:_MAX_LENGTH].decode("ascii", "replace")
        for group in _GROUP_END.split(text):
            fields = {name.lower(): value for name, value in _FIELD.findall(group)}
            if fields.get("action", "").lower() == "failed":
                written = fields.get("status", "")
                status = written if _STATUS.fullmatch(written) else "5.0.0"
                return (NO_SUCH_ADDRESS if status.startswith(("5.1.", "5.6.7")) else NOT_DELIVERED), status
    return None
