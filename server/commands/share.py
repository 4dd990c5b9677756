"""`koyomi share`: calendars and address books, shared with people and groups."""

from __future__ import annotations

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, open_storage
from server.commands.table import table
from server.domain.grants import Share, ShareRights
from server.services.sharing import Sharing
from server.settings.model import Settings
from storage_plugins.postgres.access import PostgresAccess


@click.command
@click.argument("calendar", metavar="OWNER/CALENDAR")
@click.option("--with", "whom", metavar="NAME", help="The person or group.")
@click.option("--rights", type=click.Choice(["read", "write", "free-busy"]), help="What they may do (default: read).")
@click.option("--may-invite", is_flag=True, help="With --rights write: they may invite and answer in the owner's name.")
@click.option("--remove", is_flag=True, help="End the sharing with them.")
@with_settings()
async def share(
    settings: Settings, calendar: str, whom: str | None, rights: ShareRights | None, may_invite: bool, remove: bool
) -> None:
    """Share a calendar or an address book; without --with, list with whom it is shared.

    It appears in the home of everybody concerned, under a name of its own. With the rights free-busy nothing appears,
    but they can ask when its owner is busy. Meetings are changed only by those with --may-invite, who send messages in
    the owner's name (docs/delegation.md).
    """
    if may_invite and rights != "write":
        raise click.UsageError("Only those with --rights write may invite.")
    if (whom is None and (rights or remove)) or (rights and remove):
        raise click.UsageError("Say with whom, and either --rights or --remove.")
    async with open_storage(settings) as session:
        sharing = Sharing(session.storage, session.directory, PostgresAccess(session.storage))
        if whom is None:
            shares = await sharing.shares(ACTOR, calendar)
            click.echo(table(("NAME", "KIND", "RIGHTS"), [(s.whom.name, s.whom.kind, _rights(s)) for s in shares]))
        elif remove:
            await sharing.unshare(ACTOR, calendar, whom)
            click.echo(f"{calendar} is no longer shared with {whom}.")
        else:
            await sharing.share(ACTOR, calendar, whom, rights or "read", may_invite=may_invite)
            click.echo(f"Shared {calendar} with {whom}: {rights or 'read'}{', may invite' if may_invite else ''}.")


def _rights(share: Share) -> str:
    return f"{share.rights}, may invite" if share.may_invite else share.rights
