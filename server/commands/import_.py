"""`koyomi import`: calendars and contacts from files and folders, and from a Radicale server's folder."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from server.commands.options import with_settings
from server.commands.session import open_storage, scheduling_in
from server.domain.actors import Actor
from server.services.transfer.importing import Imported, Importer
from server.services.transfer.sources import Refused, Source, find_sources
from server.settings.model import Settings

ACTOR = Actor(None, "import")


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH...")
@click.option("--user", "owner", metavar="NAME", help="Whose it is to be; added, without a password, if need be.")
@click.option("--collection", metavar="NAME", help="Calendar or address book; made if need be.  [see above]")
@click.option(
    "--htpasswd",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Add the people of this file too. Their passwords stay in it: see the setting sign_in.htpasswd_file.",
)
@click.option("--invite", is_flag=True, help="Send what follows of meetings, as if an app had put them.")
@with_settings()
async def import_(
    settings: Settings,
    paths: Sequence[Path],
    owner: str | None,
    collection: str | None,
    htpasswd: Path | None,
    invite: bool,
) -> None:
    """Import .ics and .vcf files and folders.

    A folder is one collection with a file for each object; or a person's, with a folder for each collection; or that of
    a Radicale server (with collection-root in it), whose people are added. Without --collection events go into
    "calendar", tasks into "tasks" and cards into "addressbook".

    An object that is there already (with the same UID) is replaced where it differs: a second run changes nothing. Of
    one UID that comes twice the higher SEQUENCE is taken, then the later DTSTAMP (of cards the later REV). Files in
    UTF-16 and Latin-1 are converted.

    Meetings keep the answers that they have, and nothing is sent without --invite.
    Exits with 1 when something was refused.
    """
    sizes = (
        source
        for source in find_sources(paths, owner, collection, settings.limits.values)
        if isinstance(source, Source)
    )
    total = sum(file.size for source in sizes for file in source.files)
    async with open_storage(settings) as session:
        limits = settings.limits.values
        scheduling = await scheduling_in(session, settings) if invite else None
        with _progress(total) as progress:
            importer = Importer(
                session.storage,
                session.directory,
                session.hasher,
                limits,
                ACTOR,
                _tell,
                _note,
                progress,
                scheduling,
            )
            if htpasswd is not None:
                lines = htpasswd.read_text("utf-8", "replace").splitlines()  # noqa: ASYNC240
                await importer.add_people([name for line in lines if (name := _htpasswd_name(line))])
            result = await importer.run(paths, owner, collection)
    _report(result, settings)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda octets: None
        return
    with click.progressbar(length=max(total, 1), label="Importing", file=sys.stderr) as bar:
        yield bar.update


def _htpasswd_name(line: str) -> str:
    name = line.strip().partition(":")[0]
    return "" if name.startswith("#") else name


def _tell(refused: Refused) -> None:
    _note(f"Refused: {refused.place}: {refused.reason}")


def _note(text: str) -> None:
    start = "\r\033[K" if sys.stderr.isatty() else ""
    click.echo(f"{start}{text}", err=True)


def _report(result: Imported, settings: Settings) -> None:
    made = result.made
    if made.people:
        click.echo(f"Principals: {made.people} created")
    if made.collections or made.collections_changed:
        click.echo(f"Collections: {made.collections} created, {made.collections_changed} changed")
    click.echo(
        f"{result.created} created, {result.changed} changed, {result.unchanged} unchanged, {result.refused} refused"
    )
    if result.superseded:
        click.echo(f"{result.superseded} left out for a newer version with the same UID")
    if made.without_password and not (settings.sign_in.htpasswd_file or settings.sign_in.remote_user_header):
        names = sorted(made.without_password)
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} others" if len(names) > 10 else "")
        click.echo(
            f"Without a password: {shown}. Set one (koyomi user passwd NAME), or let them sign in by the htpasswd file "
            "that they have (the setting sign_in.htpasswd_file).",
            err=True,
        )
    if result.refused:
        sys.exit(1)
