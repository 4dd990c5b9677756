"""The Basic scheme (RFC 7617): the challenge, and credentials from an Authorization header."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.domain.errors import SignInRequired
from server.http.client_address import ClientAddresses

CHALLENGE = 'Basic realm="Koyomi", charset="UTF-8"'
MAX_HEADER = 8192
"""Characters of an Authorization header that is read."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The name and the password that a client sent."""

    login: str
    password: str = field(repr=False)


def parse(header: str) -> Credentials:
    """The credentials in an Authorization header.

    They are read as UTF-8, as the challenge says, or else as ISO 8859-1, which old clients send. The password may
    contain colons. Raises `SignInRequired` for another scheme and for a header that is not well-formed.
    """
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(header) > MAX_HEADER:
        raise SignInRequired
    value = value.strip()
    try:
        decoded = base64.b64decode(value.encode("ascii") + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise SignInRequired from None
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        text = decoded.decode("latin-1")
    login, colon, password = text.partition(":")
    if not colon or not login or "\x00" in text:
        raise SignInRequired
    return Credentials(login, password)


def is_offered(
    headers: Mapping[str, str], peer: str | None, addresses: ClientAddresses, *, tls: bool, insecure: bool
) -> bool:
    """Whether passwords are accepted: over TLS, on loopback, and behind a trusted proxy that does not say `http`.

    `insecure` is the setting that accepts them on all connections.
    """
    if insecure:
        return True
    encrypted = addresses.encrypted(headers, peer, tls=tls)
    if addresses.is_trusted(peer):
        return encrypted is not False
    return bool(encrypted) or addresses.is_local(peer)
