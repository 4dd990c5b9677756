"""Administration of principals: people, their passwords and app passwords, renaming, deleting.

Administrators may call all functions, and people those that concern their own passwords. Each function raises
`AccessDenied` for others. Commands act as the installation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from server.auth import app_passwords, passwords, policy
from server.auth.passwords import PasswordHasher
from server.booking.policy import Mode
from server.domain.actors import Actor
from server.domain.errors import AccessDenied, InvalidPrincipal, NotFound
from server.domain.principals import CalendarPlace, PrincipalKind, name_key
from server.domain.privileges import Privilege
from server.domain.scopes import Door
from server.storage.directory import AppPassword, Directory, Handover, PrincipalChange, PrincipalRecord

ROLES = frozenset({"admin"})
MAX_NAME = 255
"""Bytes of a name, an id or an address in UTF-8."""
MAX_TEXT = 1000
"""Bytes of a display name."""
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"\\]+@[^\s@<>()\[\],;:\"\\]+")


@dataclass(frozen=True, slots=True)
class NewAppPassword:
    """A new app password, with its secret, which is shown only now."""

    id: int
    name: str
    secret: str = field(repr=False)
    expires_at: datetime | None
    doors: frozenset[Door]


def text_of(text: str, what: str, maximum: int) -> str:
    """A text in NFC without space around it. Raises `InvalidPrincipal` when it is empty, too long or has control
    characters."""
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise InvalidPrincipal(f"{what} may not be empty.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise InvalidPrincipal(f"{what} may not contain control characters.")
    if len(text.encode()) > maximum:
        raise InvalidPrincipal(f"{what} may have at most {maximum} bytes.")
    return text


def segment_of(text: str, what: str) -> str:
    """A text that can be a segment of a URL's path."""
    text = text_of(text, what, MAX_NAME)
    if "/" in text or text in {".", ".."}:
        raise InvalidPrincipal(f"{what} is a part of URLs: it may neither contain a slash nor be . or ..")
    return text


def name_of(text: str, kind: PrincipalKind = "individual") -> str:
    """A name as it is stored. A person's has no colon, since RFC 7617 could not send it."""
    name = segment_of(text, "A name")
    if kind == "individual" and ":" in name:
        raise InvalidPrincipal("The name of a person may not contain a colon.")
    return name


def address_of(text: str) -> str:
    """An e-mail address as it is stored, without `mailto:`."""
    address = text_of(text, "An e-mail address", MAX_NAME)
    if address[:7].lower() == "mailto:":
        address = address[7:]
    if not _ADDRESS.fullmatch(address):
        raise InvalidPrincipal(f"{address} is not an e-mail address.")
    return address


def addresses_of(texts: tuple[str, ...]) -> tuple[str, ...]:
    """E-mail addresses as they are stored, each once."""
    return tuple({name_key(address): address for address in map(address_of, texts)}.values())


def roles_of(roles: frozenset[str]) -> frozenset[str]:
    """The roles. Raises `InvalidPrincipal` if one does not exist."""
    unknown = roles - ROLES
    if unknown:
        raise InvalidPrincipal(f"There is no role {min(unknown)}; roles: {', '.join(sorted(ROLES))}.")
    return roles


def demand_in_directory(actor: Actor, need: Privilege) -> None:
    """Raises `AccessDenied` where the actor lacks a privilege on the directory."""
    if need not in policy.on_directory(actor.principal):
        raise AccessDenied("", need)


async def find(
    actor: Actor,
    directory: Directory,
    name: str,
    kind: PrincipalKind | None = None,
    *,
    deleted: bool = False,
    need: Privilege = Privilege.READ,
) -> PrincipalRecord:
    """Find a principal by name, e-mail address or id.

    `deleted`: also find deleted principals whose data is kept. Raises `NotFound`, also for a principal of another kind,
    and `AccessDenied` if the actor lacks `need` on the record, or on the directory if there is no record.
    """
    found = await directory.principal(name)
    held = policy.on_directory(actor.principal)
    if need not in (held if found is None else policy.on_account(actor.principal, found.id)):
        raise AccessDenied("", need)
    if found is None or (kind is not None and found.kind != kind) or (found.deleted and not deleted):
        what = "person" if kind == "individual" else "principal"
        raise NotFound(f"There is no {what} named {name}.")
    return found


