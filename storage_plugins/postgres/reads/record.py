"""Reads of the journal as the record of who did what: filtered, in pages by number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from server.storage.journal import Entry
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.journal import first_of_month

PAGE = 1000
"""Entries that one statement reads."""
_COLUMNS = (
    "seq, act, month, at, kind, home_id, revision, collection_id, object_id, subject_id, principal_id, acting_for, "
    "origin, request_id, change, trace, details, action, text_id, text_digest"
)
_CONDITIONS = """
    (act or $1) and ($2::bigint[] is null or principal_id = any($2)) and ($3::bigint[] is null or acting_for = any($3))
    and ($4::text[] is null or kind = any($4) or action = any($4)) and ($5::text[] is null or origin = any($5))
    and ($6::timestamptz is null or at >= $6) and ($7::timestamptz is null or at < $7)
    and ($8::bigint[] is null or home_id = any($8) or subject_id = any($9))
    and ($10::bigint is null or object_id = $10) and ($11::text is null or request_id = $11)
"""
# With a literal the partitions of earlier months are not opened: an entry is never of an earlier month than its change.
_PAGES = {
    True: f"select {_COLUMNS} from journal where month >= '{{month}}' and seq < $12 and {_CONDITIONS} "  # noqa: S608
    "order by seq desc limit $13",
    False: f"select {_COLUMNS} from journal where month >= '{{month}}' and seq > $12 and {_CONDITIONS} "  # noqa: S608
    "order by seq limit $13",
}
_TEXTS = "select id, body, sha256(salt || convert_to(body, 'UTF8')) from journal_text where id = any($1::bigint[])"
_NAMES = "select id, name from principal where id = any($1::bigint[])"
_OWNERS = "select h.id, p.name from home h join principal p on p.id = h.principal_id where h.id = any($1::bigint[])"
_COLLECTIONS = (
    "select b.collection_id, b.name from binding b where b.home_id = any($1::bigint[]) "
    "and b.collection_home_id = b.home_id and b.collection_id = any($2::bigint[])"
)
_HOMES = "select id from home where principal_id = any($1::bigint[])"
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read; None: all."""

    who: Sequence[int] | None = None
    """Ids of principals that acted."""
    acting_for: Sequence[int] | None = None
    what: Sequence[str] | None = None
    """Kinds."""
    origins: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    whose: Sequence[int] | None = None
    """Ids of principals in whose homes something changed, or whom it concerns."""
    object_id: int | None = None
    request_id: str | None = None
    echoes: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry with the word for what happened, and the names that ids have now."""

    entry: Entry
    action: str
    who: str
    acting_for: str
    owner: str
    """Whose home it is, or whom it concerns."""
    collection: str
    text: str
    """What was written beside it, as the address of a client, until it is erased."""


async def recorded(
    database: Database, selection: Selection, *, newest_first: bool = False, limit: int | None = None
) -> AsyncIterator[Recorded]:
    """The entries of a selection, in the order of their numbers or in the reverse order."""
    homes = None
    if selection.whose is not None:
        homes = [row[0] for row in await database.fetch(_HOMES, list(selection.whose))]
    since = selection.since
    month = "-infinity" if since is None else first_of_month(since.astimezone(UTC)).isoformat()
    sql = _PAGES[newest_first].format(month=month)
    arguments = (
        selection.echoes,
        selection.who,
        selection.acting_for,
        selection.what,
        selection.origins,
        since,
        selection.until,
        homes,
        selection.whose,
        selection.object_id,
        selection.request_id,
    )
    place, left = (_LARGEST if newest_first else -_LARGEST), limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        rows = await database.fetch(sql, *arguments, place, size)
        texts = await _texts(database, rows)
        found = [(Entry(*row[:-3]), row["action"] or row["kind"], texts.get(row["text_id"], "")) for row in rows]
        for each in await _named(database, found):
            yield each
        if len(rows) < size:
            return
        place = rows[-1][0]
        left = None if left is None else left - len(rows)


async def _texts(database: Database, rows: Sequence[asyncpg.Record]) -> dict[int | None, str]:
    sealed = {row["text_id"]: row["text_digest"] for row in rows if row["text_id"] is not None}
    if not sealed:
        return {}
    found = await database.fetch(_TEXTS, list(sealed))
    return {row[0]: row[1] if row[2] == sealed[row[0]] else f"{row[1]} (changed since)" for row in found}


async def _named(database: Database, found: Sequence[tuple[Entry, str, str]]) -> list[Recorded]:
    entries = [entry for entry, *_ in found]
    ids = {id_ for e in entries for id_ in (e.principal_id, e.acting_for, e.subject_id) if id_ is not None}
    homes = {entry.home_id for entry in entries if entry.home_id}
    collections = {entry.collection_id for entry in entries if entry.collection_id is not None}
    names = {row[0]: str(row[1]) for row in await database.fetch(_NAMES, list(ids))}
    owners = {row[0]: str(row[1]) for row in await database.fetch(_OWNERS, list(homes))}
    shown = {row[0]: str(row[1]) for row in await database.fetch(_COLLECTIONS, list(homes), list(collections))}

    def name(id_: int | None) -> str:
        return "" if id_ is None else names.get(id_, f"#{id_}")

    return [
        Recorded(
            entry,
            action,
            name(entry.principal_id),
            name(entry.acting_for),
            owners.get(entry.home_id, f"#{entry.home_id}") if entry.home_id else name(entry.subject_id),
            "" if entry.collection_id is None else shown.get(entry.collection_id, f"#{entry.collection_id}"),
            text,
        )
        for entry, action, text in found
    ]
