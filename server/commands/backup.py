"""`koyomi backup`: everything that the database holds, while the server runs."""

from __future__ import annotations

from pathlib import Path

import click

from server.commands.options import with_settings
from server.commands.session import open_database
from server.settings.model import Settings
from storage_plugins.postgres.backup.cluster_copy import back_up


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
    async with open_database(settings) as dsn:
        made = await back_up(
            dsn,
            folder,
            kind="copy" if copy or (embedded and not sql) else "sql",
            programs_setting=settings.storage.postgres_bin,
            tell=lambda line: click.echo(line, err=True),
        )
    size = sum(path.stat().st_size for path in folder.iterdir())  # noqa: ASYNC240
    what = "A copy of the cluster" if made.kind == "copy" else "SQL"
    click.echo(f"{what}, PostgreSQL {made.postgresql}, {size / (1 << 20):.1f} MiB in {folder}.")
