"""`koyomi room`: rooms, equipment and parking, and their booking policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import IO, cast, get_args

import click

from server.booking.policy import RULES
from server.booking.policy_values import to_json
from server.commands.options import with_settings
from server.commands.principals import report
from server.commands.progress import progress_bar
from server.commands.session import ACTOR, Session, open_storage
from server.commands.table import table
from server.commands.times import Zone, moment
from server.domain.errors import InvalidPrincipal
from server.domain.principals import name_key
from server.domain.rooms import Room, RoomSearch, RoomType
from server.services.rooms import policies
from server.services.rooms.attributes import feature_of, shown_attributes
from server.services.rooms.checking_in import CheckingIn, State
from server.services.rooms.rooms import Rooms, add_room, delete_room, find_room, import_rooms, rename_room, set_room
from server.settings.model import Settings

_PAGE = 1000
_NOT_CHECKED_IN: Mapping[State, str] = {
    "nothing": "{room} has no booking to check in now.",
    "too_early": "It is too early to check in {room}.",
    "no_show": "Nobody has checked in, and {room} was released.",
}


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.BadParameter(f"{text} is not KEY=VALUE.")
    return key.strip(), value


def _by_key(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise click.UsageError("A key is given twice.")
    return found


@click.group
def room() -> None:
    """Rooms, equipment and parking, and their booking policies."""


@room.command
@click.argument("name")
@click.argument("attributes", nargs=-1, type=_pair, metavar="KEY=VALUE...")
@with_settings()
async def add(settings: Settings, name: str, attributes: Sequence[tuple[str, str]]) -> None:
    """Add a room or a piece of equipment with its attributes, as building=Main capacity=12 features=video,whiteboard.

    The keys are display_name, email, groups, and the attributes that docs/rooms.md lists.
    """
    given = _by_key(attributes)
    async with open_storage(settings) as session:
        made = await add_room(ACTOR, _rooms(session, settings), name, given)
    click.echo(f"Added {made.name}" + (f" with the address {made.addresses[0]}." if made.addresses else "."))


@room.command("set")
@click.argument("name")
@click.argument("attributes", nargs=-1, required=True, type=_pair, metavar="KEY=VALUE...")
@with_settings()
async def set_attributes(settings: Settings, name: str, attributes: Sequence[tuple[str, str]]) -> None:
    """Set attributes of a room. KEY= without a value removes what is there."""
    given = _by_key(attributes)
    async with open_storage(settings) as session:
        changed = await set_room(ACTOR, _rooms(session, settings), name, given)
    click.echo(f"Changed {name}." if changed else f"Nothing to change: {name} is so already.")


@room.command("list")
@click.option("--type", "types", multiple=True, type=click.Choice(get_args(RoomType)), help="Only these types.")
@click.option("--site", help="Only of this site.")
@click.option("--building", help="Only of this building.")
@click.option("--floor", help="Only of this floor.")
@click.option("--capacity", type=click.IntRange(min=0), metavar="N", help="Only for at least so many people.")
@click.option("--feature", "features", multiple=True, help="Only with this feature; may be repeated.")
@with_settings()
async def list_rooms(
    settings: Settings,
    types: Sequence[str],
    site: str | None,
    building: str | None,
    floor: str | None,
    capacity: int | None,
    features: Sequence[str],
) -> None:
    """List rooms and equipment: name, type, where they are, capacity, features, address and groups."""
    kinds = cast("Sequence[RoomType]", types)
    search = RoomSearch(frozenset(kinds), site, building, floor, capacity, frozenset(map(feature_of, features)))
    rows = []
    async with open_storage(settings) as session:
        after: str | None = None
        while page := await session.storage.rooms_found(search, after=after, limit=_PAGE):
            groups = await session.directory.groups_of([each.principal.id for each in page])
            for each in page:
                principal, attributes = each.principal, each.room
                belongs = ", ".join(group.name for group in groups[principal.id])
                place = attributes.site, attributes.building, attributes.floor, attributes.number
                shown = shown_attributes(attributes)
                more = shown.get("capacity", ""), shown.get("features", ""), ", ".join(principal.emails), belongs
                rows.append((principal.name, attributes.type, *place, *more))
            after = name_key(page[-1].principal.name)
    head = ("NAME", "TYPE", "SITE", "BUILDING", "FLOOR", "NUMBER", "CAPACITY", "FEATURES", "E-MAIL", "GROUPS")
    click.echo(table(head, rows))


@room.command("import")
@click.argument("file", type=click.File("rb"))
@with_settings()
async def import_file(settings: Settings, file: IO[bytes]) -> None:
    """Load rooms from a CSV file (- is the standard input) with the names of columns in its first line.

    What the file says holds afterwards, and what it leaves out stays; a second run changes nothing. Groups that it
    names are made. Exits with 1 when something was refused.
    """
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidPrincipal(f"{Path(file.name).name} is not UTF-8 text.") from None
    async with open_storage(settings) as session:
        with progress_bar(max(text.count("\n"), 1)) as done:
            loaded, groups = await import_rooms(
                ACTOR, _rooms(session, settings), text.splitlines(keepends=True), progress=lambda n, total: done(n)
            )
    if groups:
        click.echo(f"Groups made: {groups}")
    report(loaded)


@room.command
@click.argument("name")
@click.argument("new_name")
@click.option("--display-name", metavar="TEXT", help="How apps show it.  [as before]")
@with_settings()
async def rename(settings: Settings, name: str, new_name: str, display_name: str | None) -> None:
    """Give a room another name. Its URLs, mail addresses and bookings stay."""
    async with open_storage(settings) as session:
        found = await rename_room(ACTOR, _rooms(session, settings), name, new_name, display_name=display_name)
    click.echo(f"{found.name} is {new_name} now.")


@room.command
@click.argument("name")
@click.option("--purge", is_flag=True, help="Delete its calendar too; it cannot be brought back.")
@with_settings()
async def delete(settings: Settings, name: str, purge: bool) -> None:
    """Delete a room. Its calendar is kept, out of reach, until it goes by the room's id with --purge."""
    async with open_storage(settings) as session:
        found = await delete_room(ACTOR, _rooms(session, settings), name, purge=purge)
    if purge:
        click.echo(f"Deleted {found.name} and its calendar.")
    else:
        click.echo(f"Deleted {found.name}. To delete its calendar: koyomi room delete --purge {found.uid}")


