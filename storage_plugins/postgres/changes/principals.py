"""Writes of principals. Each function is part of the caller's transaction, and writes rows of the outbox.

These writes are rare, and two of them must not give one name and one address to two principals: all take one lock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from server.domain.changes import Cause
from server.domain.errors import InvalidPrincipal, NameTaken, NotFound
from server.domain.jobs import Job
from server.domain.principals import Office, name_key
from server.storage.directory import PrincipalChange, RelationChange
from server.storage.jobs import MAINTENANCE, MEMBERSHIPS, OWNERS
from storage_plugins.postgres import advisory_locks
from storage_plugins.postgres.advisory_locks import Lock
from storage_plugins.postgres.changes import held_addresses, rooms
from storage_plugins.postgres.changes.homes import create_homes
from storage_plugins.postgres.changes.writing import record
from storage_plugins.postgres.database import Connection
from storage_plugins.postgres.jobs import enqueue


async def lock(connection: Connection) -> None:
    """Take the lock of all writes of principals, until the end of the transaction."""
    await advisory_locks.lock(connection, Lock.PRINCIPALS)


async def leave_trace(
    connection: Connection, action: str, subject_id: int, cause: Cause, details: Mapping[str, Any] | None = None
) -> None:
    """Write a row of the outbox. `details` must not contain personal data."""
    await record(connection, cause)
    await connection.execute(
        """
        insert into outbox (kind, subject_id, principal_id, origin, request_id, details)
        values ($1, $2, $3, $4, $5, $6::jsonb)
        """,
        action,
        subject_id,
        cause.principal_id,
        cause.origin,
        cause.request_id,
        details,
    )


async def write(
    connection: Connection, changes: Sequence[PrincipalChange], cause: Cause, *, take_over: bool = False
) -> list[int]:
    """Make and change principals; see `Directory.write_principals`."""
    await lock(connection)
    wanted = [name_key(address) for change in changes for address in change.addresses or ()]
    taken_over = await connection.execute("delete from former_address where address_key = any($1::text[])", wanted)
    # Addresses that move from one principal to another are given up before they are taken.
    given_up = await connection.fetch(
        "delete from principal_address where principal_id = any($1::bigint[]) "
        "returning principal_id, address, address_key",
        [change.id for change in changes if change.id is not None and change.addresses is not None],
    )
    if given_up:
        await held_addresses.hold(connection, [(row[0], row[2]) for row in given_up])
    ids = [await _write_one(connection, change, cause, take_over) for change in changes]
    if given_up:
        await connection.execute(_KEEP_FORMER, *map(list, zip(*given_up, strict=True)))
    renamed = any(change.id is not None and (change.name or change.addresses is not None) for change in changes)
    if renamed or taken_over != "DELETE 0":
        # Their addresses decide which events they have declined.
        await enqueue(connection, Job(OWNERS, lock_key=MAINTENANCE, queueing_key=OWNERS))
    return ids


def membership_job(group_id: int) -> Job:
    """The job that lets meetings follow a group whose members have changed."""
    key = f"membership {group_id}"
    return Job(MEMBERSHIPS, {"group": group_id}, key, key)


_KEEP_FORMER = """
    insert into former_address (principal_id, address, address_key)
    select g.* from unnest($1::bigint[], $2::text[], $3::text[]) as g (principal_id, address, key)
    where not exists (select from principal_address a where a.address_key = g.key)
