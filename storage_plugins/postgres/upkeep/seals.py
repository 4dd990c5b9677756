"""Seals of the journal: a job adds digests of new acts to a chain, in which each seal contains the one before.

Writers take no part in it, and so need no common lock. A row that is changed, removed or inserted among sealed rows
does not match its seal. Who changes the seal, too, needs the key of its signature, which is not in the database; and
who cuts off the end of the chain contradicts the heads that were written to a second place.

A seal covers acts of one month, so that a month can leave the database as a file. What versions before recorded is
sealed when all of it has been carried over; their own seals (`audit_seal`) are verified as well.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from storage_plugins.postgres.database import Connection, Database

BATCH = 10_000
"""Entries, echoes included, that one seal covers at most."""
_BEGIN = b""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LATEST = "select number, digest from journal_seal order by number desc limit 1"
_LAST_KEY = "select key_id from journal_seal order by number desc limit 1"
_BEFORE = "select digest from audit_seal order by last_id desc limit 1"
# Where the seals of entries before and after number 0 end, and where the journal does.
_ENDS = """
    select coalesce((select max(last_seq) from journal_seal where last_seq > 0), 0),
           (select max(seq) from journal),
           coalesce((select max(last_seq) from journal_seal where last_seq <= 0), (select min(seq) - 1 from journal))
"""
_RANGE = """
    select max(n.seq)
    from (
        select j.seq, j.month, first_value(j.month) over (order by j.seq) as first
        from journal j where j.seq > $1 and j.seq <= $2 order by j.seq limit $3
    ) as n where n.month = n.first
