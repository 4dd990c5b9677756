"""The directory in PostgreSQL: principals, and how they sign in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import asyncpg

from server.domain.changes import Cause
from server.domain.errors import AlreadyExists, NotFound
from server.domain.principals import Office, Principal, PrincipalKind, name_key
from server.domain.scopes import Door
from server.storage.directory import AppPassword, Handover, PrincipalChange, PrincipalRecord, RelationChange
from server.storage.sign_in import AppPasswordHash, FailureScope, SignInAttempt, SignInMaterial, Throttle, ThrottleRules
from storage_plugins.postgres.changes import handover as handing_over
from storage_plugins.postgres.changes import handover_jobs, principal_removal, security_events
from storage_plugins.postgres.changes import principals as principal_writes
from storage_plugins.postgres.changes.clocks import supplied
from storage_plugins.postgres.changes.principals import leave_trace
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, principal
from storage_plugins.postgres.reads.rooms import ROOM, ROOM_WIDTH, room

_RECORD = """
    p.id, p.uid, p.kind, p.name, p.display_name, p.roles, p.disabled_at, p.quota_bytes, p.auto_schedule,
    p.place, p.created_at, p.expandable_by, p.calendar, p.office,
    array(select a.address from principal_address a where a.principal_id = p.id order by a.position) as addresses,
    array(select f.address from former_address f where f.principal_id = p.id order by f.until, f.address_key) as former,
    p.deleted_at is not null as deleted,
    exists (select from password w where w.principal_id = p.id) as has_password,
    array(select m.member_id from membership m where m.group_id = p.id) as members,
    array(select d.delegate_id || ' ' || d.rights from delegate d where d.principal_id = p.id) as delegates
