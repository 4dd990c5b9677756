"""`koyomi audit`: the record of who did what, from the journal (docs/events.md)."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.commands.options import with_settings
from server.commands.session import ACTOR, Session, open_storage
from server.commands.table import table
from server.domain.errors import KoyomiError, NotFound
from server.events.seal_heads import SYSLOG, read
from server.events.seal_key import PublicKeys, key_at, public_key_at
from server.settings.model import Settings
from storage_plugins.postgres.changes.security_events import record
from storage_plugins.postgres.reads.record import Recorded, Selection, recorded
from storage_plugins.postgres.upkeep.journal_files import carried_files, carried_lines, outside, problems
from storage_plugins.postgres.upkeep.journal_files import detach as detach_months
from storage_plugins.postgres.upkeep.seals import verify as contradictions

_MOST = 100
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters for which a spreadsheet would compute a cell."""
_COLUMNS = (
    "seq", "at", "what", "kind", "who", "principal", "acting_for", "acting_for_principal", "whose", "home", "subject",
    "collection_name", "collection", "object", "revision", "origin", "request", "change", "trace", "details", "text",
    "act",
)  # fmt: skip


@click.group
def audit() -> None:
    """The record of who did what. It names things by ids; names in lists are those of today."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The filters of a command."""

    who: tuple[str, ...]
    acting_for: tuple[str, ...]
    whose: tuple[str, ...]
    what: tuple[str, ...]
    origin: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    object_id: int | None
    request_id: str | None
    echoes: bool


_WHEN = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m"])


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--echoes", is_flag=True, help="Also what follows from acts: touches and refreshes."),
        click.option("--request", "request_id", metavar="ID", help="Of this request (X-Request-Id)."),
        click.option("--object", "object_id", type=int, metavar="ID", help="Of this object."),
        click.option("--until", type=_WHEN, metavar="DATE", help="Before this date or time, in UTC."),
        click.option("--since", type=_WHEN, metavar="DATE", help="From this date or time on, in UTC."),
        click.option("--origin", multiple=True, metavar="ORIGIN", help="Through this front end: caldav, cli, …"),
        click.option("--what", multiple=True, metavar="KIND", help="What happened: created, shared, sign-in, …"),
        click.option("--whose", multiple=True, metavar="NAME", help="In the homes of this person, or about them."),
        click.option("--for", "acting_for", multiple=True, metavar="NAME", help="What a delegate did for this person."),
        click.option("--who", multiple=True, metavar="NAME", help="What this person did."),
    ):
        command = option(command)
    return command


def _asked(filters: dict[str, Any]) -> _Asked:
    for name in ("since", "until"):
        if filters[name] is not None:
            filters[name] = filters[name].replace(tzinfo=UTC)
    return _Asked(**filters)


async def _selection(session: Session, asked: _Asked) -> Selection:
    async def ids(names: Sequence[str]) -> list[int] | None:
        return [await _principal(session, name) for name in names] or None

    return Selection(
        who=await ids(asked.who),
        acting_for=await ids(asked.acting_for),
        whose=await ids(asked.whose),
        what=list(asked.what) or None,
        origins=list(asked.origin) or None,
        since=asked.since,
        until=asked.until,
        object_id=asked.object_id,
        request_id=asked.request_id,
        echoes=asked.echoes,
    )


async def _principal(session: Session, name: str) -> int:
    """The id of a name; `#17` is an id, also of somebody who is gone."""
    if name.startswith("#") and name[1:].isdigit():
        return int(name[1:])
    found = await session.directory.principal(name)
    if found is None:
        raise NotFound(f"Nobody is called {name}; #ID names somebody who is gone.")
    return found.id


@audit.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1), default=_MOST, metavar="N", help=f"How many at most.  [{_MOST}]")
@with_settings()
async def list_(settings: Settings, limit: int, **filters: Any) -> None:
    """List what was done, the latest first. Times are in UTC."""
    async with open_storage(settings) as session:
        selection = await _selection(session, _asked(filters))
        found = [each async for each in recorded(session.storage.database, selection, newest_first=True, limit=limit)]
    heads = ("SEQ", "AT", "WHO", "FOR", "WHAT", "WHOSE", "COLLECTION", "OBJECT", "ORIGIN", "REQUEST", "DETAILS", "TEXT")
    click.echo(table(heads, [_row(each) for each in found]))
    if len(found) == limit:
        click.echo(f"Only the latest {limit} are listed.")


def _row(each: Recorded) -> tuple[str, ...]:
    entry = each.entry
    return (
        str(entry.seq),
        f"{entry.at:%Y-%m-%d %H:%M:%S}",
        each.who,
        each.acting_for,
        each.action,
        each.owner,
        each.collection,
        "" if entry.object_id is None else str(entry.object_id),
        entry.origin,
        entry.request_id,
        "" if entry.details is None else json.dumps(entry.details, ensure_ascii=False),
        each.text,
    )


