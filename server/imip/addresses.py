"""Mail addresses as mail servers take them (RFC 5321 §4.1.2), and those in calendar user addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import normalize
from urllib.parse import quote, unquote

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{1,64}}@){_ATOM}(\.{_ATOM})*@(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ADDRESS_CHARACTERS = "!#$&'*+/=?^_`{|}~@"
"""Characters of addresses in ASCII that stay as they are, beside letters, digits and `.-`; `%` has to be escaped."""
_MAX_LOCAL = 64
"""Octets of a local part (RFC 5321 §4.5.3.1.1)."""


def is_mail_address(text: str) -> bool:
    """Whether a text is a mail address in ASCII without quoted parts and comments."""
    return _ADDRESS.fullmatch(text) is not None


def is_international(text: str) -> bool:
    """Whether a text is a mail address with a local part that is not ASCII (RFC 6531 §3.3), and a domain that is.

    Mail servers take it only by SMTPUTF8.
    """
    local, _, domain = text.rpartition("@")
    if local.isascii() or len(local.encode("utf-8", "replace")) > _MAX_LOCAL or not local.isprintable():
        return False
    return is_mail_address(f"{_NOT_ASCII.sub('x', local)[:_MAX_LOCAL]}@{domain}")


def mail_address(calendar_address: str) -> str | None:
    """The mail address in a `mailto:`, or in an address without a scheme; a domain that is not ASCII as IDNA writes it.

    None of other addresses, and of what no mail server takes. The local part may be one for SMTPUTF8
    (`is_international`).
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
    address = f"{normalize('NFC', local)}@{domain}"
    return address if is_mail_address(address) or is_international(address) else None


def own_address(calendar_addresses: Iterable[str]) -> str | None:
    """The mail address of somebody here: the first one in ASCII, which every mail server takes, else the first one."""
    found = [address for address in map(mail_address, calendar_addresses) if address is not None]
    return next(filter(str.isascii, found), found[0] if found else None)


def mailto(address: str) -> str:
    """The calendar user address of a mail address: a URI, in which what is not ASCII is escaped (RFC 6068 §5)."""
    return f"mailto:{address if address.isascii() else quote(address, _ADDRESS_CHARACTERS)}"