"""
_ADD = """
    insert into journal_seal (
        number, first_seq, last_seq, row_count, rows_digest, previous, digest, sealed_at, key_id, signature
    ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_SEALS = """
    select number, first_seq, last_seq, row_count, rows_digest, previous, digest, sealed_at, key_id, signature
    from journal_seal where number > $1 order by number limit 1
"""
_HEADS_DUE = """
    select number, first_seq, last_seq, row_count, rows_digest, previous, digest, sealed_at, key_id, signature
    from journal_seal
    where number > coalesce((select h.number from journal_head h where h.place = $1), 0) order by number limit $2
"""
_HEADS_WRITTEN = """
    insert into journal_head (place, number) values ($1, $2)
    on conflict (place) do update set number = greatest(journal_head.number, excluded.number), written_at = default
"""
_IS_OLD_SEAL = "select exists (select from audit_seal where digest = $1)"
_LEFT_DATABASE = "select first_seq, last_seq from journal_detached order by 1"
_CARRIED_LEFT = "select exists (select from journal_detached where first_seq <= 0)"
_OLD_SEALS = """
    select s.last_id, s.row_count, s.digest, s.previous, d.row_count as rows,
           koyomi_seal_digest_1(s.previous, s.last_id, d.row_count, d.digest) as computed
    from (select * from audit_seal where last_id > $1 order by last_id limit 1) s,
         koyomi_carried_digest_1($1, s.last_id) d
"""
_OLD_SEALS_ALONE = "select last_id, row_count, digest, previous from audit_seal order by last_id"
# A line of a file has the columns of koyomi_journal_line_1; versions before sealed those of koyomi_carried_digest_1.
_CARRIED_LINES = """
    select (l ->> 15)::bigint, sha256(convert_to((jsonb_build_array(
               l -> 3, l -> 15, l -> 1, l -> 17, nullif(l -> 4, '0'), l -> 5, l -> 6, l -> 7, l -> 8, l -> 10, l -> 11,
               l -> 14
           ) || case when l -> 9 = 'null' and l -> 13 = 'null' then '[]'
                     else jsonb_build_array(l -> 9, l -> 13) end)::text, 'UTF8'))
    from unnest($1::text[]) with ordinality as t (line, place), lateral (select t.line::jsonb as l) as parsed
    order by t.place
"""


class Signer(Protocol):
    """Signs seals."""

    @property
    def key_id(self) -> str:
        """Which key it is."""

    def sign(self, digest: bytes) -> bytes:
        """The signature of the digest of a seal."""


class Verifier(Protocol):
    """Checks signatures."""

    def matches(self, key_id: str, signature: bytes, digest: bytes) -> bool | None:
        """Whether the signature is that of the key; None: the key is not known."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A link of the chain, for the acts of [first_seq, last_seq]."""

    number: int
    first_seq: int
    last_seq: int
    row_count: int
    rows_digest: bytes
    previous: bytes
    digest: bytes
    sealed_at: datetime
    key_id: str
    signature: bytes

    def computed(self) -> bytes:
        """The digest that it should have."""
        return seal_digest(
            self.number,
            self.first_seq,
            self.last_seq,
            self.row_count,
            self.rows_digest,
            self.previous,
            self.sealed_at,
        )


def seal_digest(
    number: int, first_seq: int, last_seq: int, row_count: int, rows: bytes, previous: bytes, sealed_at: datetime
) -> bytes:
    """SHA-256 of what a seal says, numbers as 8 bytes each, with the digest of the seal before and of its rows."""
    at = (sealed_at - _EPOCH) // timedelta(microseconds=1)
    said = b"".join(each.to_bytes(8, "big", signed=True) for each in (number, first_seq, last_seq, row_count, at))
    return hashlib.sha256(previous + said + rows).digest()


@dataclass(frozen=True, slots=True)
class Broken:
    """What contradicts the seals."""

    first: int
    """The first number that is concerned; of versions before, the id that the row had in the audit."""
    last: int
    what: str


async def seal(database: Database, signer: Signer, *, batch: int = BATCH) -> list[Seal]:
    """Seal all acts that have no seal. Returns the new seals, oldest first. One process at a time may do so: of two
    that continue the chain at one place, one fails."""
    made: list[Seal] = []
    while True:
        sealed, end, carried = await _ends(database)
        after, until = sealed, end
        if carried is not None and carried < 0 and await _is_carried_over(database):
            after, until = carried, 0
        row = await database.fetchrow(_RANGE, after, until, batch)
        if row is None or row[0] is None:
            return made
        made.append(await _add(database, signer, after + 1, row[0]))


async def _ends(database: Database) -> tuple[int, int, int | None]:
    row = await database.fetchrow(_ENDS)
    assert row is not None
    return row[0], row[1] or 0, row[2]


async def _add(database: Database, signer: Signer, first: int, last: int) -> Seal:
    latest = await database.fetchrow(_LATEST)
    if latest is None:
        number, previous = 1, await database.fetchval(_BEFORE) or _BEGIN
    else:
        number, previous = latest[0] + 1, latest[1]
    rows, digest = await rows_between(database, first, last)
    at = datetime.now(UTC)
    chained = seal_digest(number, first, last, rows, digest, previous, at)
    made = Seal(number, first, last, rows, digest, previous, chained, at, signer.key_id, signer.sign(chained))
    await database.fetch(_ADD, *(getattr(made, name) for name in Seal.__slots__))
    return made


async def last_key(database: Database) -> str | None:
    """Which key signed the last seal; None: there is no seal."""
    found: str | None = await database.fetchval(_LAST_KEY)
    return found


async def heads_due(database: Database, place: str, limit: int) -> list[Seal]:
    """The next seals whose heads have not been written to a second place, at most `limit`."""
    return [Seal(*row) for row in await database.fetch(_HEADS_DUE, place, limit)]


async def heads_written(database: Database, place: str, number: int) -> None:
    """The heads of all seals up to this one have been written."""
    await database.fetch(_HEADS_WRITTEN, place, number)


async def rows_between(database: Database | Connection, first: int, last: int) -> tuple[int, bytes]:
    """The number of the acts of [first, last], and their digest."""
    row = await database.fetchrow("select * from koyomi_journal_digest_1($1, $2)", first, last)
    assert row is not None
    return row[0], row[1]


async def verify(
    database: Database,
    verifier: Verifier | None = None,
    heads: Mapping[int, str] | None = None,
    outside: Mapping[tuple[int, int], tuple[int, bytes]] | None = None,
    carried: Iterable[Sequence[str]] | None = None,
) -> AsyncIterator[Broken]:
    """Yield what contradicts the seals. May run while the server writes.

    Without `verifier` no signatures are checked. `heads` are digests (hexadecimal) of seals by their numbers, as they
    were written to a second place. `outside` has the numbers and digests of acts that have left the database, by the
    first and the last number of their seals; without it these acts are not compared. `carried` are the lines of acts
    among them that versions before recorded, in order and in pages; without it the seals of these are not compared.
    """
    left_database = [tuple(row) for row in await database.fetch(_LEFT_DATABASE)]
    async for old in _verify_old(database, carried):
        yield old
    digest = _BEGIN
    number = 0
    ends: dict[bool, int | None] = {True: 0, False: None}
    left = dict(heads or {})
    while (row := await database.fetchrow(_SEALS, number)) is not None:
        found = Seal(*row)
        if number == 0 and await database.fetchval(_IS_OLD_SEAL, found.previous):
            # The first seal follows the one that was the last of the audit then; servers of the version before may
            # have gone on sealing.
            digest = found.previous
        async for each in _verify_one(found, number, digest, ends[found.first_seq > 0], verifier):
            yield each
        first, last = found.first_seq, found.last_seq
        if not any(begin <= first and last <= end for begin, end in left_database):
            rows = await rows_between(database, first, last)
        elif outside is not None:
            rows = outside.get((first, last), (0, b""))
        else:
            rows = found.row_count, found.rows_digest
        if rows[0] != found.row_count:
            yield Broken(first, last, f"there are {rows[0]} rows; {found.row_count} were sealed")
        elif rows[1] != found.rows_digest:
            yield Broken(first, last, "rows were changed since they were sealed")
        if left.pop(found.number, found.digest.hex()) != found.digest.hex():
            yield Broken(found.first_seq, found.last_seq, "the seal is not the one that its head was written of")
        number, digest = found.number, found.digest
        ends[found.first_seq > 0] = found.last_seq
    for missing in sorted(left):
        yield Broken(0, 0, f"seal {missing} is missing, whose head was written")


async def _verify_one(
    found: Seal, before: int, digest: bytes, end: int | None, verifier: Verifier | None
) -> AsyncIterator[Broken]:
    first, last = found.first_seq, found.last_seq
    if found.number != before + 1 or found.previous != digest or (end is not None and first != end + 1):
        yield Broken(first, last, "the seal before it was changed or removed")
    if found.computed() != found.digest:
        yield Broken(first, last, "the seal was changed")
    elif verifier is not None:
        matches = verifier.matches(found.key_id, found.signature, found.digest)
        if matches is None:
            yield Broken(first, last, f"the seal is signed with a key that is not known ({found.key_id})")
        elif not matches:
            yield Broken(first, last, "the signature is not one of the seal")


async def _verify_old(database: Database, carried: Iterable[Sequence[str]] | None) -> AsyncIterator[Broken]:
    """The seals of versions before, if what they cover has been carried over."""
    if not await _is_carried_over(database):
        return
    if await database.fetchval(_CARRIED_LEFT):
        if carried is None:
            return
        found = _old_seals_in_files(database, carried)
    else:
        found = _old_seals(database)
    last, digest = 0, _BEGIN
    async for old in found:
        if old.previous != digest:
            yield Broken(last + 1, old.last_id, "the audit's seal before it was changed or removed")
        if old.rows != old.row_count:
            said = f"there are {old.rows} rows of the audit; {old.row_count} were sealed"
            yield Broken(last + 1, old.last_id, said)
        elif old.computed != old.digest:
            yield Broken(last + 1, old.last_id, "rows of the audit were changed since they were sealed")
        last, digest = old.last_id, old.digest


@dataclass(frozen=True, slots=True)
class _OldSeal:
    """A seal of the versions before, for the rows of the audit up to an id."""

    last_id: int
    row_count: int
    digest: bytes
    previous: bytes
    rows: int
    """How many rows there are."""
    computed: bytes
    """The digest that it should have."""


async def _old_seals(database: Database) -> AsyncIterator[_OldSeal]:
    last = 0
    while (row := await database.fetchrow(_OLD_SEALS, last)) is not None:
        found = _OldSeal(*row)
        yield found
        last = found.last_id


async def _old_seals_in_files(database: Database, carried: Iterable[Sequence[str]]) -> AsyncIterator[_OldSeal]:
    lines = _digests(database, carried)
    line = await anext(lines, None)
    for last_id, row_count, digest, previous in await database.fetch(_OLD_SEALS_ALONE):
        rows, hashed = 0, hashlib.sha256()
        while line is not None and line[0] <= last_id:
            hashed.update(line[1])
            rows += 1
            line = await anext(lines, None)
        said = b"".join(each.to_bytes(8, "big", signed=True) for each in (last_id, rows))
        computed = hashlib.sha256(previous + said + hashed.digest()).digest()
        yield _OldSeal(last_id, row_count, digest, previous, rows, computed)


async def _digests(database: Database, carried: Iterable[Sequence[str]]) -> AsyncIterator[tuple[int, bytes]]:
    """The ids that lines had in the audit, and their digests as versions before sealed them."""
    pages = iter(carried)
    while (page := await asyncio.to_thread(next, pages, None)) is not None:
        for row in await database.fetch(_CARRIED_LINES, page):
            yield row[0], row[1]


async def _is_carried_over(database: Database) -> bool:
    """Whether everything that versions before recorded is in the journal."""
    if await database.fetchval("select to_regclass('audit') is null"):
        return True
    return not await database.fetchval(
        "select exists (select from audit a, journal_carry c where a.id < c.audit_id limit 1)"
    )
