"""`koyomi principals`: people, groups, rooms and equipment, many at once."""

from __future__ import annotations

import json
import sys
from typing import IO, get_args

import click

from server.booking.policy import Mode
from server.commands.options import with_settings
from server.commands.session import ACTOR, open_storage
from server.domain.errors import InvalidPrincipal
from server.services.principals.changes import set_auto_schedule
from server.services.principals.loading import Loaded, load_principals
from server.settings.model import Settings


@click.group
def principals() -> None:
    """People, groups, rooms and equipment, many at once."""


@principals.command
@click.argument("file", type=click.File("rb"))
@click.option("--take-over", is_flag=True, help="Give addresses that meetings of other people name, too.")
@with_settings()
async def load(settings: Settings, file: IO[bytes], take_over: bool) -> None:
    """Load principals from a JSON file (- is the standard input): {"principals": [...]}.

    What the file says holds afterwards, what it leaves out stays; a second run changes nothing. Passwords are first
    ones: they are set only where a person has none. Exits with 1 when something was refused.
    """
    try:
        document = json.loads(file.read())
    except (ValueError, RecursionError) as error:
        reason = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "not UTF-8 text"
        raise InvalidPrincipal(f"{file.name} is not a JSON document ({reason}).") from None
    async with open_storage(settings) as session:
        if sys.stderr.isatty():
            with click.progressbar(length=1, label="Loading", file=sys.stderr) as bar:

                def show(done: int, total: int) -> None:
                    bar.length = total
                    bar.update(done - bar.pos)

                loaded = await load_principals(
                    ACTOR,
                    session.directory,
                    session.hasher,
                    document,
                    take_over=take_over,
                    progress=show,
                    rooms=settings.rooms,
                )
        else:
            loaded = await load_principals(
                ACTOR, session.directory, session.hasher, document, take_over=take_over, rooms=settings.rooms
            )
    report(loaded)


@principals.command("auto-schedule")
@click.argument("name")
@click.argument("mode", type=click.Choice(get_args(Mode)))
@click.option("--auto-accept-group", metavar="GROUP", help="Whose members get an answer in any mode.  [none]")
@with_settings()
async def auto_schedule(settings: Settings, name: str, mode: Mode, auto_accept_group: str | None) -> None:
    """Set how invitations are answered for a person, a room or a piece of equipment.

    The server accepts if they are free, and declines if they are busy, as the mode says; with automatic both.
    """
    async with open_storage(settings) as session:
        found = await set_auto_schedule(ACTOR, session.directory, name, mode, auto_accept_group)
    click.echo(f"Invitations of {found.name} are answered by the mode {mode}.")


def report(loaded: Loaded) -> None:
    """Tell what was done, and exit with 1 when something was refused."""
    for refusal in loaded.refused:
        click.echo(f"Refused: {refusal.who}: {refusal.reason}", err=True)
    for refusal in loaded.left_out:
        click.echo(f"Left out: {refusal.who}: {refusal.reason}", err=True)
    click.echo(
        f"{loaded.created} created, {loaded.changed} changed, {loaded.unchanged} unchanged, "
        f"{len(loaded.refused)} refused" + (f", {len(loaded.left_out)} references left out" if loaded.left_out else "")
    )
    if loaded.refused or loaded.left_out:
        sys.exit(1)
