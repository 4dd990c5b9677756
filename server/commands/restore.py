"""`koyomi restore`: a whole database from a backup, or what somebody deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, Session, open_storage, scheduling_in
from server.domain.errors import AlreadyExists, BadRequest, NotFound
from server.domain.objects import Target
from server.services.lookup import Lookup
from server.services.reading import Reading
from server.services.restoring import invite_again, restore_object
from server.settings.model import Settings
from server.storage.directory import PrincipalRecord
from storage_plugins.postgres.backup.cluster_copy import read_manifest
from storage_plugins.postgres.backup.restore import restore_embedded, restore_external
from storage_plugins.postgres.upkeep.deleted import deleted_collections, deleted_objects, restore_collection


@click.command
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="FOLDER", help="The backup to restore.")
@click.option("--replace", is_flag=True, help="Put the present data aside (an external database: remove them).")
@click.option("--user", "owner", metavar="NAME", help="Whose calendars and address books.")
@click.option("--list", "listing", is_flag=True, help="Only list what can be restored.")
@click.option("--object", "objects", type=int, multiple=True, metavar="ID", help="Restore an event, task or card.")
@click.option(
    "--calendar", "collections", type=int, multiple=True, metavar="ID", help="Restore a calendar or address book."
)
@click.option(
    "--invite", is_flag=True, help="Invite the people of a restored calendar's meetings again, where they were told."
)
@click.option("--as", "name", metavar="NAME", help="Name of the restored calendar in URLs.  [as it was]")
@with_settings()
async def restore(
    settings: Settings,
    source: Path | None,
    replace: bool,
    owner: str | None,
    listing: bool,
    objects: Sequence[int],
    collections: Sequence[int],
    name: str | None,
    invite: bool,
) -> None:
    """Restore a backup (--from), or what a person deleted (--user).

    A backup is restored while no server runs on the data. All clients synchronise anew afterwards, since they know
    things that the backup does not.

    What was deleted can be restored for restore_days while the server runs: --user NAME lists it with ids. Clients see
    it appear again. A meeting of the organizer is sent to the attendees again; an attendee gets it as the organizer
    has it now. A restored calendar sends nothing without --invite.
    """
    if (source is None) == (owner is None):
        raise click.UsageError("Either --from FOLDER or --user NAME is needed.")
    if source is not None:
        await _from_backup(settings, source, replace)
        return
    if name is not None and len(collections) != 1:
        raise click.UsageError("--as is for one --calendar.")
    if invite and not collections:
        raise click.UsageError("--invite is for --calendar.")
    async with open_storage(settings) as session:
        found = await session.directory.principal(str(owner))
        if found is None:
            raise BadRequest(f"Nobody is called {owner}.")
        for collection in collections:
            await _restore_collection(session, settings, found, collection, name, invite=invite)
        for each in objects:
            await _restore_object(session, settings, found, each)
        if listing or not (objects or collections):
            await _list(session, settings, found)


async def _from_backup(settings: Settings, source: Path, replace: bool) -> None:
    backup = read_manifest(source)

    def tell(line: str) -> None:
        click.echo(line, err=True)

    dsn = settings.storage.database.get_secret_value()
    before: Path | None = None
    if dsn:
        await restore_external(
            backup, source, dsn, programs_setting=settings.storage.postgres_bin, replace=replace, tell=tell
        )
    else:
        before = await restore_embedded(
            backup, source, settings.storage.data, binaries=settings.storage.postgres_bin, replace=replace, tell=tell
        )
    click.echo(f"Restored the state of {backup.made_at}. Clients will synchronise anew.")
    click.echo("Mails to people elsewhere are held: koyomi mail status")
    if before is not None:
        click.echo(f"What was there before is in {before}; remove it when it is not needed any more.")


async def _list(session: Session, settings: Settings, owner: PrincipalRecord) -> None:
    database, principal_id = session.storage.database, owner.id
    collections = await deleted_collections(database, principal_id, settings.retention.restore_days)
    objects = await deleted_objects(database, principal_id, settings.retention.restore_days)
    for each in collections:
        click.echo(f"--calendar {each.id}  {_day(each.deleted_at)}  {each.name or '?'}/ ({each.members} entries)")
    for item in objects:
        gone = "" if item.collection_alive else "  (its calendar was deleted)"
        click.echo(
            f"--object {item.id}  {_day(item.deleted_at)}  {item.component}  {item.collection or '?'}/{item.name}{gone}"
        )
    if not collections and not objects:
        click.echo("Nothing that was deleted can be restored.")


def _day(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M")


async def _restore_collection(
    session: Session, settings: Settings, owner: PrincipalRecord, id_: int, name: str | None, *, invite: bool
) -> None:
    database, days = session.storage.database, settings.retention.restore_days
    found = await deleted_collections(database, owner.id, days, id_)
    if not found:
        raise BadRequest(_no_collection(owner, id_, days))
    wanted = name or found[0].name
    if wanted is None:
        raise BadRequest("Its name was taken since: name it differently with --as.")
    try:
        await restore_collection(database, found[0], wanted, days, ACTOR.cause)
    except NotFound:
        raise BadRequest(_no_collection(owner, id_, days)) from None
    except AlreadyExists:
        raise BadRequest(f"{owner.name} has another {wanted} now: name it differently with --as.") from None
    click.echo(f"Restored {wanted} with {found[0].members} entries.")
    if not invite:
        return
    if found[0].kind != "calendar":
        raise BadRequest("--invite is for calendars.")
    scheduling, reading = await scheduling_in(session, settings), Reading(session.storage, settings.storage.page_size)
    place = Target(owner.uid, "uid", found[0].home, wanted)
    actor = replace(ACTOR, acting_for=owner.id)
    invited, refused = await invite_again(Lookup(session.storage), reading, scheduling, actor, place)
    click.echo(f"Meetings: {invited} scheduled again, {refused} refused")


def _no_collection(owner: PrincipalRecord, id_: int, days: int) -> str:
    return f"No deleted calendar of {owner.name} has the id {id_}, or it was deleted more than {days} days ago."


async def _restore_object(session: Session, settings: Settings, owner: PrincipalRecord, id_: int) -> None:
    found = await deleted_objects(session.storage.database, owner.id, settings.retention.restore_days, id_)
    if not found:
        raise BadRequest(f"Nothing that {owner.name} deleted has the id {id_}.")
    item = found[0]
    if item.collection is None or not item.collection_alive:
        raise BadRequest("Its calendar was deleted too: restore that first, with --calendar.")
    name = await restore_object(
        Lookup(session.storage),
        await scheduling_in(session, settings),
        replace(ACTOR, acting_for=owner.id),
        Target(owner.uid, "uid", item.home, item.collection, item.name),
        item.id,
        item.text,
        item.properties,
    )
    click.echo(f"Restored {item.collection}/{name}.")