async def add_person(
    actor: Actor,
    directory: Directory,
    hasher: PasswordHasher,
    name: str,
    password: str | None,
    *,
    display_name: str | None = None,
    addresses: tuple[str, ...] = (),
    roles: frozenset[str] = frozenset(),
    quota_bytes: int | None = None,
    take_over: bool = False,
) -> int:
    """Add a person with their homes; returns the id.

    Without a password, the person signs in by other means, or not yet. `take_over`: they get addresses that meetings of
    other people name (`Directory.write_principals`). Raises `InvalidPrincipal`,
    `NameTaken`, `AccessDenied`.
    """
    demand_in_directory(actor, Privilege.BIND)
    if password is not None:
        passwords.check(password, chosen=True)
    change = PrincipalChange(
        kind="individual",
        name=name_of(name),
        display_name=text_of(display_name, "A display name", MAX_TEXT) if display_name else None,
        addresses=addresses_of(addresses),
        roles=roles_of(roles),
        quota_bytes=quota_bytes,
    )
    if password is not None:
        change = replace(change, password_hash=await hasher.hash(password))
    return (await directory.write_principals([change], actor.cause, take_over=take_over))[0]


async def set_password(
    actor: Actor,
    directory: Directory,
    hasher: PasswordHasher,
    name: str,
    password: str,
) -> PrincipalRecord:
    """Set a person's password; the earlier one ends at once, on all servers.

    Raises `InvalidPrincipal`, `NotFound`, `AccessDenied`.
    """
    person = await find(actor, directory, name, "individual", need=Privilege.WRITE_CONTENT)
    passwords.check(password, chosen=True)
    change = PrincipalChange(person.id, password_hash=await hasher.hash(password))
    await directory.write_principals([change], actor.cause)
    return person


async def set_disabled(actor: Actor, directory: Directory, name: str, disabled: bool) -> bool:
    """Disable or enable a person's sign-in; returns whether that changed anything."""
    demand_in_directory(actor, Privilege.WRITE_PROPERTIES)
    person = await find(actor, directory, name, "individual")
    if (person.disabled_at is not None) == disabled:
        return False
    await directory.write_principals([PrincipalChange(person.id, disabled=disabled)], actor.cause)
    return True


async def set_calendar(actor: Actor, directory: Directory, name: str, place: CalendarPlace) -> PrincipalRecord:
    """Say where a principal keeps its calendar. Scheduling messages to one `elsewhere` go by mail.

    Raises `NotFound`, `AccessDenied`.
    """
    demand_in_directory(actor, Privilege.WRITE_PROPERTIES)
    principal = await find(actor, directory, name)
    await directory.write_principals([PrincipalChange(principal.id, calendar=place)], actor.cause)
    return principal


async def set_auto_schedule(
    actor: Actor, directory: Directory, name: str, mode: Mode, auto_accept_group: str | None = None
) -> PrincipalRecord:
    """Set how invitations are answered for a person, a room or a piece of equipment; returns the record of before.

    `auto_accept_group` is the name or id of a group; None: there is none. Raises `InvalidPrincipal` for a group,
    `NotFound`, also where the auto-accept group is none, and `AccessDenied`.
    """
    demand_in_directory(actor, Privilege.WRITE_PROPERTIES)
    principal = await find(actor, directory, name)
    if principal.kind == "group":
        raise InvalidPrincipal("A group does not answer invitations.")
    settings: dict[str, str] = {} if mode == "none" and auto_accept_group is None else {"mode": mode}
    if auto_accept_group is not None:
        settings["auto_accept_group"] = (await find(actor, directory, auto_accept_group, "group")).uid
    await directory.write_principals([PrincipalChange(principal.id, auto_schedule=settings)], actor.cause)
    return principal


