"""Whether the owner of a calendar attends an event (RFC 5545 §3.2.12)."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from server.calendar.component import Component
from server.calendar.contentline import Property

_PRINCIPALS = "/principals/"


def address_key(address: str) -> str:
    """A calendar user address as it is compared.

    Case does not count. Of the URL of a principal only the stable id or the name counts: no two principals have one
    name, whatever their kind.
    """
    plain = address.strip().casefold()
    _, found, path = plain.partition(_PRINCIPALS)
    folder, _, name = unquote(path).strip("/").partition("/")
    if not found or not name:
        return plain
    return f"uid:{name}" if folder == "__uids__" else f"name:{name}"


def address_keys(uid: str, name: str, emails: Iterable[str]) -> frozenset[str]:
    """The addresses of a principal, as `declined` takes them."""
    plain = (f"urn:x-uid:{uid}", f"uid:{uid}", f"name:{name}", *(f"mailto:{email}" for email in emails))
    return frozenset(address.casefold() for address in plain)


def has_declined(component: Component) -> bool:
    """Whether any attendee of a component has declined."""
    return any(prop.name == "ATTENDEE" and _is_declined(prop) for prop in component.properties)


def declined(calendar: Component, owner: frozenset[str]) -> frozenset[int]:
    """The indexes of the events among a VCALENDAR's components that a calendar user has declined.

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
    return bool(own) and all(map(_is_declined, own))


def _is_declined(attendee: Property) -> bool:
    return (attendee.parameter("PARTSTAT") or "").strip().upper() == "DECLINED"


def _is_of(attendee: Property, owner: frozenset[str]) -> bool:
    """Whether an ATTENDEE is one of a user's addresses; Apple's clients write the mail address as EMAIL."""
    email = attendee.parameter("EMAIL")
    return address_key(attendee.value) in owner or (email is not None and address_key(f"mailto:{email}") in owner)
