"""`koyomi access`: what somebody may do, and why."""

from __future__ import annotations

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, open_storage
from server.dav.core.paths import Path
from server.domain.actors import Actor
from server.domain.errors import NotFound
from server.services.explaining import explain
from server.services.lookup import Lookup
from server.services.principals import changes as principals
from server.settings.model import Settings


@click.group
def access() -> None:
    """What somebody may do with calendars and address books, and why (docs/access.md)."""


@access.command("explain")
@click.argument("name")
@click.argument("path")
@with_settings()
async def explain_access(settings: Settings, name: str, path: str) -> None:
    """Say in words what NAME may do with PATH and why, private events included.

    PATH is that of a URL, as in /calendars/users/anna/work/1.ics. Nothing of the content is shown.
    """
    async with open_storage(settings) as session:
        record = await principals.find(ACTOR, session.directory, name)
        known = await session.storage.resolve(record.id, None)
        if known.viewer is None:
            raise NotFound(f"There is no {name}.")
        lookup = Lookup(session.storage, asked_by_all=settings.scheduling.free_busy_for_everyone)
        actor = Actor(known.viewer, ACTOR.origin)
        for line in await explain(lookup, actor, Path.parse(path).target()):
            click.echo(line)
