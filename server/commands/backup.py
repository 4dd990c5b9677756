"""`koyomi backup`: everything that the database holds, while the server runs."""

from __future__ import annotations

from pathlib import Path

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, open_database
from server.domain.errors import DatabaseError, KoyomiError
from server.settings.model import Settings
from storage_plugins.postgres.backup.cluster_copy import Kind, back_up
from storage_plugins.postgres.changes.security_events import record
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.migrations import schema_state


@click.command
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sql", is_flag=True, help="SQL instead of a copy: for other versions of PostgreSQL, larger and slower.")
@click.option("--copy", is_flag=True, help="A copy of the whole cluster also of an external database.")
@with_settings()
async def backup(settings: Settings, folder: Path, sql: bool, copy: bool) -> None:
    """Write a backup into FOLDER, which must be new or empty.

    Of the embedded PostgreSQL it is a copy of its data directory with the log that makes it whole; of another, and
    where the rights do not suffice for a copy, SQL. Everything is as of one moment, and writers are not held up.
    """
    embedded = not settings.storage.database.get_secret_value()
    kind: Kind = "copy" if copy or (embedded and not sql) else "sql"
    async with open_database(settings) as dsn:
        await note(dsn, kind)
        made = await back_up(
            dsn,
            folder,
            kind=kind,
            programs_setting=settings.storage.postgres_bin,
            tell=lambda line: click.echo(line, err=True),
        )
    size = sum(path.stat().st_size for path in folder.iterdir())  # noqa: ASYNC240
    what = "A copy of the cluster" if made.kind == "copy" else "SQL"
    click.echo(f"{what}, PostgreSQL {made.postgresql}, {size / (1 << 20):.1f} MiB in {folder}.")


async def note(dsn: str, kind: Kind) -> None:
    """Record the backup in the journal, before anything is given out.

    A database that takes no record, as a standby or one of an older version, is backed up nevertheless.
    """
    try:
        database = Database(dsn, application="koyomi command")
        await database.open()
        try:
            async with database.transaction() as connection:
                state = await schema_state(connection)
            if not state.usable:
                raise DatabaseError("its tables are of another version, or missing.")
            await record(database, "exported", ACTOR.cause, details={"what": "backup", "kind": kind})
        finally:
            await database.close()
    except KoyomiError as error:
        click.echo(f"The journal has no record of this backup: {error.message}", err=True)
