"""Months of acts that leave the database as files, which their seals still cover.

A file is compressed text. Its first line says what it holds, with the seals; then comes a line for each act, exactly as
it was sealed; the last line has the SHA-256 of all lines before it and its signature with the key of the seals.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from server.domain.errors import DatabaseError
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.upkeep.journal_partitions import Partition, drop, drop_in, partitions, unread
from storage_plugins.postgres.upkeep.seals import Seal, Signer, Verifier

_PAGE = 5000
_SEALS = """
    select number, first_seq, last_seq, row_count, rows_digest, previous, digest, sealed_at, key_id, signature
    from journal_seal where last_seq >= $1 and first_seq <= $2 order by first_seq
"""
_LINES = """
    select j.seq, koyomi_journal_line_1(row(j.*)::journal) from {partition} j where j.seq > $1 order by j.seq limit $2
"""
_RANGE = "select min(seq), max(seq), count(*) from {partition}"
_OUTSIDE = "select first_seq, last_seq, row_count, file, digest, key_id, signature from journal_detached order by 1"
_CARRIED = "select file from journal_detached where first_seq <= 0 order by first_seq"
_CARRIED_COLUMN = 15
"""Which part of a line is the id that the row had in the audit (koyomi_journal_line_1)."""
_DETACHED = """
    insert into journal_detached (first_seq, last_seq, row_count, file, digest, key_id, signature)
    values ($1, $2, $3, $4, $5, $6, $7)
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SealedFile:
    """What a file holds."""

    seals: tuple[Seal, ...]
    rows: dict[tuple[int, int], tuple[int, bytes]]
    """By the first and last number of each seal, the number of its acts and their digest."""
    digest: bytes
    key_id: str
    signature: bytes

    @property
    def first_seq(self) -> int:
        """The first number that its seals cover."""
        return self.seals[0].first_seq

    @property
    def last_seq(self) -> int:
        """The last one."""
        return self.seals[-1].last_seq

    @property
    def row_count(self) -> int:
        """The number of acts."""
        return sum(count for count, _ in self.rows.values())


def statement(first_seq: int, last_seq: int, row_count: int, digest: bytes) -> bytes:
    """What a signature of a detached range covers."""
    numbers = b"".join(each.to_bytes(8, "big", signed=True) for each in (first_seq, last_seq, row_count))
    return hashlib.sha256(b"koyomi journal file" + numbers + digest).digest()


async def detach(database: Database, signer: Signer, folder: Path, before: datetime) -> list[Path]:
    """Move the acts of all months that ended before a time into files. Returns the files, oldest first.

    A month stays if not all of it is sealed, or if a consumer has not read it. Raises `DatabaseError` if a file cannot
    be written, or does not hold what was sealed; then nothing of its month has left the database.
    """
    made = []
    for each in await partitions(database):
        if not each.acts or each.until > before.date() or await unread(database, each):
            continue
        first, last, count = (await database.fetch(_RANGE.format(partition=each.table)))[0]
        if count == 0:
            await drop(database, each)
            continue
        seals = [Seal(*row) for row in await database.fetch(_SEALS, first, last)]
        sealed = sum(seal.row_count for seal in seals)
        if sealed != count:
            log.warning("journal_partition_stays", table=each.table, rows=count, sealed=sealed)
            continue
        made.append(await _detach(database, signer, folder, each, seals))
    return made


async def _detach(
    database: Database, signer: Signer, folder: Path, partition: Partition, seals: Sequence[Seal]
) -> Path:
    path = folder / f"{partition.table}.ndjson.gz"
    try:
        # Compressing a page takes a while, in which the worker answers others.
        draft = await asyncio.to_thread(_Draft, path)
        await asyncio.to_thread(draft.add, _encoded({"koyomi_journal": 1, "seals": [_said(seal) for seal in seals]}))
        place = seals[0].first_seq - 1
        while rows := await database.fetch(_LINES.format(partition=partition.table), place, _PAGE):
            await asyncio.to_thread(draft.add, "".join(f"{row[1]}\n" for row in rows).encode())
            place = rows[-1][0]
        first, last, count = seals[0].first_seq, seals[-1].last_seq, sum(seal.row_count for seal in seals)
        digest = draft.digest
        signature = signer.sign(statement(first, last, count, digest))
        end = {"sha256": digest.hex(), "key": signer.key_id, "signature": signature.hex()}
        await asyncio.to_thread(draft.finish, _encoded(end))
        found = await asyncio.to_thread(read, path)
    except OSError as error:
        raise DatabaseError(f"The acts of {partition.table} cannot be written to {path}: {error}") from error
    if any(found.rows[seal.first_seq, seal.last_seq] != _sealed(seal) for seal in seals):
        await asyncio.to_thread(path.unlink)
        raise DatabaseError(f"The acts of {partition.table} are not those that were sealed: run koyomi audit verify.")
    async with database.transaction() as connection:
        await connection.execute(_DETACHED, first, last, count, path.name, digest, signer.key_id, signature)
        await drop_in(connection, partition)
    return path


