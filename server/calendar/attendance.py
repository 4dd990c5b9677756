"""Calendar user addresses as they are compared (RFC 6638 §2.4.1), and whether the owner of a calendar attends an event
(RFC 5545 §3.2.12)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

from server.calendar.component import Component
from server.calendar.contentline import Property
from server.domain.principals import name_key

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""Stable ids that have an address `urn:uuid:`, too."""

OF_ROOM = "ROOM"
"""Among the addresses of an owner: it is a room or equipment, for which what is not answered is free, too. No key of an
address has capital letters."""
_PRINCIPALS = "/principals/"
_SHORT = 256
"""Characters of addresses whose keys are kept."""
_SCHEMES = ("mailto:", "urn:", "http:", "https:", "tel:", "sip:", "ldap:")


def address_key(address: str) -> str:
    """A calendar user address as it is compared.

    Case does not count, nor do escapes, slashes and header fields of a `mailto:`. An address without a scheme that
    holds `@` is a mail address. Of the URL of a principal only the stable id or the name counts, not the host: no two
    principals have one name, whatever their kind.
    """
    # The same people are compared again and again. Long values, which nobody's address is, would fill the memory.
    return _short_address_key(address) if len(address) <= _SHORT else _address_key(address)


def _address_key(address: str) -> str:
    # `%00` stays: no column holds the character NUL.
    return _key(address.strip().strip("<>\"'").strip()).replace("\0", "%00")


_short_address_key = lru_cache(maxsize=16384)(_address_key)


def _key(plain: str) -> str:
    lower = plain.lower()
    if lower.startswith("mailto:"):
        return _mail_key(plain[len("mailto:") :].partition("?")[0])
    if "@" in plain and not lower.startswith(_SCHEMES) and "/" not in plain:
        return _mail_key(plain)
    plain = plain.casefold()
    _, found, path = plain.partition(_PRINCIPALS)
    folder, _, name = unquote(path).strip("/").partition("/")
    if not found or not name:
        return plain
    return f"uid:{name.casefold()}" if folder == "__uids__" else f"name:{name_key(name)}"


def _mail_key(address: str) -> str:
    return f"mailto:{name_key(unquote(address).strip().lstrip('/'))}"


def address_keys(uid: str, name: str, emails: Iterable[str]) -> frozenset[str]:
    """The addresses of a principal by `address_key`: by mail, by the stable id, and by both paths."""
    kinds = ("urn:x-uid:", "urn:uuid:", "uid:") if UUID.fullmatch(uid) else ("urn:x-uid:", "uid:")
    ids = (f"{kind}{uid.casefold()}" for kind in kinds)
    return frozenset((*ids, f"name:{name_key(name)}", *(f"mailto:{name_key(email)}" for email in emails)))


def may_be_free(component: Component) -> bool:
    """Whether any attendee of a component has declined, or has not answered."""
    return any(
        prop.name == "ATTENDEE" and (_is_declined(prop) or _is_unanswered(prop)) for prop in component.properties
    )


def declined(calendar: Component, owner: frozenset[str]) -> frozenset[int]:
    """The indexes of the events among a VCALENDAR's components that a calendar user has declined. For a room or
    equipment (`OF_ROOM`) these are also those that were not answered.

    A user who is invited by several addresses has declined when all of these attendees have.

    :param owner: their addresses, by `address_keys`.
    """
    if not owner:
        return frozenset()
    return frozenset(
        index
        for index, component in enumerate(calendar.components)
        if component.name == "VEVENT" and _is_declined_by(component, owner)
    )


def _is_declined_by(component: Component, owner: frozenset[str]) -> bool:
    own = [prop for prop in component.properties if prop.name == "ATTENDEE" and _is_of(prop, owner)]
    if OF_ROOM in owner:
        return bool(own) and all(_is_declined(each) or _is_unanswered(each) for each in own)
    return bool(own) and all(map(_is_declined, own))


def _is_declined(attendee: Property) -> bool:
    # Most have not: their parameters need not be taken apart.
    return "DECLINED" in attendee.parameter_text.upper() and (
        (attendee.parameter("PARTSTAT") or "").strip().upper() == "DECLINED"
    )


def _is_unanswered(attendee: Property) -> bool:
    text = attendee.parameter_text.upper()
    if "PARTSTAT" in text and "NEEDS-ACTION" not in text:
        return False
    return (attendee.parameter("PARTSTAT") or "NEEDS-ACTION").strip().upper() == "NEEDS-ACTION"


def _is_of(attendee: Property, owner: frozenset[str]) -> bool:
    """Whether an ATTENDEE is one of a user's addresses; Apple's clients write the mail address as EMAIL."""
    email = attendee.parameter("EMAIL")
    return address_key(attendee.value) in owner or (email is not None and address_key(f"mailto:{email}") in owner)
