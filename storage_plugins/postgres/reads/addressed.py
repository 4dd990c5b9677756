"""The statement that finds the principals of calendar user addresses."""

from __future__ import annotations

from typing import Any

from server.storage.scheduling import AddressedPrincipal
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, principal

ADDRESSED = f"""
    select array(select f.address from former_address f where f.principal_id = p.id order by f.address_key),
           p.calendar = 'elsewhere', {PRINCIPAL}
    from principal p
    where p.deleted_at is null and p.id = any(array(
        select q.id from principal q where q.uid = any($1::text[])
        union all select q.id from principal q where q.name_key = any($2::text[])
        union all select a.principal_id from principal_address a where a.address_key = any($3::text[])
        union all select f.principal_id
        from unnest($3::text[]) as k (address_key)
        cross join lateral (
            select f.principal_id from former_address f where f.address_key = k.address_key limit 1
        ) as f
    ))
    order by p.id
"""  # noqa: S608
"""Arguments: stable ids, keys of names, keys of e-mail addresses."""


def addressed(row: Any) -> AddressedPrincipal:
    """A row of `ADDRESSED`."""
    return AddressedPrincipal(principal(row[2:]), tuple(row[0]), row[1])
