"""`koyomi db`: the database's schema and what it holds."""

from __future__ import annotations

import click

from server.commands.options import with_settings
from server.commands.session import open_database
from server.settings import Settings
from storage_plugins.postgres.migrations import migrate


@click.group
def db() -> None:
    """The database: bring it to this version, check it."""


@db.command
@click.option("--finish", is_flag=True, help="Also the steps that servers of the version before would not survive.")
@with_settings()
async def upgrade(settings: Settings, finish: bool) -> None:
    """Bring the tables to this version. Servers of the version before keep working until --finish."""
    async with open_database(settings) as dsn:
        done = await migrate(dsn, finish)
    for name in done:
        click.echo(f"Applied {name}")
    click.echo("The database is up to date." if not done else f"{len(done)} steps applied.")