"""
"""An address that no principal has any more becomes a former address of its last principal."""


async def _write_one(connection: Connection, change: PrincipalChange, cause: Cause, take_over: bool) -> int:
    if change.name is not None:
        await _require_free(connection, change.name, change.id)
    principal_id = await (_insert if change.id is None else _update)(connection, change)
    if change.addresses:
        await _insert_addresses(connection, principal_id, change.addresses, take_over)
    if change.password_hash is not None:
        await connection.execute(
            """
            insert into password (principal_id, hash) values ($1, $2)
            on conflict (principal_id) do update set hash = excluded.hash, changed_at = now()
            """,
            principal_id,
            change.password_hash,
        )
    if change.id is None:
        assert change.kind is not None
        await create_homes(connection, principal_id, change.kind)
        if change.kind in ("room", "resource"):
            await rooms.create(connection, principal_id, change.kind, change.room)
            await enqueue(connection, rooms.CARDS_JOB)
        await leave_trace(connection, "principal-created", principal_id, cause, {"kind": change.kind})
    else:
        if await rooms.change(connection, principal_id, change.room):
            await enqueue(connection, rooms.CARDS_JOB)
        fields = [name for name in _FIELDS if getattr(change, name) is not None]
        await leave_trace(connection, "principal-changed", principal_id, cause, {"fields": fields})
    return principal_id


_FIELDS = (
    "name",
    "display_name",
    "addresses",
    "roles",
    "disabled",
    "quota_bytes",
    "auto_schedule",
    "place",
    "expandable_by",
    "calendar",
    "office",
    "room",
    "password_hash",
)


async def _require_free(connection: Connection, name: str, principal_id: int | None) -> None:
    """Raise `NameTaken` if another principal has a name as its name or address."""
    taken = await connection.fetchval(
        """
        select exists (select from principal where name_key = $1 and id is distinct from $2)
            or exists (select from principal_address where address_key = $1 and principal_id is distinct from $2)
        """,
        name_key(name),
        principal_id,
    )
    if taken:
        raise NameTaken(name, f"The name {name} is taken.")


async def _insert(connection: Connection, change: PrincipalChange) -> int:
    if change.kind is None or change.name is None:
        raise InvalidPrincipal("A new principal needs a kind and a name.")
    uid = change.uid or str(uuid4())
    principal_id = await connection.fetchval(
        """
        insert into principal (uid, kind, name, name_key, display_name, display_key, roles, disabled_at, quota_bytes,
                               auto_schedule, place, expandable_by, calendar, office)
        values ($1, $2, $3, $4, $5, $11, $6, case when $7 then now() end, $8, nullif($9::jsonb, '{}'),
                nullif($10::jsonb, '{}'), coalesce($12, 'everyone'), coalesce($13, 'here'), nullif($14::jsonb, '{}'))
        on conflict (uid) do nothing
        returning id
        """,
        uid,
        change.kind,
        change.name,
        name_key(change.name),
        change.display_name or change.name,
        sorted(change.roles or ()),
        bool(change.disabled),
        change.quota_bytes,
        change.auto_schedule,
        change.place,
        name_key(change.display_name or change.name),
        change.expandable_by,
        change.calendar,
        _office(change.office),
    )
    if principal_id is None:
        raise NameTaken(uid, f"The id {uid} is taken.")
    return int(principal_id)


async def _update(connection: Connection, change: PrincipalChange) -> int:
    bump = any(value is not None for value in (change.name, change.addresses, change.disabled, change.password_hash))
    found = await connection.fetchval(
        """
        update principal set
            name = coalesce($2, name),
            name_key = coalesce($3, name_key),
            display_name = coalesce($4, display_name),
            display_key = coalesce($11, display_key),
            roles = coalesce($5, roles),
            disabled_at = case when $6 then coalesce(disabled_at, now()) when not $6 then null else disabled_at end,
            quota_bytes = coalesce($7, quota_bytes),
            auto_schedule = nullif(coalesce($8::jsonb, auto_schedule), '{}'),
            place = nullif(coalesce($9::jsonb, place), '{}'),
            expandable_by = coalesce($12, expandable_by),
            calendar = coalesce($13, calendar),
            office = nullif(coalesce($14::jsonb, office), '{}'),
            credential_version = credential_version + $10::integer,
            modified_at = now()
        where id = $1 and deleted_at is null
        returning id
        """,
        change.id,
        change.name,
        None if change.name is None else name_key(change.name),
        change.display_name,
        None if change.roles is None else sorted(change.roles),
        change.disabled,
        change.quota_bytes,
        change.auto_schedule,
        change.place,
        int(bump),
        None if change.display_name is None else name_key(change.display_name),
        change.expandable_by,
        change.calendar,
        _office(change.office),
    )
    if found is None:
        raise NotFound("There is no such principal.")
    return int(found)


def _office(office: Office | None) -> dict[str, str] | None:
    return None if office is None else {name: text for name, text in asdict(office).items() if text}


async def _insert_addresses(
    connection: Connection, principal_id: int, addresses: Collection[str], take_over: bool
) -> None:
    keys = [name_key(address) for address in addresses]
    taken = await connection.fetchval(
        """
        select key from unnest($2::text[]) as key
        where exists (select from principal where name_key = key and id <> $1)
           or exists (select from principal_address where address_key = key)
        limit 1
        """,
        principal_id,
        keys,
    )
    if taken is not None:
        raise NameTaken(taken, f"The address {taken} is taken.")
    await held_addresses.give(connection, principal_id, keys, take_over=take_over)
    await connection.execute(
        """
        insert into principal_address (principal_id, position, address, address_key)
        select $1, n - 1, address, key from unnest($2::text[], $3::text[]) with ordinality as a (address, key, n)
        """,
        principal_id,
        list(addresses),
        keys,
    )


async def write_relations(connection: Connection, changes: Sequence[RelationChange], cause: Cause) -> None:
    """Set members and delegates; see `Directory.write_relations`."""
    await lock(connection)
    wanted = {change.id for change in changes}
    for change in changes:
        wanted |= change.members or frozenset()
        wanted |= {delegate for delegate, _ in change.delegates or ()}
    known = await connection.fetchval(
        "select count(*) from principal where id = any($1::bigint[]) and deleted_at is null", list(wanted)
    )
    if known != len(wanted):
        raise NotFound("There is no such principal.")
    for change in changes:
        if change.members is not None:
            await connection.execute(
                """
                with gone as (
                    delete from membership where group_id = $1 and member_id <> all($2::bigint[])
                )
                insert into membership (group_id, member_id) select $1, member from unnest($2::bigint[]) as member
                on conflict do nothing
                """,
                change.id,
                sorted(change.members),
            )
            await leave_trace(connection, "principal-members", change.id, cause, {"members": sorted(change.members)})
            await enqueue(connection, membership_job(change.id))
        if change.delegates is not None:
            delegates = sorted(change.delegates)
            await connection.execute("delete from delegate where principal_id = $1", change.id)
            await connection.execute(
                """
                insert into delegate (principal_id, delegate_id, rights)
                select $1, id, rights from unnest($2::bigint[], $3::text[]) as d (id, rights)
                """,
                change.id,
                [delegate for delegate, _ in delegates],
                [rights for _, rights in delegates],
            )
            await leave_trace(connection, "principal-delegates", change.id, cause, {"delegates": delegates})
