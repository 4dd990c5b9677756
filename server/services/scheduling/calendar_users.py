"""The principals of calendar user addresses: the `Directory` of the addresses in some scheduling objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import quote

from server.calendar.attendance import UUID, address_key
from server.domain.principals import Principal, PrincipalKind
from server.itip.calendar_users import CalendarUser, Directory, here
from server.storage.directory import PrincipalRecord
from server.storage.scheduling import AddressedPrincipal, AddressSearch, Scheduling

CUTYPES: dict[PrincipalKind, str] = {
    "individual": "INDIVIDUAL",
    "group": "GROUP",
    "room": "ROOM",
    "resource": "RESOURCE",
    "directory": "UNKNOWN",
}
"""CUTYPE of the kinds of principals (RFC 5545 §3.2.3)."""
_URNS = ("urn:x-uid:", "urn:uuid:")


async def directory_of(storage: Scheduling, addresses: Iterable[str]) -> Directory:
    """The principals of the addresses, by one statement."""
    return Directory(map(calendar_user, await addressed(storage, addresses)))


async def addressed(storage: Scheduling, addresses: Iterable[str]) -> Sequence[AddressedPrincipal]:
    """The principals that the addresses name, by one statement."""
    search = search_of(addresses)
    if not (search.uids or search.names or search.emails):
        return ()
    return await storage.addressed(search)


def search_of(addresses: Iterable[str]) -> AddressSearch:
    """The ids, names and e-mail addresses in the addresses. An id is searched as written, in lower case and in upper
    case. Nothing holds the character NUL, which an address can have as `%00`."""
    uids: set[str] = set()
    names: set[str] = set()
    emails: set[str] = set()
    for address in addresses:
        key = address_key(address)
        kind, _, value = key.partition(":")
        if kind == "mailto":
            emails.add(value)
        elif kind == "name":
            names.add(value)
        elif kind == "uid":
            uids |= _spellings(value, address.rstrip("/").rpartition("/")[2])
        else:
            for urn in _URNS:
                if key.startswith(urn):
                    uids |= _spellings(key[len(urn) :], address.strip()[len(urn) :])
    return AddressSearch(*(frozenset(each for each in found if "\0" not in each) for found in (uids, names, emails)))


def calendar_user(found: AddressedPrincipal) -> CalendarUser:
    """A principal as a calendar user, with all addresses that name them."""
    principal = found.principal
    former = [f"mailto:{email}" for email in found.former_addresses]
    mail, others = addresses_of(principal)
    paths = [f"/principals/__uids__/{principal.uid}/", f"/principals/{principal.kind}/{quote(principal.name)}/"]
    cutype = CUTYPES[principal.kind]
    # The first one is written into messages: never a former one.
    user = here(principal.id, [*mail, *others, *former, *paths], principal.display_name or None, cutype)
    if former:
        user = replace(user, former=frozenset(map(address_key, former)))
    return replace(user, principal_id=None) if found.elsewhere else user


def address_of(principal: Principal | PrincipalRecord) -> str:
    """An address that every principal has, and that stays theirs."""
    return f"urn:x-uid:{principal.uid}"


def addresses_of(principal: Principal) -> tuple[list[str], list[str]]:
    """The calendar user addresses of a principal, the paths excepted: `mailto:`, and by the stable id."""
    ids = [address_of(principal)]
    if UUID.fullmatch(principal.uid):
        ids.append(f"urn:uuid:{principal.uid}")
    return [f"mailto:{email}" for email in principal.emails], ids


def _spellings(folded: str, written: str) -> set[str]:
    return {folded, written, folded.upper()}
