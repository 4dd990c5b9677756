"""`koyomi export`: calendars and contacts as files and folders that `koyomi import` reads back."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, open_storage
from server.services.principals import changes as principals
from server.services.transfer.exporting import Exporter
from server.services.transfer.sources import SUFFIXES
from server.settings.model import Settings
from storage_plugins.postgres.changes.security_events import record


@click.command
@click.argument("destination", metavar="DESTINATION")
@click.option("--user", "owner", metavar="NAME", help="Whose calendars and address books.")
@click.option("--collection", metavar="NAME", help="Only this one; OWNER/NAME for what others share.")
@click.option("--all", "everything", is_flag=True, help="Those of everybody, and who they are (without passwords).")
@with_settings()
async def export(
    settings: Settings, destination: str, owner: str | None, collection: str | None, everything: bool
) -> None:
    """Export calendars and address books; koyomi import reads them back.

    DESTINATION is a new folder, with a file for each object and the properties of collections, as a Radicale server
    keeps them. For one collection it may be a file (NAME.ics, NAME.vcf), or - for the standard output.
    """
    if everything == (owner is not None) or (everything and collection is not None):
        raise click.UsageError("Say what to export: --user NAME, with or without --collection NAME, or --all.")
    path = Path(destination)
    kind = None if destination == "-" else SUFFIXES.get(path.suffix.lower())
    stream = destination == "-" or kind is not None
    if stream and collection is None:
        raise click.UsageError("A file holds one collection: say which with --collection NAME.")
    if not stream and path.exists() and (not path.is_dir() or any(path.iterdir())):  # noqa: ASYNC240
        raise click.UsageError(f"{path} is there already, and is no empty folder.")
    async with open_storage(settings) as session:
        exporter = Exporter(session.storage, session.directory, ACTOR)
        if owner is None:
            people = [record async for record in exporter.everybody()]
        else:
            people = [await principals.find(ACTOR, session.directory, owner)]
        for one in [None] if everything else [people[0].id]:
            # Before anything is given out.
            details = {"what": "everything" if everything else "person" if collection is None else "collection"}
            await record(session.storage.database, "exported", ACTOR.cause, subject_id=one, details=details)
        chosen = [] if collection is None else await exporter.named(people[0], collection, kind)
        if len(chosen) > 1:
            raise click.UsageError(f"{collection} is a calendar and an address book: export to a .ics or .vcf file.")
        with _progress(await exporter.count(people, chosen)) as exporter.progress:
            if destination == "-":
                await exporter.stream(chosen[0], sys.stdout.buffer)
                sys.stdout.buffer.flush()  # a reader that has gone is met here, where click ends quietly
            elif stream:
                with _new_file(path) as file:
                    await exporter.stream(chosen[0], file)
            else:
                with _new_folder(path) as folder:
                    if everything:
                        await exporter.everything(people, folder)
                    elif chosen:
                        await exporter.folder(chosen[0], folder)
                    else:
                        await exporter.person(people[0], folder)
    result = exporter.result
    click.echo(f"{result.objects} objects of {result.collections} collections exported", err=destination == "-")


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda objects: None
        return
    with click.progressbar(length=max(total, 1), label="Exporting", file=sys.stderr) as bar:
        yield bar.update


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place when all is in it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}-", delete=False) as file:
        try:
            yield file
            file.flush()
            Path(file.name).chmod(0o600)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder that takes its place when all is in it; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield waiting / path.name
        (waiting / path.name).chmod(0o700)
        (waiting / path.name).replace(path)
    finally:
        shutil.rmtree(waiting)
