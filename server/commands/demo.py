"""`koyomi demo`: a small organisation to try Koyomi with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

import click

from server.commands import demo_content
from server.commands.demo_content import PEOPLE, ROOMS, Member
from server.commands.options import with_serving_settings
from server.commands.passwords import generate_password
from server.commands.session import ACTOR, Session, open_storage
from server.commands.table import table
from server.domain.errors import DatabaseError
from server.domain.objects import HomeKind, Target
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.objects import Objects
from server.services.principals.changes import find, set_password
from server.services.principals.loading import load_principals
from server.services.reading import Reading
from server.settings.model import Settings


@click.command
@with_serving_settings
async def demo(settings: Settings) -> None:
    """Fill a demo organisation: people with random passwords, rooms, calendars, tasks and contacts.

    Prints the URL, how to sign in and how to connect apps; the options that the server will be started with tell it
    where that will be. A second run changes nothing.
    """
    async with open_storage(settings) as session:
        if await _is_there(session):
            click.echo("The demo organisation is there already. A new password: koyomi user passwd NAME --generate")
            return
        loaded = await load_principals(ACTOR, session.directory, session.hasher, demo_content.principals())
        if loaded.refused or loaded.left_out:
            problem = [*loaded.refused, *loaded.left_out][0]
            raise DatabaseError(f"The demo organisation does not fit in here: {problem.who}: {problem.reason}")
        written = await _write(session, settings, demo_content.members(datetime.now(UTC).date()))
        # Passwords come last: who has one has everything.
        passwords = {}
        for person in PEOPLE:
            passwords[person.name] = generate_password()
            await set_password(ACTOR, session.directory, session.hasher, person.name, passwords[person.name])
    _tell(settings, written, passwords)


async def _is_there(session: Session) -> bool:
    found = [await session.directory.principal(person.name) for person in PEOPLE]
    return all(each is not None and each.has_password for each in found)


async def _write(session: Session, settings: Settings, members: Iterable[Member]) -> Counter[str]:
    """Put what is not there yet; counts by collection."""
    lookup, objects = Lookup(session.storage), Objects(session.storage, settings.limits.values)
    reading = Reading(session.storage, page_size=1000)
    written: Counter[str] = Counter()

    def place(member: Member) -> tuple[str, str]:
        return member.owner, member.collection

    for (owner, name), group in groupby(sorted(members, key=place), place):
        principal = await find(ACTOR, session.directory, owner)
        home: HomeKind = "addressbook" if name == "addressbook" else "calendar"
        target = Target(principal.uid, "uid", home, name)
        found = await lookup.find(replace(ACTOR, acting_for=principal.id), target, Privilege.BIND)
        if found.collection is None:
            raise DatabaseError(f"{owner} has no collection named {name}.")
        names = {row[0] async for page in reading.pages(found, ("name",)) for row in page}
        for member in group:
            if member.name not in names:
                await objects.put(ACTOR, found.new_member(member.name), member.text.encode())
            written[name] += 1
    return written


def _tell(settings: Settings, written: Counter[str], passwords: dict[str, str]) -> None:
    url = settings.network.external_url or f"http://{settings.network.host}:{settings.network.port}"
    name = PEOPLE[0].name
    click.echo(
        f"The demo organisation is ready: {len(PEOPLE)} people, {len(ROOMS)} rooms and equipment, "
        f"{written['calendar']} events, {written['tasks']} tasks, {written['addressbook']} contacts.\n\n  {url}/\n"
    )
    rows = [(person.name, passwords[person.name], person.display_name) for person in PEOPLE]
    click.echo(_indented(table(("USER NAME", "PASSWORD", "WHO"), rows)))
    click.echo("\nConnect an app:\n")
    click.echo(_indented(table(("APP", "HOW"), _clients(url, name))))
    click.echo("\nThe passwords are not shown again; koyomi user passwd NAME sets another.")


def _clients(url: str, name: str) -> Sequence[tuple[str, str]]:
    return (
        ("Apple Calendar, Contacts", f"add account > other > CalDAV (CardDAV) > advanced: {url}/, user name, password"),
        ("Thunderbird", f"new calendar > on the network: {name}, {url}/ ; new CardDAV address book: the same"),
        ("GNOME, Evolution", f"new calendar (address book) > CalDAV (CardDAV): {url}/, then find calendars"),
        ("DAVx⁵ (Android)", "login with URL and user name: the URL under which the phone reaches this machine"),
        ("Outlook", f"with CalDAV Synchronizer: DAV URL {url}/, then test or discover settings"),
        ("curl", f"curl -u {name} -X PROPFIND -H 'Depth: 1' {url}/calendars/users/{name}/"),
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