@audit.command
@_filters
@click.option(
    "--format", "form", type=click.Choice(["ndjson", "csv"]), default="ndjson", help="A JSON object a line, or CSV."
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@with_settings()
async def export(settings: Settings, form: str, file: Path | None, **filters: Any) -> None:
    """Write what was done to FILE, or to the output, in the order in which it happened."""
    async with open_storage(settings) as session:
        selection = await _selection(session, _asked(filters))
        # Before anything is given out.
        await record(session.storage.database, "exported", ACTOR.cause, details={"what": "journal"})
        entries = recorded(session.storage.database, selection)
        if file is None:
            count = await _write(entries, form, sys.stdout)
        else:
            with file.open("w", encoding="utf-8", newline="") as out:
                count = await _write(entries, form, out)
    click.echo(f"{count} entries.", err=True)


async def _write(entries: AsyncIterator[Recorded], form: str, out: TextIO) -> int:
    count = 0
    writer = csv.writer(out)
    if form == "csv":
        writer.writerow(_COLUMNS)
    async for each in entries:
        values = _values(each)
        if form == "csv":
            writer.writerow([_cell(value) for value in values])
        else:
            said = {name: value for name, value in zip(_COLUMNS, values, strict=True) if value not in (None, "")}
            out.write(json.dumps(said, ensure_ascii=False, separators=(",", ":")) + "\n")
        count += 1
    return count


def _values(each: Recorded) -> tuple[Any, ...]:
    e = each.entry
    return (
        e.seq, e.at.astimezone(UTC).isoformat(), each.action, e.kind, each.who, e.principal_id, each.acting_for,
        e.acting_for, each.owner, e.home_id or None, e.subject_id, each.collection, e.collection_id, e.object_id,
        e.revision or None, e.origin, e.request_id, e.change, e.trace, e.details, each.text, e.act,
    )  # fmt: skip


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


_KEYS = click.option(
    "--public-key", "keys", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Another public key (PEM) that seals may be signed with, as koyomi audit key prints it.",
)  # fmt: skip


_UNWRITTEN = """
    select count(*) from journal_seal s
    where not exists (select from unnest($1::bigint[]) as w (number) where w.number = s.number)
"""


@audit.command
@_KEYS
@click.option(
    "--heads",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Heads in a second place: a file, or lines of the system's log.  [journal.heads]",
)
@click.option(
    "--file", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Verify only these files of months that have left the database.",
)  # fmt: skip
@with_settings()
async def verify(settings: Settings, keys: tuple[Path, ...], heads: Path | None, files: tuple[Path, ...]) -> None:
    """Verify the seals of the journal: of what is in the database, and of the months that have left it as files.

    Changes nothing, and may run while the server does. Exits with 1 when something was changed, removed or cut off.
    """
    own = key_at(settings.journal.key_in(settings.storage.data))
    verifier = PublicKeys([own.public, *map(public_key_at, keys)])
    wrong: list[tuple[int, int, str]] = []
    unwritten = 0
    if files:
        for path in files:
            found, inside = problems(path, verifier)
            wrong += inside
            click.echo(f"{path}: {found.row_count} acts, {found.first_seq} to {found.last_seq}.")
    else:
        async with open_storage(settings) as session:
            database = session.storage.database
            sealed = await database.fetchval("select coalesce(sum(row_count), 0) from journal_seal")
            folder = settings.journal.folder_in(settings.storage.data)
            rows, wrong = await outside(database, folder, verifier)
            carried = None if wrong else carried_lines(await carried_files(database, folder))
            place = heads or (Path(settings.journal.heads) if settings.journal.heads not in ("", SYSLOG) else None)
            written = None if place is None or (heads is None and not sealed) else read(place)
            if written is not None:
                unwritten = await database.fetchval(_UNWRITTEN, list(written))
            async for each in contradictions(database, verifier, written, rows, carried):
                wrong.append((each.first, each.last, each.what))
        click.echo(f"{sealed} acts are sealed.")
        if unwritten:
            click.echo(f"{unwritten} seals have no head in the second place; the server writes missing ones later.")
    for first, last, what in wrong:
        click.echo(f"{first} to {last}: {what}.")
    click.echo("Nothing contradicts the seals." if not wrong else f"{len(wrong)} contradictions.")
    if wrong:
        sys.exit(1)


@audit.command
@with_settings()
def key(settings: Settings) -> None:
    """Print the public key of this server's seals, with which others can verify them."""
    public = key_at(settings.journal.key_in(settings.storage.data)).public
    click.echo(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), nl=False)


@audit.command
@click.option("--before", required=True, type=_WHEN, metavar="MONTH", help="All months before this one (2026-01).")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Folder.  [journal.folder]")
@with_settings()
async def detach(settings: Settings, before: datetime, to: Path | None) -> None:
    """Move the acts of old months out of the database into sealed files, which `verify` still verifies.

    A month stays if not all of it is sealed, or if something has not read it yet.
    """
    if before.replace(tzinfo=UTC) > datetime.now(UTC):
        raise KoyomiError("Only months that have ended can be moved.")
    journal = settings.journal
    signer = key_at(journal.key_in(settings.storage.data))
    folder = to or journal.folder_in(settings.storage.data)
    async with open_storage(settings) as session:
        made = await detach_months(session.storage.database, signer, folder, before.replace(tzinfo=UTC))
    for path in made:
        click.echo(path)
    click.echo(f"{len(made)} months were moved.", err=True)
