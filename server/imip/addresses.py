"""Mail addresses as mail servers take them (RFC 5321 §4.1.2), and those in calendar user addresses."""

from __future__ import annotations

import re
from urllib.parse import unquote

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{1,64}}@){_ATOM}(\.{_ATOM})*@(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


def is_mail_address(text: str) -> bool:
    """Whether a text is a mail address in ASCII without quoted parts and comments."""
    return _ADDRESS.fullmatch(text) is not None


def mail_address(calendar_address: str) -> str | None:
    """The mail address in a `mailto:`, or in an address without a scheme; a domain that is not ASCII as IDNA writes it.

    None of other addresses, and of what no mail server takes.
    """
    text = calendar_address.strip().strip("<>\"'").strip()
    if text[:7].lower() == "mailto:":
        text = unquote(text[7:].partition("?")[0]).strip().lstrip("/")
    local, _, domain = text.rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError:
            return None
    address = f"{local}@{domain}"
    return address if is_mail_address(address) else None
