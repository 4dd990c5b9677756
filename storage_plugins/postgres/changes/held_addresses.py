"""Addresses that people have given up, and that meetings name which are not over.

Who gets such an address would answer for somebody else, so nobody else gets it before the last of these meetings is
over, unless an administrator says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.domain.errors import NameTaken
from storage_plugins.postgres.database import Connection

_HOLD = """
    insert into held_address (address_key, principal_id, until)
    select k.address_key, k.principal_id, max(case when o.endless then 'infinity' else coalesce(o.span_end, 'infinity') end)
    from unnest($1::bigint[], $2::text[]) as k (principal_id, address_key)
    join home h on h.principal_id = k.principal_id and h.kind = 'calendar'
    join object o on o.home_id = h.id and o.scheduling in (1, 2) and o.deleted_revision is null
        and (o.endless or o.span_end is null or o.span_end > now())
        -- Long lines are folded.
        and strpos(lower(replace(o.text, E'\\r\\n ', '')), k.address_key) > 0
    group by k.address_key, k.principal_id
    on conflict (address_key) do update set principal_id = excluded.principal_id, until = excluded.until
"""  # noqa: E501 - one expression
_HELD = """
    select address_key from held_address
    where address_key = any($1::text[]) and principal_id <> $2 and until > now() limit 1
"""
_RELEASE = "delete from held_address where address_key = any($1::text[])"
_FORGET = "delete from held_address where until <= now()"


async def hold(connection: Connection, given_up: Sequence[tuple[int, str]]) -> None:
    """Hold the addresses (principal, key) that meetings in the calendars of these principals name."""
    await connection.execute(_FORGET)
    await connection.execute(_HOLD, [each[0] for each in given_up], [each[1] for each in given_up])


async def give(connection: Connection, principal_id: int, keys: Sequence[str], *, take_over: bool) -> None:
    """Let a principal have addresses. Raises `NameTaken` for one that is held of somebody else, unless `take_over`."""
    held = None if take_over else await connection.fetchval(_HELD, keys, principal_id)
    if held is not None:
        raise NameTaken(held, f"The address {held} was somebody else's, and meetings name it that are not over.")
    await connection.execute(_RELEASE, keys)