@room.command
@click.argument("name")
@click.argument("what", type=click.Choice(["show", "set", "remove"]), default="show")
@click.argument("parameters", nargs=-1, type=_pair, metavar="KEY=VALUE...")
@with_settings()
async def policy(settings: Settings, name: str, what: str, parameters: Sequence[tuple[str, str]]) -> None:
    """Show a room's booking policy, set parameters of it as KEY=VALUE, or remove it.

    KEY= without a value sets the default. A room without a policy answers by its auto-schedule mode.
    """
    given = _by_key(parameters)
    if given and what != "set":
        raise click.UsageError("KEY=VALUE follows set.")
    async with open_storage(settings) as session:
        if what == "set":
            has_links = bool(settings.network.external_url)
            found = await policies.set_policy(ACTOR, session.directory, name, given, has_links=has_links)
        elif what == "remove":
            found = await policies.remove_policy(ACTOR, session.directory, name)
        else:
            found = (await find_room(ACTOR, session.directory, name))[1]
    if not found.policy:
        click.echo(f"{name} has no policy.")
        return
    click.echo(table(("PARAMETER", "VALUE", "DEFAULT", "WHAT IT TAKES"), _parameters(found)))


@room.command("check-in")
@click.argument("name")
@click.option("--at", metavar="TIME", help="Only the booking that begins then, as 2027-01-31T09:00.")
@click.option("--zone", type=Zone(), default="UTC", show_default=True, help="The time zone of all times.")
@with_settings()
async def check_in(settings: Settings, name: str, at: str | None, zone: tzinfo) -> None:
    """Check in the booking of a room that lasts or is next, as a panel at the room does.

    The room's policy needs check_in. Exits with 1 when there is nothing to check in.
    """
    start = None if at is None else moment(at, zone)
    async with open_storage(settings) as session:
        checking_in = CheckingIn(session.storage, settings.rooms)
        found = await checking_in.check_in_room(ACTOR, session.directory, name, start)
    if found.state != "checked_in" or found.times is None:
        raise click.ClickException(_NOT_CHECKED_IN[found.state].format(room=found.room))
    begins, ends = (each.astimezone(zone) for each in found.times)
    click.echo(f"{found.room}: the booking from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} is checked in.")


def _parameters(found: Room) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, rule in RULES.items():
        default = _text(to_json(rule.default))
        rows.append((name, _text(found.policy[name]) if name in found.policy else default, default, rule.kind.words))
    return rows


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _rooms(session: Session, settings: Settings) -> Rooms:
    return Rooms(session.directory, session.hasher, settings.rooms)