"""
"""Columns of a principal `p`, as `_record` reads them, before those of its room `r`."""
_PRINCIPALS = "principal p left join room r on r.principal_id = p.id"


class PostgresDirectory:
    """A `server.storage.directory.Directory` and `server.storage.sign_in.SignIns` on the connections of a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # signing in

    async def sign_in_material(
        self, login_key: str, selector: str | None, address_key: str, unknown_account_key: str
    ) -> SignInMaterial:
        """See `SignIns`."""
        row = await self._database.fetchrow(
            """
            select l.id, l.name, l.credential_version, l.may, w.hash, a.id as app_id, a.hash as app_hash,
                   a.expires_at, a.revoked_at is not null as revoked, a.doors,
                   -- A wait of no length is none, also for a statement that began before it was counted.
                   (
                       select extract(epoch from f.blocked_until - now())::float8 from signin_failure f
                       where f.scope = 'address' and f.key = $3 and f.blocked_until > f.last_at
                   ) as address_wait,
                   extract(epoch from greatest(
                       case when pair.blocked_until > pair.last_at then pair.blocked_until end,
                       -- In the slow lane an address that failed meanwhile is refused.
                       case when pair.last_at >= account.first_at then account.blocked_until end
                   ) - now())::float8 as pair_wait,
                   pair.failures,
                   account.blocked_until is not null as slow
            from (select) as always
            left join (
                select p.id, p.name, p.credential_version, p.kind = 'individual' and p.disabled_at is null as may
                from principal p
                where p.name_key = $1
                   or p.id = (select a.principal_id from principal_address a where a.address_key = $1)
                order by p.name_key = $1 desc nulls last
                limit 1
            ) as l on true
            left join signin_failure account
                on account.scope = 'account' and account.key = coalesce(l.id::text, $4)
                and account.blocked_until > greatest(account.last_at, now())
            left join signin_failure pair
                on pair.scope = 'pair' and pair.key = coalesce(l.id::text, $4) || ' ' || $3
            left join password w on w.principal_id = l.id and l.may
            left join app_password a on a.principal_id = l.id and l.may and a.selector = $2
            """,
            login_key,
            selector,
            address_key,
            unknown_account_key,
        )
        assert row is not None
        waits = max(row["address_wait"] or 0.0, 0.0), max(row["pair_wait"] or 0.0, 0.0)
        throttle = Throttle(*waits, row["failures"] or 0, row["slow"])
        if row["id"] is None:
            return SignInMaterial(None, throttle=throttle)
        app = None
        if row["app_id"] is not None:
            app = AppPasswordHash(
                row["app_id"], row["app_hash"], row["expires_at"], row["revoked"], frozenset(row["doors"])
            )
        return SignInMaterial(row["id"], row["credential_version"], row["may"], row["name"], row["hash"], app, throttle)

    async def record_failure(self, address_key: str, account_key: str | None, rules: ThrottleRules) -> None:
        """See `SignIns`."""
        scopes: list[tuple[FailureScope, str]] = [("address", address_key)]
        if account_key is not None:
            # The account first, so that the counter of the pair is never older than that of the account.
            scopes += [("account", account_key), ("pair", f"{account_key} {address_key}")]
        for scope, key in scopes:
            await self._database.fetch(
                """
                insert into signin_failure as f (scope, key, failures, blocked_until)
                values ($1, $2, 1, now() + make_interval(secs => case when $3 <= 1 then $4 else ($5::float8[])[1] end))
                on conflict (scope, key) do update set (failures, first_at, last_at, blocked_until) = (
                    select n, first_at, now(), case
                        when n >= $3 then first_at + make_interval(secs => $4)
                        else now() + make_interval(secs => ($5::float8[])[least(n, cardinality($5::float8[]))])
                    end
                    from (
                        select 1, now() where f.first_at <= now() - make_interval(secs => $4)
                        union all
                        select f.failures + 1, f.first_at where f.first_at > now() - make_interval(secs => $4)
                    ) as counted (n, first_at)
                )
                """,
                scope,
                key,
                rules.limit(scope),
                rules.window,
                rules.waits(scope),
            )

    async def record_sign_in(self, attempt: SignInAttempt) -> None:
        """See `SignIns`."""
        await security_events.record_sign_in(self._database, attempt)

    async def clear_failures(self, address_key: str, account_key: str) -> None:
        """See `SignIns`."""
        key = f"{account_key} {address_key}"
        await self._database.fetch("delete from signin_failure where scope = 'pair' and key = $1", key)

    async def forget_failures(self, window: float) -> int:
        """See `SignIns`."""
        gone = await self._database.fetchval(
            """
            with gone as (
                delete from signin_failure
                where (scope, key) in (
                    select scope, key from signin_failure
                    where last_at < now() - make_interval(secs => $1) and blocked_until < now()
                    limit 10000 for update skip locked
                )
                returning scope
            )
            select count(*) from gone
            """,
            window,
        )
        return int(gone)

    async def replace_password_hash(self, principal_id: int, old: str, new: str) -> None:
        """See `SignIns`."""
        await self._database.fetch(
            "update password set hash = $3 where principal_id = $1 and hash = $2", principal_id, old, new
        )

    async def app_password_used(self, app_password_id: int) -> None:
        """See `SignIns`."""
        await self._database.fetch("update app_password set last_used_at = now() where id = $1", app_password_id)

    # reading principals

    async def principal(self, name: str) -> PrincipalRecord | None:
        """See `Directory`."""
        row = await self._database.fetchrow(
            f"""
            select {_RECORD}, {ROOM} from {_PRINCIPALS}
            where p.name_key = $1 or p.uid = $2
               or p.id = (select a.principal_id from principal_address a where a.address_key = $1)
            order by p.name_key = $1 desc nulls last, p.uid = $2
            limit 1
            """,  # noqa: S608
            name_key(name),
            name,
        )
        return None if row is None else _record(row)

    async def principals(
        self, kinds: Sequence[PrincipalKind], *, after: str | None = None, limit: int = 1000
    ) -> list[PrincipalRecord]:
        """See `Directory`."""
        rows = await self._database.fetch(
            f"""
            select {_RECORD}, {ROOM} from {_PRINCIPALS}
            where p.kind = any($1::text[]) and p.name_key > $2
            order by p.name_key limit $3
            """,  # noqa: S608
            list(kinds),
            after or "",
            limit,
        )
        return [_record(row) for row in rows]

    async def principals_known(
        self, uids: Sequence[str], names: Sequence[str], addresses: Sequence[str]
    ) -> list[PrincipalRecord]:
        """See `Directory`."""
        rows = await self._database.fetch(
            f"""
            select {_RECORD}, {ROOM} from {_PRINCIPALS}
            where p.id in (
                select id from principal where uid = any($1::text[])
                union select id from principal where name_key = any($2::text[])
                union select principal_id from principal_address where address_key = any($3::text[])
            )
            """,  # noqa: S608
            list(uids),
            list(names),
            list(addresses),
        )
        return [_record(row) for row in rows]

    async def groups_of(self, principal_ids: Sequence[int]) -> dict[int, list[Principal]]:
        """See `Directory`."""
        return await self._related(
            "m.member_id",
            "join membership m on m.group_id = p.id where m.member_id = any($1::bigint[])",
            principal_ids,
        )

    async def members_of(self, principal_ids: Sequence[int]) -> dict[int, list[Principal]]:
        """See `Directory`."""
        return await self._related(
            "m.group_id", "join membership m on m.member_id = p.id where m.group_id = any($1::bigint[])", principal_ids
        )

    async def administrators(self) -> list[Principal]:
        """See `Directory`."""
        return [principal(row[1:]) for row in await self._principals("0", "where 'admin' = any(p.roles)")]

    async def _related(self, whose: str, condition: str, principal_ids: Sequence[int]) -> dict[int, list[Principal]]:
        found: dict[int, list[Principal]] = {id_: [] for id_ in principal_ids}
        for row in await self._principals(whose, condition, list(principal_ids)):
            found[row[0]].append(principal(row[1:]))
        return found

    async def _principals(self, whose: str, condition: str, *arguments: object) -> list[asyncpg.Record]:
        return await self._database.fetch(
            f"select {whose}, {PRINCIPAL} from principal p {condition} "  # noqa: S608
            "and p.deleted_at is null order by p.name_key",
            *arguments,
        )

    # writing principals

    async def write_principals(
        self, changes: Sequence[PrincipalChange], cause: Cause, *, take_over: bool = False
    ) -> list[int]:
        """See `Directory`."""

        async def write() -> list[int]:
            async with self._database.transaction() as connection:
                return await principal_writes.write(connection, changes, cause, take_over=take_over)

        # Rooms may get another time zone.
        return await supplied(self._database, write, more=len(changes))

    async def write_relations(self, changes: Sequence[RelationChange], cause: Cause) -> None:
        """See `Directory`."""
        async with self._database.transaction() as connection:
            await principal_writes.write_relations(connection, changes, cause)

    async def delete_principal(self, principal_id: int, cause: Cause, *, purge: bool) -> None:
        """See `Directory`."""
        async with self._database.transaction() as connection:
            if purge:
                await handing_over.require_none(connection, principal_id)
            await principal_removal.hide(connection, principal_id, cause)
        if purge:
            await principal_removal.purge(self._database, principal_id, cause)

    async def handovers(self, principal_id: int, to_principal_id: int) -> list[Handover]:
        """See `Directory`."""
        return await handing_over.handovers(self._database, principal_id, to_principal_id)

    async def begin_handover(self, principal_id: int, to_principal_id: int, cause: Cause) -> None:
        """See `Directory`."""
        members = sum(each.members for each in await self.handovers(principal_id, to_principal_id))
        async with self._database.transaction() as connection:
            await principal_writes.lock(connection)
            await handover_jobs.begin(connection, principal_id, to_principal_id, members)
            enabled = "select exists (select from principal where id = $1 and disabled_at is null)"
            if await connection.fetchval(enabled, principal_id):
                await principal_writes.write(connection, [PrincipalChange(principal_id, disabled=True)], cause)

    def hand_over(self, handover: Handover, owner: str, cause: Cause) -> AsyncIterator[int]:
        """See `Directory`."""
        return handing_over.hand_over(self._database, handover, owner, cause)

    # app passwords

    async def add_app_password(
        self,
        principal_id: int,
        name: str,
        selector: str,
        password_hash: str,
        expires_at: datetime | None,
        doors: frozenset[Door],
        cause: Cause,
    ) -> int:
        """See `Directory`."""
        async with self._database.transaction() as connection:
            app_password_id = await connection.fetchval(
                """
                insert into app_password (principal_id, name, selector, hash, expires_at, doors)
                values ($1, $2, $3, $4, $5, $6)
                on conflict do nothing returning id
                """,
                principal_id,
                name,
                selector,
                password_hash,
                expires_at,
                sorted(doors),
            )
            if app_password_id is None:
                raise AlreadyExists(f"There is an app password named {name}.")
            await leave_trace(connection, "app-password-added", principal_id, cause, {"app_password": app_password_id})
            return int(app_password_id)

    async def app_passwords(self, principal_id: int) -> list[AppPassword]:
        """See `Directory`."""
        rows = await self._database.fetch(
            """
            select id, name, created_at, expires_at, last_used_at, revoked_at, doors
            from app_password where principal_id = $1 order by id
            """,
            principal_id,
        )
        return [AppPassword(**{**row, "doors": frozenset(row["doors"])}) for row in rows]

    async def revoke_app_password(self, principal_id: int, app_password_id: int, cause: Cause) -> None:
        """See `Directory`."""
        async with self._database.transaction() as connection:
            found = await connection.fetchval(
                """
                with revoked as (
                    update app_password set revoked_at = now()
                    where principal_id = $1 and id = $2 and revoked_at is null
                    returning principal_id
                )
                update principal set credential_version = credential_version + 1
                where id in (select principal_id from revoked) returning id
                """,
                principal_id,
                app_password_id,
            )
            if found is None:
                raise NotFound("There is no such app password.")
            await leave_trace(
                connection, "app-password-revoked", principal_id, cause, {"app_password": app_password_id}
            )


def _record(row: asyncpg.Record) -> PrincipalRecord:
    delegates = (text.split() for text in row["delegates"])
    return PrincipalRecord(
        id=row["id"],
        uid=row["uid"],
        kind=row["kind"],
        name=row["name"],
        display_name=row["display_name"],
        addresses=tuple(row["addresses"]),
        former_addresses=tuple(row["former"]),
        roles=frozenset(row["roles"]),
        disabled_at=row["disabled_at"],
        quota_bytes=row["quota_bytes"],
        auto_schedule=row["auto_schedule"],
        place=row["place"],
        created_at=row["created_at"],
        deleted=row["deleted"],
        has_password=row["has_password"],
        members=frozenset(row["members"]),
        expandable_by=row["expandable_by"],
        calendar=row["calendar"],
        office=None if row["office"] is None else Office(**row["office"]),
        room=room(row[-ROOM_WIDTH:]) if row["kind"] in ("room", "resource") else None,
        delegates=frozenset(
            (int(delegate), "write" if rights == "write" else "read") for delegate, rights in delegates
        ),
    )
