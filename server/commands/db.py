"""`koyomi db`: the database's schema and what it holds."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from server.calendar import iana
from server.commands.options import with_settings
from server.commands.progress import progress_bar
from server.commands.session import open_database
from server.domain.errors import ConfigurationError, DatabaseError
from server.domain.etags import etag_of
from server.services.views import render
from server.settings.model import Settings
from storage_plugins.postgres.backup import dump
from storage_plugins.postgres.backup.restore import upgrade_postgresql
from storage_plugins.postgres.database import Database, DatabaseLimits
from storage_plugins.postgres.migrations import migrate, run_online_steps, schema_state
from storage_plugins.postgres.upkeep import occurrence_jobs, rederivation
from storage_plugins.postgres.upkeep.check import check as differences
from storage_plugins.postgres.upkeep.doubles import doubles
from storage_plugins.postgres.upkeep.seals import verify

_STATEMENT_TIMEOUT = 600.0
"""Seconds that one statement of a check may take."""
_SAMPLE = 100


@click.group
def db() -> None:
    """Upgrade the database, check it, and compute derived columns again."""


@db.command
@click.option("--finish", is_flag=True, help="Also the steps that servers of the version before would not survive.")
@with_settings()
async def upgrade(settings: Settings, finish: bool) -> None:
    """Bring the tables to this version. Servers of the version before keep working until --finish.

    Builds indexes and fills new columns, too, which servers otherwise do in the background.
    """

    def tell(line: str) -> None:
        click.echo(line, err=True)

    async with open_database(settings) as dsn:
        done = await migrate(dsn, finish, tell=tell)
        done += await run_online_steps(dsn, tell=tell) or ()
    for name in done:
        click.echo(f"Applied {name}.")
    click.echo("The database is up to date.")


@db.command("upgrade-postgres")
@click.option(
    "--old-bin",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the programs of the version that made the data.  [looked for]",
)
@with_settings()
async def upgrade_postgres(settings: Settings, old_bin: Path | None) -> None:
    """Move the embedded PostgreSQL to the major version that is installed now.

    No server may run meanwhile. Clients notice nothing; the old data are kept until you remove them.
    """
    if settings.storage.database.get_secret_value():
        raise ConfigurationError("The database is not the embedded one: upgrade it as its administrator does")
    before = await upgrade_postgresql(
        settings.storage.data,
        binaries=settings.storage.postgres_bin,
        old_binaries=old_bin,
        tell=lambda line: click.echo(line, err=True),
    )
    if before is None:
        click.echo("The data are of the installed version already.")
    else:
        click.echo(f"Moved. The old data are in {before}; remove them when all is well.")


@db.command
@with_settings()
async def restored(settings: Settings) -> None:
    """Say that the database was restored by PostgreSQL's own means, such as a copy of its cluster.

    Clients know more than the server then: their sync tokens end, and they synchronise anew. No server may run.
    """
    async with open_database(settings) as dsn:
        await dump.demand_unused(dsn)
        await migrate(dsn)
        await dump.settle(dsn)
        await dump.begin_incarnation(dsn)
        await dump.hold_mail(dsn)
    click.echo("Clients will synchronise anew. Mails to people elsewhere are held: koyomi mail status")


@db.command
@click.option("--dry-run", is_flag=True, help="Only say who is affected.")
@click.option("--all", "everything", is_flag=True, help="All objects, whatever changed.")
@with_settings()
async def reexpand(settings: Settings, dry_run: bool, everything: bool) -> None:
    """Compute stored occurrences again after an update of the time-zone data, as servers do by themselves.

    Says which zones changed, and whose calendars have events in them. May run while the server does.
    """
    async with open_database(settings) as dsn:
        if not dry_run:
            await migrate(dsn)
        database = Database(dsn, DatabaseLimits(statement_timeout=_STATEMENT_TIMEOUT), application="koyomi reexpand")
        await database.open()
        try:
            found = await (occurrence_jobs.zone_data if dry_run else occurrence_jobs.use_zone_data)(database)
            click.echo(f"Zone data: {iana.version()} here, occurrences from {found.stored}.")
            if found.changed:
                click.echo(f"Changed: {', '.join(sorted(found.changed))}.")
                for name, objects in await occurrence_jobs.affected(database, found.changed):
                    click.echo(f"{name}: {objects}")
            if dry_run:
                return
            now, done = datetime.now(UTC), 0
            if everything:
                done = await occurrence_jobs.reexpand(database, now, None)
            if everything or not found.current:
                done += await occurrence_jobs.follow_zone_data(database, now)
            click.echo(f"{done} objects were computed again.")
        finally:
            await database.close()


@db.command
@click.option("--dry-run", is_flag=True, help="Only say how many objects wait.")
@with_settings()
async def rederive(settings: Settings, dry_run: bool) -> None:
    """Derive the objects again that an older version of Koyomi derived, as servers do by themselves.

    Occurrences, alarms and busy times are derived from the texts. Clients notice nothing. May run while the server
    does, and goes on where it was interrupted.
    """
    async with open_database(settings) as dsn:
        await migrate(dsn)
        database = Database(dsn, DatabaseLimits(statement_timeout=_STATEMENT_TIMEOUT), application="koyomi rederive")
        await database.open()
        try:
            total = await rederivation.outdated(database)
            click.echo(f"{total} objects wait.")
            if dry_run:
                return
            with progress_bar(total) as progress:
                done = await rederivation.rederive(database, datetime.now(UTC), progress=progress)
            left = await rederivation.outdated(database)
            click.echo(f"{done} objects were derived again." + (f" {left} objects wait." if left else ""))
        finally:
            await database.close()


@db.command
@click.option(
    "--homes", type=click.IntRange(1), default=_SAMPLE, metavar="N", help=f"How many, at random.  [{_SAMPLE}]"
)
@click.option("--all", "everything", is_flag=True, help="Check all homes; reads every object once.")
@with_settings()
async def check(settings: Settings, homes: int, everything: bool) -> None:
    """Compare what is derived (counts, sizes, ETags, revisions, views) with what it is derived from, and the journal
    with its seals. Lists meetings that lie in a home twice: one takes part in scheduling, the others are plain objects.

    Changes nothing, and may run while the server does. Exits with 1 when something differs.
    """
    found = 0
    async with open_database(settings) as dsn:
        database = Database(dsn, DatabaseLimits(statement_timeout=_STATEMENT_TIMEOUT), application="koyomi check")
        await database.open()
        try:
            async with database.transaction() as connection:
                state = await schema_state(connection)
            if not state.usable:
                raise DatabaseError("The tables are not those of this version: run koyomi db upgrade.")
            async for each in differences(database, etag_of, render, sample=None if everything else homes):
                found += 1
                click.echo(
                    f"Home {each.home_id}: {each.subject}: {each.what} is {each.stored}, should be {each.computed}."
                )
            async for double in doubles(database, sample=None if everything else homes):
                click.echo(
                    f"{double.owner}: {double.collection}/{double.name} is a plain object: the meeting of its UID is "
                    f"{double.scheduling_collection}/{double.scheduling_name}."
                )
            async for broken in verify(database):
                found += 1
                click.echo(f"Journal, {broken.first} to {broken.last}: {broken.what}.")
        finally:
            await database.close()
    click.echo("Nothing differs." if not found else f"{found} values differ.")
    if found:
        sys.exit(1)
