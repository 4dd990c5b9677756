"""Service tokens: made for a principal, in whose name a program uses the JSON API.

A token never gives more than its principal has. Administrators make tokens for everybody, people for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from server.auth import service_tokens
from server.domain.actors import Actor
from server.domain.errors import InvalidPrincipal, NotFound
from server.domain.privileges import Privilege
from server.domain.scopes import SCOPES
from server.services.principals.changes import MAX_NAME, find, text_of
from server.storage.directory import Directory
from server.storage.service_tokens import ServiceToken, ServiceTokens

LONGEST = timedelta(days=730)
"""For which a token is valid."""


@dataclass(frozen=True, slots=True)
class NewServiceToken:
    """A new token, which is shown only now."""

    id: int
    name: str
    token: str = field(repr=False)
    scopes: frozenset[str]
    expires_at: datetime


async def add(
    actor: Actor,
    directory: Directory,
    tokens: ServiceTokens,
    name: str,
    label: str,
    scopes: frozenset[str],
    valid_for: timedelta,
) -> NewServiceToken:
    """Make a token named `label` for the person `name`.

    Raises `InvalidPrincipal` for scopes and times that there are not, `AlreadyExists`, `NotFound`, `AccessDenied`.
    """
    person = await find(actor, directory, name, "individual", need=Privilege.WRITE_CONTENT)
    label = text_of(label, "The name of a service token", MAX_NAME)
    if not scopes or scopes - set(SCOPES):
        raise InvalidPrincipal(f"A service token needs scopes; there are {', '.join(SCOPES)}.")
    if not timedelta() < valid_for <= LONGEST:
        raise InvalidPrincipal(f"A service token is valid for 1 to {LONGEST.days} days.")
    made = service_tokens.generate()
    expires_at = datetime.now(UTC) + valid_for
    id_ = await tokens.add_service_token(person.id, label, made.selector, made.digest, scopes, expires_at, actor.cause)
    return NewServiceToken(id_, label, made.text, scopes, expires_at)


async def listed(actor: Actor, directory: Directory, tokens: ServiceTokens, name: str) -> list[ServiceToken]:
    """A person's tokens that are not revoked, oldest first. Raises `NotFound`, `AccessDenied`."""
    person = await find(actor, directory, name, "individual")
    return [token for token in await tokens.service_tokens(person.id) if token.revoked_at is None]


async def revoke(actor: Actor, directory: Directory, tokens: ServiceTokens, name: str, label: str) -> None:
    """End a person's token at once. Raises `NotFound`, `AccessDenied`."""
    person = await find(actor, directory, name, "individual", need=Privilege.WRITE_CONTENT)
    for token in await tokens.service_tokens(person.id):
        if token.name == label and token.revoked_at is None:
            return await tokens.revoke_service_token(person.id, token.id, actor.cause)
    raise NotFound(f"{person.name} has no service token named {label}.")
