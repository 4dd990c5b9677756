"""Grants, delegates and groups in PostgreSQL (`server.storage.access.Access`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.domain.changes import Cause, Unchanged
from server.domain.contents import Views
from server.domain.errors import NotFound
from server.domain.grants import AccessList, Ace, AclEntry, DelegateRights, Delegation, Share, ShareRights
from server.domain.messages import Message
from server.domain.objects import Collection, Home
from server.domain.principal_search import PrincipalSearch
from server.domain.principals import Principal, PrincipalKind, name_key
from server.domain.privileges import Privilege
from server.observe.background import failed
from server.storage.reads import SharedObject
from storage_plugins.postgres.changes import fan_out
from storage_plugins.postgres.changes.principals import leave_trace, lock
from storage_plugins.postgres.changes.views import render_all
from storage_plugins.postgres.changes.writing import by, call, recorded, write
from storage_plugins.postgres.database import Connection
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, principal
from storage_plugins.postgres.reads.principal_search import query
from storage_plugins.postgres.storage import PostgresStorage

_SET_ACL = call("koyomi_set_acl_2", 11)
_SHARE = call("koyomi_share_4", 8)


class PostgresAccess:
    """An `Access` on the connections of a worker."""

    def __init__(self, storage: PostgresStorage) -> None:
        self._storage = storage
        self._database = storage.database

    # access control lists

    async def access_list(self, home: Home, collection: Collection | None) -> AccessList:
        """See `Access`."""
        rows = await self._database.fetch(
            f"""
            select true, e.collection_id, e.principal_class, e.grants, e.privileges, null::text, null::boolean,
                   {PRINCIPAL}
            from ace e left join principal p on p.id = e.principal_id and p.deleted_at is null
            where e.home_id = $1 and ($2::bigint is null or e.collection_id = $2)
              and (p.id is not null or e.principal_class is not null)
            union all
            select false, s.collection_id, null, null, null, s.rights, s.may_invite, {PRINCIPAL}
            from share s join principal p on p.id = s.principal_id and p.deleted_at is null
            where s.home_id = $1 and ($2::bigint is null or s.collection_id = $2 or s.may_invite)
            order by 1, 2
            """,  # noqa: S608
            home.id,
            None if collection is None else collection.id,
        )
        entries = [
            AclEntry(row[1], row[2] or principal(row[7:]), row[3], tuple(map(Privilege, row[4])))
            for row in rows
            if row[0]
        ]
        shares = [Share(row[1], principal(row[7:]), row[5], row[6]) for row in rows if not row[0]]
        return AccessList(tuple(entries), tuple(shares))

    async def set_acl(
        self,
        home: Home,
        collection: Collection,
        aces: Sequence[Ace],
        cause: Cause,
        *,
        unchanged: Sequence[Unchanged] = (),
    ) -> int:
        """See `Access`."""
        arguments = (
            home.id,
            collection.id,
            collection.name,
            collection.incarnation,
            [ace.whom if isinstance(ace.whom, int) else None for ace in aces],
            [None if isinstance(ace.whom, int) else ace.whom for ace in aces],
            [ace.grants for ace in aces],
            [list(ace.privileges) for ace in aces],
            *by(cause),
        )
        row = await write(self._database, _SET_ACL, arguments, cause, unchanged, (home.id,))
        return self._storage.announce(home.id, collection.id, int(row[0]))

    # sharing

    async def share(
        self,
        home: Home,
        collection: Collection,
        principal_id: int,
        rights: ShareRights | None,
        cause: Cause,
        *,
        may_invite: bool = False,
    ) -> None:
        """See `Access`."""
        arguments = (home.id, collection.id, principal_id, rights, may_invite, *by(cause))
        sql, values = recorded(_SHARE, arguments, cause)
        await self._database.fetchval(sql, *values)
        # If this process is stopped, the servers continue.
        more = True
        while more:
            more = await self._bind(home.id, collection.id, cause)

    async def render_views(self, home: Home, collection: Collection, render: Callable[[SharedObject], Views]) -> int:
        """See `Access`."""
        return await render_all(self._database, home.id, collection.id, render)

    async def plan_fan_out(self, transaction: Connection, messages: Sequence[Message]) -> None:
        """See `Access`."""
        await fan_out.plan(transaction, messages)

    async def plan_fan_out_anew(self, transaction: Connection) -> None:
        """See `Access`."""
        await fan_out.plan_anew(transaction)

    async def fan_out(self) -> bool:
        """See `Access`."""
        touched = await fan_out.touch(self._database)
        self._tell(touched or ())
        place = await fan_out.next_to_bind(self._database)
        if place is not None:
            try:
                await self._bind(*place, Cause(None, "sharing"))
            except Exception as error:
                failed("sharees", error)
                await fan_out.postpone(self._database, *place)
        return touched is not None or place is not None

    async def _bind(self, home_id: int, collection_id: int, cause: Cause) -> bool:
        homes, more = await fan_out.bind(self._database, home_id, collection_id, cause)
        self._tell(homes)
        return more

    def _tell(self, homes: Sequence[int]) -> None:
        for home_id in homes:
            self._storage.announce(home_id, None, 0)

    # delegates and groups

    async def delegates(self, principal_ids: Sequence[int]) -> dict[int, list[Delegation]]:
        """See `Access`."""
        return await self._delegations(
            "join principal p on p.id = d.delegate_id where d.principal_id = w.id", principal_ids
        )

    async def delegators(self, principal_ids: Sequence[int], *, through_groups: bool) -> dict[int, list[Delegation]]:
        """See `Access`."""
        concerned = "any(koyomi_groups_of_1(w.id) || w.id)" if through_groups else "w.id"
        return await self._delegations(
            f"join principal p on p.id = d.principal_id where d.delegate_id = {concerned}", principal_ids
        )

    async def _delegations(self, condition: str, principal_ids: Sequence[int]) -> dict[int, list[Delegation]]:
        rows = await self._database.fetch(
            f"select distinct w.id, p.name_key, d.rights, {PRINCIPAL} "  # noqa: S608
            f"from unnest($1::bigint[]) as w (id) cross join delegate d {condition} and p.deleted_at is null "
            "order by 1, 2, 3",
            list(principal_ids),
        )
        found: dict[int, list[Delegation]] = {id_: [] for id_ in principal_ids}
        for row in rows:
            found[row[0]].append(Delegation(principal(row[3:]), row[2]))
        return found

    async def set_delegates(
        self, principal_id: int, rights: DelegateRights, delegates: frozenset[int], cause: Cause
    ) -> None:
        """See `Access`."""
        ids = sorted(delegates)
        async with self._database.transaction() as connection:
            await lock(connection)
            await _require_principals(connection, [*ids, principal_id])
            await connection.execute(
                """
                with gone as (
                    delete from delegate
                    where principal_id = $1 and rights = $2 and delegate_id <> all($3::bigint[])
                )
                insert into delegate (principal_id, delegate_id, rights)
                select $1, id, $2 from unnest($3::bigint[]) as id
                on conflict do nothing
                """,
                principal_id,
                rights,
                ids,
            )
            details = {"rights": rights, "delegates": ids}
            await leave_trace(connection, "principal-delegates", principal_id, cause, details)

    async def all_groups_of(self, principal_ids: Sequence[int]) -> dict[int, list[Principal]]:
        """See `Access`."""
        return await self._belonging(
            "select w.id, unnest(koyomi_groups_of_1(w.id)) from unnest($1::bigint[]) as w (id)", principal_ids
        )

    async def all_members_of(self, principal_ids: Sequence[int]) -> dict[int, list[Principal]]:
        """See `Access`."""
        return await self._belonging(
            """
            with recursive belongs (whole, id) as (
                select m.group_id, m.member_id from membership m where m.group_id = any($1::bigint[])
                union
                select b.whole, m.member_id from belongs b join membership m on m.group_id = b.id
            )
            select whole, id from belongs
            """,
            principal_ids,
        )

    async def _belonging(self, pairs: str, principal_ids: Sequence[int]) -> dict[int, list[Principal]]:
        rows = await self._database.fetch(
            f"select r.whose, {PRINCIPAL} from ({pairs}) as r (whose, id) "  # noqa: S608
            "join principal p on p.id = r.id and p.deleted_at is null order by p.name_key",
            list(principal_ids),
        )
        found: dict[int, list[Principal]] = {id_: [] for id_ in principal_ids}
        for row in rows:
            found[row[0]].append(principal(row[1:]))
        return found

    # looking up

    async def principals_at(self, uids: Sequence[str], names: Sequence[tuple[PrincipalKind, str]]) -> list[Principal]:
        """See `Access`."""
        return await self._principals(
            """
            (p.uid = any($1::text[]) or p.id in (
                select q.id from principal q
                join unnest($2::text[], $3::text[]) as n (kind, name_key) on q.kind = n.kind and q.name_key = n.name_key
            ))
            """,
            list(uids),
            [kind for kind, _ in names],
            [name_key(name) for _, name in names],
        )

    async def search(self, search: PrincipalSearch, limit: int) -> list[Principal]:
        """See `Access`."""
        condition, arguments = query(search)
        return await self._principals(condition, *arguments, limit=limit)

    async def _principals(self, condition: str, *arguments: object, limit: int | None = None) -> list[Principal]:
        rows = await self._database.fetch(
            f"select {PRINCIPAL} from principal p where p.deleted_at is null and {condition} "  # noqa: S608
            f"order by p.name_key{'' if limit is None else f' limit {limit:d}'}",
            *arguments,
        )
        return [principal(row) for row in rows]


async def _require_principals(connection: Connection, ids: Sequence[int]) -> None:
    known = await connection.fetchval(
        "select count(*) from principal where id = any($1::bigint[]) and deleted_at is null", list(ids)
    )
    if known != len(set(ids)):
        raise NotFound("There is no such principal.")