class _Draft:
    """A file that is being written; it gets its name when it is whole."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._draft = path.with_name(f".{path.name}")
        self._raw = self._draft.open("wb")
        self._file = gzip.GzipFile(fileobj=self._raw, mode="wb", mtime=0)
        self._hashed = hashlib.sha256()

    @property
    def digest(self) -> bytes:
        """SHA-256 of what was added."""
        return self._hashed.digest()

    def add(self, text: bytes) -> None:
        self._file.write(text)
        self._hashed.update(text)

    def finish(self, end: bytes) -> None:
        self._file.write(end)
        self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        self._draft.replace(self._path)


def read(path: Path) -> SealedFile:
    """What a file holds. Raises `DatabaseError` if it is no such file, or damaged; signatures are not checked."""
    try:
        with gzip.open(path, "rb") as file:
            lines = iter(file)
            first = next(lines)
            seals = tuple(map(_seal, json.loads(first)["seals"]))
            hashed = hashlib.sha256(first)
            rows, end = _hash_rows(lines, seals, hashed)
        if not seals or end["sha256"] != hashed.hexdigest():
            raise ValueError("its end does not match its lines")
        return SealedFile(seals, rows, hashed.digest(), end["key"], bytes.fromhex(end["signature"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise DatabaseError(f"{path} is no whole file of the journal: {error}") from error


def _hash_rows(
    lines: Iterator[bytes], seals: Sequence[Seal], hashed: Any
) -> tuple[dict[tuple[int, int], tuple[int, bytes]], dict[str, Any]]:
    found: dict[tuple[int, int], tuple[int, bytes]] = {}
    left = iter(seals)
    seal, digest, count = next(left), hashlib.sha256(), 0
    for line in lines:
        if line.startswith(b"{"):
            found[seal.first_seq, seal.last_seq] = count, digest.digest()
            return found, json.loads(line)
        hashed.update(line)
        seq = int(line[1 : line.index(b",")])
        while seq > seal.last_seq:
            found[seal.first_seq, seal.last_seq] = count, digest.digest()
            seal, digest, count = next(left), hashlib.sha256(), 0
        digest.update(hashlib.sha256(line.rstrip(b"\n")).digest())
        count += 1
    raise ValueError("its end is missing")


def problems(path: Path, verifier: Verifier | None) -> tuple[SealedFile, list[tuple[int, int, str]]]:
    """What a file holds, and what contradicts its seals and signatures, by the numbers concerned.

    Raises `DatabaseError` if it is no such file, or damaged.
    """
    found = read(path)
    wrong = []
    for seal in found.seals:
        if seal.computed() != seal.digest or found.rows.get((seal.first_seq, seal.last_seq)) != _sealed(seal):
            wrong.append((seal.first_seq, seal.last_seq, f"acts in {path.name} are not those that were sealed"))
        elif verifier is not None and not verifier.matches(seal.key_id, seal.signature, seal.digest):
            wrong.append((seal.first_seq, seal.last_seq, f"a seal in {path.name} is not signed with a known key"))
    said = statement(found.first_seq, found.last_seq, found.row_count, found.digest)
    if verifier is not None and not verifier.matches(found.key_id, found.signature, said):
        wrong.append((found.first_seq, found.last_seq, f"{path.name} is not signed with a known key"))
    return found, wrong


async def outside(
    database: Database, folder: Path, verifier: Verifier | None
) -> tuple[dict[tuple[int, int], tuple[int, bytes]], list[tuple[int, int, str]]]:
    """What the files of a folder hold of the acts that have left the database, by the numbers of their seals, and what
    is wrong with these files."""
    rows: dict[tuple[int, int], tuple[int, bytes]] = {}
    wrong: list[tuple[int, int, str]] = []
    for first, last, count, name, digest, key_id, signature in await database.fetch(_OUTSIDE):
        said = statement(first, last, count, digest)
        if verifier is not None and not verifier.matches(key_id, signature, said):
            wrong.append((first, last, f"the record of {name} is not signed with a known key"))
        try:
            found, inside = await asyncio.to_thread(problems, folder / name, verifier)
        except DatabaseError as error:
            wrong.append((first, last, error.message))
            continue
        wrong += inside
        if (found.first_seq, found.last_seq, found.row_count, found.digest) != (first, last, count, digest):
            wrong.append((first, last, f"{name} is not the file that was written"))
        rows |= found.rows
    return rows, wrong


async def carried_files(database: Database, folder: Path) -> list[Path]:
    """The files of a folder that hold acts which versions before the journal recorded, in order."""
    return [folder / row[0] for row in await database.fetch(_CARRIED)]


def carried_lines(files: Sequence[Path]) -> Iterator[list[str]]:
    """The lines of these acts, in pages. The files must be whole (`problems`)."""
    page: list[str] = []
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                if line.startswith("[") and json.loads(line)[_CARRIED_COLUMN] is not None:
                    page.append(line)
                if len(page) == _PAGE:
                    yield page
                    page = []
    if page:
        yield page


def _sealed(seal: Seal) -> tuple[int, bytes]:
    return seal.row_count, seal.rows_digest


def _encoded(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def _said(seal: Seal) -> dict[str, Any]:
    plain = {name: getattr(seal, name) for name in Seal.__slots__}
    return {
        name: value.hex() if isinstance(value, bytes) else value.isoformat() if isinstance(value, datetime) else value
        for name, value in plain.items()
    }


def _seal(said: dict[str, Any]) -> Seal:
    return Seal(
        int(said["number"]),
        int(said["first_seq"]),
        int(said["last_seq"]),
        int(said["row_count"]),
        bytes.fromhex(said["rows_digest"]),
        bytes.fromhex(said["previous"]),
        bytes.fromhex(said["digest"]),
        datetime.fromisoformat(said["sealed_at"]),
        str(said["key_id"]),
        bytes.fromhex(said["signature"]),
    )
