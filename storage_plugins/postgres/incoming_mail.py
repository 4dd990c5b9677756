"""Scheduling messages that arrive by mail, in PostgreSQL (`server.storage.incoming_mail.IncomingMail`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.domain.changes import ObjectState
from server.domain.objects import Collection
from server.domain.principals import Principal
from server.storage.incoming_mail import HELD, HeldItem
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, principal

_IS_HELD = f"o.scheduling = 3 and o.properties ? '{HELD}' and o.deleted_revision is null"
"""As the index object_held has it."""

OWNER_OF_HOME = f"""
    select {PRINCIPAL} from home h join principal p on p.id = h.principal_id
    where h.id = $1 and h.kind = 'calendar' and p.deleted_at is null
"""  # noqa: S608
"""Argument: the home."""

ORGANIZERS_AFTER = f"""
    with found as materialized (
        select m.home_id, m.modified_at from scheduling_memory m
        where m.uid = $1 and m.state ? 'former'
          and (m.state #> '{{former,homes}}' @> to_jsonb($2::bigint) or m.state #> '{{former,addresses}}' ?| $3::text[])
    )
    select {PRINCIPAL}
    from found f join home h on h.id = f.home_id join principal p on p.id = h.principal_id and p.deleted_at is null
    order by f.modified_at desc, f.home_id limit 10
"""  # noqa: S608
"""Arguments: the UID, the home of a former organizer, digests of their addresses. Of all homes, since those of the
former organizers may be gone."""

KNOWS_SENDER = """
    select exists (
        select from home h
        cross join lateral (
            select from object o
            where o.home_id = h.id and o.deleted_revision is null and case
                when h.kind = 'addressbook'
                    then $2 = any(string_to_array(lower(o.summary ->> 'email'), E'\\n'))
                else (o.scheduling = 2 and o.organizer = 'mailto:' || $2)
                    or (o.scheduling = 1 and position(
                        'mailto:' || $2 || E'\\n' in replace(replace(lower(o.text), E'\\r', ''), E'\\n ', '')
                    ) > 0)
            end
            limit 1
        ) as o
        where h.principal_id = $1
    )
"""
"""Arguments: the person, the address. Looks through the homes of this person."""

COUNT = """
    insert into mail_sender as s (hour, sender, messages) values (date_trunc('hour', now(), 'UTC'), $1, $2)
    on conflict (hour, sender) do update set messages = s.messages + excluded.messages
    where s.messages + excluded.messages <= $3
    returning messages
"""
"""Arguments: the sender, the number of messages, the limit. No row where they exceed it."""

HELD_IN = f"select count(*) from object o where o.home_id = $1 and o.collection_id = $2 and {_IS_HELD}"  # noqa: S608
"""Arguments: home, collection."""

_ITEMS = f"""
    select o.home_id, o.name, o.id, o.revision, o.uid, o.created_at, o.properties ->> '{HELD}', o.text, {PRINCIPAL}
    from object o
    join home h on h.id = o.home_id
    join principal p on p.id = h.principal_id and p.deleted_at is null
    where {_IS_HELD}
"""  # noqa: S608
HELD_ITEMS = f"{_ITEMS} and (o.home_id, o.id) > ($1, $2) order by o.home_id, o.id limit $3"
"""Arguments: home and id after which the page starts, at most how many."""
HELD_ITEM = f"{_ITEMS} and o.id = $1"
"""Argument: the id."""

_FORGET = """
    with gone as (delete from mail_sender where hour < date_trunc('hour', now(), 'UTC') returning hour)
    select count(*) from gone
"""


class PostgresIncomingMail:
    """Reads and counts for mail that arrives."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owner_of_home(self, home_id: int) -> Principal | None:
        """The owner of a calendar home; None where it is gone."""
        row = await self._database.fetchrow(OWNER_OF_HOME, home_id)
        return None if row is None else principal(row)

    async def organizers_after(self, uid: str, home_id: int | None, addresses: Sequence[str]) -> Sequence[Principal]:
        """Who may organize a meeting that somebody has handed over."""
        rows = await self._database.fetch(ORGANIZERS_AFTER, uid, home_id, [*addresses])
        return [principal(row) for row in rows]

    async def knows_sender(self, principal_id: int, address: str) -> bool:
        """Whether a person has a contact with a mail address, or a meeting with it."""
        return bool(await self._database.fetchval(KNOWS_SENDER, principal_id, address))

    async def count_messages(self, sender: bytes, messages: int, limit: int) -> bool:
        """Count messages of a sender in the present hour; False where they exceed the limit."""
        return messages <= limit and await self._database.fetchval(COUNT, sender, messages, limit) is not None

    async def held_in(self, inbox: Collection) -> int:
        """How many items of an inbox are held."""
        return int(await self._database.fetchval(HELD_IN, inbox.home_id, inbox.id))

    async def held_items(self, after: tuple[int, int] = (0, 0), limit: int = 100) -> Sequence[HeldItem]:
        """A page of held items of all homes."""
        return list(map(_item, await self._database.fetch(HELD_ITEMS, *after, limit)))

    async def held_item(self, item_id: int) -> HeldItem | None:
        """The held item with an id."""
        row = await self._database.fetchrow(HELD_ITEM, item_id)
        return None if row is None else _item(row)

    async def forget_senders(self) -> int:
        """Remove the counts of past hours; returns their number."""
        return int(await self._database.fetchval(_FORGET))


def _item(row: Any) -> HeldItem:
    home_id, name, id_, revision, uid, created_at, held, text = row[:8]
    return HeldItem(home_id, principal(row[8:]), name, ObjectState(id_, revision), uid, created_at, held, text)
