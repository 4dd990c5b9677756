"""Reads of the records of principals. Everybody who is signed in finds all principals; what concerns the account, only
the person themselves and administrators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.auth import policy
from server.domain.actors import Actor
from server.domain.errors import AccessDenied, NotFound
from server.domain.principals import PrincipalKind
from server.domain.privileges import Privilege
from server.storage.directory import Directory, PrincipalRecord


@dataclass(frozen=True, slots=True)
class SeenPrincipal:
    """A principal as the actor sees it."""

    record: PrincipalRecord
    sees_account: bool
    """Whether the actor may know what concerns the account, and the addresses as they are."""


async def seen(actor: Actor, directory: Directory, name: str) -> SeenPrincipal:
    """The principal with a name, an e-mail address or an id. Raises `NotFound`, `AccessDenied`."""
    record = await directory.principal(name)
    if record is None or record.deleted or record.kind == "directory":
        if Privilege.READ not in policy.on_principal(actor.principal, None):
            raise AccessDenied("", Privilege.READ)
        raise NotFound("There is no such principal.")
    return _as_seen(actor, record)


async def listed(
    actor: Actor, directory: Directory, kinds: Sequence[PrincipalKind], *, after: str | None, limit: int
) -> list[SeenPrincipal]:
    """A page of the principals of these kinds, in order of `name_key`, after the key `after`."""
    if Privilege.READ not in policy.on_principal(actor.principal, None):
        raise AccessDenied("", Privilege.READ)
    return [_as_seen(actor, record) for record in await directory.principals(kinds, after=after, limit=limit)]


def _as_seen(actor: Actor, record: PrincipalRecord) -> SeenPrincipal:
    return SeenPrincipal(record, Privilege.READ in policy.on_account(actor.principal, record.id))
