"""Sealing the audit: a job adds a digest of new rows to a chain, in which each seal contains the one before.

Writers take no part in it, and so need no common lock. A row that is changed, removed or inserted among sealed rows
does not match its seal. If the seal is changed, too, it does not match the later seals, nor the copies in other places:
the job writes each seal to the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from storage_plugins.postgres.database import Database

BATCH = 10_000
"""Ids that one seal covers."""
_SETTLING = 1.0
"""Seconds between taking an id and having an id of the transaction, which are parts of one statement."""
_PATIENCE = 60
"""Number of checks, a second apart, whether older transactions have ended."""
_BEGIN = b""


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal: a link of the chain."""

    last_id: int
    """The last row that it covers; the first is the one after the seal before."""
    row_count: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class BrokenSeal:
    """Rows that do not match their seal."""

    after_id: int
    last_id: int
    what: str


async def seal(database: Database, *, batch: int = BATCH, settling: float = _SETTLING) -> list[Seal]:
    """Seal the rows of all transactions that have ended. Returns the new seals, oldest first; none while older
    transactions run.

    One process at a time may do so.
    """
    last = await _final_id(database, settling)
    before = await _latest(database)
    made: list[Seal] = []
    while before.last_id < last:
        # Transactions that failed have taken ids without rows, so a seal may cover no row.
        row = await database.fetchrow(
            """
            with rows as (
                select $3::bigint as last_id, d.* from koyomi_audit_digest_1($1, $3) d
            )
            insert into audit_seal (last_id, row_count, previous, digest)
            select r.last_id, r.row_count, $2, koyomi_seal_digest_1($2, r.last_id, r.row_count, r.digest) from rows r
            returning row_count, digest
            """,
            before.last_id,
            before.digest,
            min(last, before.last_id + batch),
        )
        assert row is not None
        before = Seal(min(last, before.last_id + batch), row[0], row[1])
        made.append(before)
    return made


async def _final_id(database: Database, settling: float) -> int:
    """An id below which no row will appear any more; 0 if it is not known yet."""
    taken = await database.fetchval("select pg_sequence_last_value(pg_get_serial_sequence('audit', 'id'))")
    if taken is None or taken <= (await _latest(database)).last_id:
        return 0
    await asyncio.sleep(settling)
    # All transactions that took an id up to this one have a transaction id below this one now.
    limit = await database.fetchval("select pg_snapshot_xmax(pg_current_snapshot())::text")
    for _ in range(_PATIENCE):
        if await database.fetchval("select pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8", limit):
            return int(taken)
        await asyncio.sleep(1.0)
    return 0


async def _latest(database: Database) -> Seal:
    row = await database.fetchrow("select last_id, row_count, digest from audit_seal order by last_id desc limit 1")
    return Seal(0, 0, _BEGIN) if row is None else Seal(*row)


async def verify(database: Database) -> AsyncIterator[BrokenSeal]:
    """Yield every seal that does not match its rows, or the seal before it. May run while the server writes."""
    before = Seal(0, 0, _BEGIN)
    while True:
        row = await database.fetchrow(
            """
            select s.last_id, s.row_count, s.digest, s.previous, d.row_count as rows,
                   koyomi_seal_digest_1(s.previous, s.last_id, d.row_count, d.digest) as computed
            from (select * from audit_seal where last_id > $1 order by last_id limit 1) s,
                 koyomi_audit_digest_1($1, s.last_id) d
            """,
            before.last_id,
        )
        if row is None:
            return
        if row["previous"] != before.digest:
            yield BrokenSeal(before.last_id, row["last_id"], "the seal before it was changed or removed")
        if row["rows"] != row["row_count"]:
            yield BrokenSeal(
                before.last_id, row["last_id"], f"there are {row['rows']} rows; {row['row_count']} were sealed"
            )
        elif row["computed"] != row["digest"]:
            yield BrokenSeal(before.last_id, row["last_id"], "rows were changed since they were sealed")
        before = Seal(row["last_id"], row["row_count"], row["digest"])