async def rename(
    actor: Actor, directory: Directory, name: str, new_name: str, *, display_name: str | None = None
) -> PrincipalRecord:
    """Give a principal another name, and another display name. URLs stay the same: they contain the id."""
    demand_in_directory(actor, Privilege.WRITE_PROPERTIES)
    principal = await find(actor, directory, name)
    change = PrincipalChange(
        principal.id,
        name=name_of(new_name, principal.kind),
        display_name=text_of(display_name, "A display name", MAX_TEXT) if display_name else None,
    )
    await directory.write_principals([change], actor.cause)
    return principal


async def delete(actor: Actor, directory: Directory, name: str, *, purge: bool) -> PrincipalRecord:
    """Delete a principal, and with `purge` its data, too. Without `purge` the data stays until a second call with the
    id."""
    demand_in_directory(actor, Privilege.UNBIND)
    principal = await find(actor, directory, name, deleted=True)
    await directory.delete_principal(principal.id, actor.cause, purge=purge)
    return principal


async def hand_over(
    actor: Actor,
    directory: Directory,
    name: str,
    whom: str,
    *,
    tell: Callable[[Handover], None] = lambda handover: None,
    progress: Callable[[int], None] = lambda members: None,
) -> PrincipalRecord:
    """Hand over all collections of a person to somebody else, and then delete the person; see `Directory.hand_over`.

    The person is disabled first. `tell` is called before each collection is handed over, and `progress` with the number
    of members that a step has copied. Another call, or a job of the servers, continues an interrupted one; after the
    name was removed, with the id. Raises `InvalidPrincipal`, `NotFound`, `AccessDenied`.
    """
    demand_in_directory(actor, Privilege.UNBIND)
    person = await find(actor, directory, name, "individual", deleted=True)
    other = await find(actor, directory, whom, "individual")
    if person.id == other.id:
        raise InvalidPrincipal("Collections cannot be handed over to their own owner.")
    await directory.begin_handover(person.id, other.id, actor.cause)
    # Delegates can create calendars until the delegations are removed, so collections are listed once more then.
    for hide in (True, False):
        for handover in await directory.handovers(person.id, other.id):
            tell(handover)
            async for copied in directory.hand_over(handover, person.display_name or person.name, actor.cause):
                progress(copied)
        if hide:
            await directory.delete_principal(person.id, actor.cause, purge=False)
    await directory.delete_principal(person.id, actor.cause, purge=True)
    return person


async def add_app_password(
    actor: Actor,
    directory: Directory,
    hasher: PasswordHasher,
    name: str,
    label: str,
    *,
    valid_for: timedelta | None = None,
    doors: frozenset[Door] = frozenset({"apps"}),
) -> NewAppPassword:
    """Make an app password named `label` for a person, which opens `doors`.

    Raises `AlreadyExists` if the person has one with that name, `NotFound`, `AccessDenied`.
    """
    person = await find(actor, directory, name, "individual", need=Privilege.WRITE_CONTENT)
    label = text_of(label, "The name of an app password", MAX_NAME)
    secret = app_passwords.generate()
    plain = app_passwords.normalise(secret)
    assert plain is not None
    expires_at = None if valid_for is None else datetime.now(UTC) + valid_for
    stored = await hasher.hash(plain)
    selector = app_passwords.selector(plain)
    id_ = await directory.add_app_password(person.id, label, selector, stored, expires_at, doors, actor.cause)
    return NewAppPassword(id_, label, secret, expires_at, doors)


async def list_app_passwords(actor: Actor, directory: Directory, name: str) -> list[AppPassword]:
    """A person's app passwords that are not revoked, oldest first. Raises `NotFound`, `AccessDenied`."""
    person = await find(actor, directory, name, "individual")
    return [app for app in await directory.app_passwords(person.id) if app.revoked_at is None]


async def revoke_app_password(actor: Actor, directory: Directory, name: str, label: str) -> None:
    """End a person's app password at once. Raises `NotFound`, `AccessDenied`."""
    person = await find(actor, directory, name, "individual", need=Privilege.WRITE_CONTENT)
    for app in await directory.app_passwords(person.id):
        if app.name == label and app.revoked_at is None:
            return await directory.revoke_app_password(person.id, app.id, actor.cause)
    raise NotFound(f"{person.name} has no app password named {label}.")
