"""Service tokens in PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from server.domain.changes import Cause
from server.domain.errors import AlreadyExists, NotFound
from server.storage.service_tokens import ServiceToken, TokenSignIn
from storage_plugins.postgres.changes.principals import leave_trace
from storage_plugins.postgres.database import Database


class PostgresServiceTokens:
    """See `server.storage.service_tokens.ServiceTokens`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def service_token(self, selector: str) -> TokenSignIn | None:
        """See `ServiceTokens`."""
        row = await self._database.fetchrow(
            """
            select t.id, t.digest, t.principal_id, p.credential_version,
                   t.revoked_at is null and p.disabled_at is null and p.deleted_at is null as valid,
                   t.scopes, t.expires_at
            from service_token t join principal p on p.id = t.principal_id
            where t.selector = $1
            """,
            selector,
        )
        if row is None:
            return None
        id_, digest, principal_id, version, valid, scopes, expires_at = row
        return TokenSignIn(id_, digest, principal_id, version, valid, frozenset(scopes), expires_at)

    async def service_token_used(self, token_id: int) -> None:
        """See `ServiceTokens`."""
        await self._database.fetch("update service_token set last_used_at = now() where id = $1", token_id)

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
        """See `ServiceTokens`."""
        async with self._database.transaction() as connection:
            token_id = await connection.fetchval(
                """
                insert into service_token (principal_id, name, selector, digest, scopes, expires_at)
                values ($1, $2, $3, $4, $5, $6)
                on conflict do nothing returning id
                """,
                principal_id,
                name,
                selector,
                digest,
                sorted(scopes),
                expires_at,
            )
            if token_id is None:
                raise AlreadyExists(f"There is a service token named {name}.")
            await leave_trace(connection, "service-token-added", principal_id, cause, {"service_token": token_id})
            return int(token_id)

    async def service_tokens(self, principal_id: int) -> list[ServiceToken]:
        """See `ServiceTokens`."""
        rows = await self._database.fetch(
            """
            select id, name, scopes, created_at, expires_at, last_used_at, revoked_at
            from service_token where principal_id = $1 order by id
            """,
            principal_id,
        )
        return [ServiceToken(row[0], row[1], frozenset(row[2]), *row[3:]) for row in rows]

    async def revoke_service_token(self, principal_id: int, token_id: int, cause: Cause) -> None:
        """See `ServiceTokens`."""
        async with self._database.transaction() as connection:
            found = await connection.fetchval(
                """
                with revoked as (
                    update service_token set revoked_at = now()
                    where principal_id = $1 and id = $2 and revoked_at is null
                    returning principal_id
                )
                update principal set credential_version = credential_version + 1
                where id in (select principal_id from revoked) returning id
                """,
                principal_id,
                token_id,
            )
            if found is None:
                raise NotFound("There is no such service token.")
            await leave_trace(connection, "service-token-revoked", principal_id, cause, {"service_token": token_id})
