"""The functions for principals, their passwords and tokens, with what they work on: what a front end calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.domain.actors import Actor
from server.domain.principals import PrincipalKind
from server.services.principals import changes, reading, tokens
from server.services.principals.reading import SeenPrincipal
from server.storage.directory import AppPassword, Directory
from server.storage.service_tokens import ServiceToken, ServiceTokens


@dataclass(frozen=True, slots=True)
class Accounts:
    """Principals as the JSON API reads them. Each method asks the policy; see the functions for what they raise."""

    directory: Directory
    tokens: ServiceTokens

    async def seen(self, actor: Actor, name: str) -> SeenPrincipal:
        """See `reading.seen`."""
        return await reading.seen(actor, self.directory, name)

    async def listed(
        self, actor: Actor, kinds: Sequence[PrincipalKind], *, after: str | None, limit: int
    ) -> list[SeenPrincipal]:
        """See `reading.listed`."""
        return await reading.listed(actor, self.directory, kinds, after=after, limit=limit)

    async def app_passwords(self, actor: Actor, name: str) -> list[AppPassword]:
        """See `changes.list_app_passwords`."""
        return await changes.list_app_passwords(actor, self.directory, name)

    async def service_tokens(self, actor: Actor, name: str) -> list[ServiceToken]:
        """See `tokens.listed`."""
        return await tokens.listed(actor, self.directory, self.tokens, name)
