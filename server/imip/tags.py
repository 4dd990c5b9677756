"""Tagged addresses: local parts that say what a mail answers, signed by the installation.

A tag stands between a `+` and the `@` of the installation's mail address (RFC 5233 subaddressing), in base32 and lower
case, since mail servers may change the case:

- of answers, in Reply-To: the organizer's home, the meeting and the attendee. Who sends a mail there has the
  invitation of this attendee.
- of bounces, in the envelope sender: the sender's home and the mail.

UIDs and addresses are kept as keyed digests, so that a tag tells nobody whom it concerns.
"""

from __future__ import annotations

import hmac
from base64 import b32decode, b32encode
from binascii import Error
from dataclasses import dataclass

from server.calendar.attendance import address_key

MAX_LOCAL_PART = 64
"""Octets of a local part, at most (RFC 5321 §4.5.3.1.1)."""
TAG_LENGTH = 44
"""Characters of a tag. The local part of the installation's address has `MAX_BASE` octets at most."""
MAX_BASE = MAX_LOCAL_PART - TAG_LENGTH - 1

_REPLY, _BOUNCE, _MESSAGE = b"r", b"b", b"m"
_NUMBER, _DIGEST, _SIGNATURE = 6, 5, 10
"""Bytes. A signature has 80 bits."""
_LENGTH = 1 + _NUMBER + 2 * _DIGEST + _SIGNATURE


@dataclass(frozen=True, slots=True)
class ReplyTag:
    """What a mail with this tag answers."""

    home_id: int
    """The organizer's home."""
    uid: bytes
    """The digest of the meeting's UID."""
    attendee: bytes
    """The digest of the attendee's address."""


@dataclass(frozen=True, slots=True)
class BounceTag:
    """The mail that a bounce is about (RFC 3464)."""

    home_id: int
    """The sender's home."""
    mail_id: int


class Tags:
    """Makes and reads the tagged addresses of an installation."""

    def __init__(self, secret: bytes, address: str) -> None:
        """
        :param secret: known to this installation alone, 32 bytes or more.
        :param address: the installation's mail address.
        """
        self._secret = secret
        self._local, _, self._domain = address.rpartition("@")

    def reply_address(self, home_id: int, uid: str, attendee: str) -> str:
        """Where an attendee's answer goes. `attendee` is a calendar user address."""
        return self._address(_REPLY, home_id, self._digest("uid", uid) + self._attendee(attendee))

    def bounce_address(self, home_id: int, mail_id: int) -> str:
        """The envelope sender of a mail."""
        return self._address(_BOUNCE, home_id, mail_id.to_bytes(2 * _DIGEST, "big"))

    def message_id(self, home_id: int, mail_id: int) -> str:
        """The Message-ID of a mail, the same on every attempt."""
        local, _, domain = self._address(_MESSAGE, home_id, mail_id.to_bytes(2 * _DIGEST, "big")).rpartition("@")
        return f"<{local.rpartition('+')[2]}@{domain}>"

    def is_ours(self, message_id: str) -> bool:
        """Whether this installation made a Message-ID."""
        tag, _, _ = message_id.strip().strip("<>").rpartition("@")
        return (self._signed(tag) or b"")[:1] == _MESSAGE

    def read(self, address: str) -> ReplyTag | BounceTag | None:
        """What the tag of a mail address says; None of an address without a tag that this installation has signed."""
        local, _, domain = address.strip().strip("<>").rpartition("@")
        base, plus, tag = local.rpartition("+")
        if not plus or base.lower() != self._local.lower() or domain.lower() != self._domain.lower():
            return None
        signed = self._signed(tag)
        if signed is None or signed[:1] not in (_REPLY, _BOUNCE):
            return None
        home_id, rest = int.from_bytes(signed[1 : 1 + _NUMBER], "big"), signed[1 + _NUMBER :]
        if signed[:1] == _BOUNCE:
            return BounceTag(home_id, int.from_bytes(rest, "big"))
        return ReplyTag(home_id, rest[:_DIGEST], rest[_DIGEST:])

    def is_about(self, tag: ReplyTag, uid: str) -> bool:
        """Whether a tag is about the meeting of a UID."""
        return hmac.compare_digest(tag.uid, self._digest("uid", uid))

    def is_of(self, tag: ReplyTag, attendee: str) -> bool:
        """Whether a tag is that of an attendee, by a calendar user address of theirs."""
        return hmac.compare_digest(tag.attendee, self._attendee(attendee))

    def _address(self, kind: bytes, home_id: int, rest: bytes) -> str:
        signed = kind + home_id.to_bytes(_NUMBER, "big") + rest
        tag = b32encode(signed + self._signature(signed)).decode().rstrip("=").lower()
        return f"{self._local}+{tag}@{self._domain}"

    def _signed(self, tag: str) -> bytes | None:
        """What a tag says; None of one that this installation has not signed."""
        try:
            value = b32decode(tag.upper() + "=" * (-len(tag) % 8))
        except (Error, ValueError):
            return None
        signed, signature = value[:-_SIGNATURE], value[-_SIGNATURE:]
        is_signed = len(value) == _LENGTH and hmac.compare_digest(signature, self._signature(signed))
        return signed if is_signed else None

    def _attendee(self, address: str) -> bytes:
        return self._digest("attendee", address_key(address))

    def _digest(self, what: str, text: str) -> bytes:
        return self._keyed(f"{what}\n{text}".encode(errors="surrogatepass"))[:_DIGEST]

    def _signature(self, signed: bytes) -> bytes:
        return self._keyed(b"tag\n" + signed)[:_SIGNATURE]

    def _keyed(self, text: bytes) -> bytes:
        return hmac.digest(self._secret, text, "sha256")
