"""The protocol for service tokens, with which programs use the JSON API in the name of a principal.

The rules of `server.storage.directory` apply here, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from server.domain.changes import Cause


@dataclass(frozen=True, slots=True)
class TokenSignIn:
    """All data for the decision on a token."""

    id: int
    digest: bytes = field(repr=False)
    principal_id: int
    credential_version: int
    is_valid: bool
    """Whether it is not revoked, and its principal may sign in."""
    scopes: frozenset[str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A token as it is shown."""

    id: int
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@runtime_checkable
class ServiceTokens(Protocol):
    """Reads and writes of tokens."""

    async def service_token(self, selector: str) -> TokenSignIn | None:
        """The token with a selector."""

    async def service_token_used(self, token_id: int) -> None:
        """Note that a token was used."""

    async def add_service_token(
        self,
        principal_id: int,
        name: str,
        selector: str,
        digest: bytes,
        scopes: frozenset[str],
        expires_at: datetime,
        cause: Cause,
    ) -> int:
        """Store a token. Returns its id. Raises `AlreadyExists` if the principal has one with this name."""

    async def service_tokens(self, principal_id: int) -> list[ServiceToken]:
        """The tokens of a principal, oldest first, revoked ones included."""

    async def revoke_service_token(self, principal_id: int, token_id: int, cause: Cause) -> None:
        """End a token at once. Raises `NotFound`."""
