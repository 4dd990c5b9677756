"""`koyomi user`: people, their passwords and app passwords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

import click

from server.commands.meetings import cancel_all, hand_over_all, organized
from server.commands.options import with_settings
from server.commands.passwords import generate_password, read_password
from server.commands.session import ACTOR, Session, open_storage
from server.commands.table import table
from server.commands.times import shown
from server.domain.changes import PropertyChanges
from server.domain.objects import Target
from server.domain.principals import CalendarPlace, name_key
from server.domain.privileges import Privilege
from server.domain.scopes import Door
from server.services.collections import Collections
from server.services.lookup import Lookup
from server.services.mail.invitations_to import (
    INVITATIONS_TO,
    InvitationsTo,
    invitations_to,
    invitations_to_element,
)
from server.services.objects import Objects, write_limits
from server.services.principals import changes as principals
from server.services.scheduling.erasure import Erasure
from server.settings.model import Settings
from server.storage.directory import Directory, Handover, PrincipalRecord

_PAGE = 1000
_TOLD: Mapping[InvitationsTo, str] = {
    "owner": "the owner is told by their apps, and nobody by mail",
    "delegates": "the delegates are told by mail",
    "both": "the owner and the delegates are told by mail",
}


@click.group
def user() -> None:
    """People: add, list, rename, delete; their passwords and app passwords."""


@user.command
@click.argument("name")
@click.option("--display-name", metavar="TEXT", help="How apps show the person.  [the name]")
@click.option("--email", "emails", metavar="ADDRESS", multiple=True, help="An e-mail address; may be repeated.")
@click.option("--take-over", is_flag=True, help="Also an address that meetings of somebody else name.")
@click.option("--admin", is_flag=True, help="Reads and changes everything but what is private.")
@click.option("--quota", type=click.IntRange(min=0), metavar="BYTES", help="Size of each home.  [the setting]")
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
@click.option("--generate", is_flag=True, help="Make a random password and print it.")
@click.option("--no-password", is_flag=True, help="For people who sign in elsewhere (htpasswd file, proxy).")
@with_settings()
async def add(
    settings: Settings,
    name: str,
    display_name: str | None,
    emails: Sequence[str],
    take_over: bool,
    admin: bool,
    quota: int | None,
    password_stdin: bool,
    generate: bool,
    no_password: bool,
) -> None:
    """Add a person, with calendars, tasks and an address book. Asks for the password."""
    if password_stdin + generate + no_password > 1:
        raise click.UsageError("--password-stdin, --generate and --no-password exclude one another.")
    password = None
    if not no_password:
        password = generate_password() if generate else read_password(password_stdin)
    async with open_storage(settings) as session:
        await principals.add_person(
            ACTOR,
            session.directory,
            session.hasher,
            name,
            password,
            display_name=display_name,
            addresses=tuple(emails),
            roles=frozenset({"admin"} if admin else ()),
            quota_bytes=quota,
            take_over=take_over,
        )
    click.echo(f"Added {name}." + (f" Password: {password}" if generate else ""))


@user.command
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
@click.option("--generate", is_flag=True, help="Make a random password and print it.")
@with_settings()
async def passwd(settings: Settings, name: str, password_stdin: bool, generate: bool) -> None:
    """Set a person's password. The earlier one is wrong at once; app passwords stay."""
    if password_stdin and generate:
        raise click.UsageError("--password-stdin and --generate exclude one another.")
    password = generate_password() if generate else read_password(password_stdin)
    async with open_storage(settings) as session:
        person = await principals.set_password(ACTOR, session.directory, session.hasher, name, password)
    click.echo(f"Set the password of {person.name}." + (f" Password: {password}" if generate else ""))


@user.command("list")
@with_settings()
async def list_people(settings: Settings) -> None:
    """List people: name, display name, e-mail addresses, id, and what is special."""
    rows = []
    async with open_storage(settings) as session:
        after: str | None = None
        while page := await session.directory.principals(["individual"], after=after, limit=_PAGE):
            for person in page:
                notes = [*sorted(person.roles)]
                if person.disabled_at is not None:
                    notes.append("disabled")
                if not person.has_password:
                    notes.append("no password")
                if person.calendar != "here":
                    notes.append("calendar elsewhere")
                notes += [f"formerly {address}" for address in person.former_addresses]
                emails = ", ".join(person.addresses)
                rows.append((person.name, person.display_name, emails, person.uid, ", ".join(notes)))
            after = name_key(page[-1].name)
    click.echo(table(("NAME", "DISPLAY NAME", "E-MAIL", "ID", "NOTES"), rows))


@user.command
@click.argument("name")
@with_settings()
async def disable(settings: Settings, name: str) -> None:
    """Take away a person's right to sign in, at once. All that they have stays."""
    await _set_disabled(settings, name, True)


@user.command
@click.argument("name")
@with_settings()
async def enable(settings: Settings, name: str) -> None:
    """Let a disabled person sign in again."""
    await _set_disabled(settings, name, False)


async def _set_disabled(settings: Settings, name: str, disabled: bool) -> None:
    async with open_storage(settings) as session:
        changed = await principals.set_disabled(ACTOR, session.directory, name, disabled)
    state = "disabled" if disabled else "enabled"
    click.echo(f"{name} is {state}." if changed else f"{name} was {state} already.")


@user.command
@click.argument("name")
@click.argument("place", type=click.Choice(get_args(CalendarPlace)))
@with_settings()
async def calendar(settings: Settings, name: str, place: CalendarPlace) -> None:
    """Say whether a person keeps their calendar here or elsewhere: invitations go there by mail."""
    async with open_storage(settings) as session:
        person = await principals.set_calendar(ACTOR, session.directory, name, place)
    click.echo(f"The calendar of {person.name} is {place}.")


@user.command
@click.argument("name")
@click.argument("wish", metavar="[owner|delegates|both]", required=False, type=click.Choice(get_args(InvitationsTo)))
@with_settings()
async def invitations(settings: Settings, name: str, wish: InvitationsTo | None) -> None:
    """Say who learns of invitations to NAME: the owner from their apps, the delegates by mail, or both by mail.

    Without a word, show what holds.
    """
    async with open_storage(settings) as session:
        person = await principals.find(ACTOR, session.directory, name, "individual")
        found = await Lookup(session.storage).find(ACTOR, Target(person.uid, "uid", "calendar"), Privilege.READ)
        if found.home is None:
            raise click.ClickException(f"{person.name} has no calendars.")
        present = invitations_to(found.home.properties)
        if wish is not None and wish != present:
            changes = PropertyChanges({INVITATIONS_TO: invitations_to_element(wish)})
            collections = Collections(session.storage, settings.limits.values, settings.scheduling)
            await collections.set_home_properties(ACTOR, found, changes)
            present = wish
    click.echo(f"Of invitations to {person.name}: {_TOLD[present]}.")


@user.command
@click.argument("name")
@click.argument("new_name")
@click.option("--display-name", metavar="TEXT", help="A new display name too.")
@with_settings()
async def rename(settings: Settings, name: str, new_name: str, display_name: str | None) -> None:
    """Give a person another name to sign in by. Apps that are set up keep working: URLs go by the id."""
    async with open_storage(settings) as session:
        person = await principals.find(ACTOR, session.directory, name, "individual")
        await principals.rename(ACTOR, session.directory, person.uid, new_name, display_name=display_name)
    click.echo(f"{person.name} is {new_name} now.")


@user.command
@click.argument("name")
@click.option("--transfer-to", "heir", metavar="OTHER", help="Give it to another person, with all who share it.")
@click.option("--purge", is_flag=True, help="Delete all that the person has too; it cannot be brought back.")
@click.option("--keep", is_flag=True, help="Keep it, out of reach, until it goes by the person's id.")
@click.option("--cancel-meetings", is_flag=True, help="Cancel the meetings that the person organizes before.")
@click.option("--hand-over-to", "organizer", metavar="NAME", help="Let NAME organize these meetings before.")
@click.option("--erase", is_flag=True, help="Take their name and addresses out of others' meetings (with --purge).")
@click.option("--leave", is_flag=True, help="Leave these meetings in the attendees' calendars as they are.  [default]")
@with_settings()
async def delete(
    settings: Settings,
    name: str,
    heir: str | None,
    purge: bool,
    keep: bool,
    cancel_meetings: bool,
    organizer: str | None,
    erase: bool,
    leave: bool,
) -> None:
    """Delete a person; what becomes of all that they have must be said: --transfer-to, --keep or --purge.

    What goes to OTHER appears there calendar by calendar, under names that tell whose it was. It can be broken off and
    repeated.
    """
    if erase and not purge:
        raise click.UsageError("--erase goes with --purge.")
    if cancel_meetings + (organizer is not None) + leave > 1:
        raise click.UsageError("--cancel-meetings, --hand-over-to and --leave exclude one another.")
    if (heir is not None) + purge + keep != 1:
        raise click.UsageError(
            "Say what becomes of the person's calendars and address books: --transfer-to OTHER, --keep or --purge."
        )
    async with open_storage(settings) as session:
        person = await principals.find(ACTOR, session.directory, name, "individual", deleted=True)
        if cancel_meetings:
            await cancel_all(settings, session, person.uid)
        elif organizer is not None:
            await hand_over_all(settings, session, person.uid, organizer)
        elif not leave:
            await _tell_of_meetings(settings, session, person)
        if erase and person.deleted:
            raise click.UsageError("The addresses of somebody who is deleted are gone: --erase goes with the deletion.")
        if erase:
            await _erase(settings, session, person)
        if heir is None:
            await principals.delete(ACTOR, session.directory, person.uid, purge=purge)
        else:
            await _hand_over(session.directory, person.uid, heir)
    if heir is not None:
        click.echo(f"Deleted {person.name}; {heir} has all that they had.")
    elif purge:
        click.echo(f"Deleted {person.name} and all that they had.")
    else:
        click.echo(f"Deleted {person.name}. To delete what is kept: koyomi user delete --purge {person.uid}")


async def _erase(settings: Settings, session: Session, person: PrincipalRecord) -> None:
    """Erase a person from the meetings of others, and say how many these are."""
    limits = settings.limits.values
    objects, past = Objects(session.storage, limits), settings.scheduling.erase_past
    done = await Erasure(session.storage, objects, write_limits(limits), ACTOR, past=past).erase(person)
    click.echo(f"Erased from {done.objects} objects of {done.people} others.")
    if done.refused:
        click.echo(f"Objects that cannot be read, and name {person.name} as before: {done.refused}", err=True)


async def _tell_of_meetings(settings: Settings, session: Session, person: PrincipalRecord) -> None:
    """Say how many meetings are left without an organizer."""
    if not person.deleted:
        count = [1 async for _ in (await organized(settings, session, person.uid)).meetings()]
        if count:
            click.echo(f"Meetings that {person.name} organized and that stay as they are: {len(count)}", err=True)


async def _hand_over(directory: Directory, uid: str, heir: str) -> None:
    click.echo(
        "If this is broken off, a server goes on with it (koyomi jobs list), or you: "
        f"koyomi user delete {uid} --transfer-to {heir}",
        err=True,
    )
    of_how_many = copied = 0

    def tell(handover: Handover) -> None:
        nonlocal of_how_many, copied
        of_how_many, copied = handover.members, 0
        what = "calendar" if handover.home == "calendar" else "address book"
        click.echo(f"Handing over the {what} {handover.name or '(deleted)'}: {handover.members} entries", err=True)

    def progress(members: int) -> None:
        nonlocal copied
        copied += members
        if members and of_how_many > copied:
            click.echo(f"  {copied} of {of_how_many}", err=True)

    await principals.hand_over(ACTOR, directory, uid, heir, tell=tell, progress=progress)


@user.group("app-password")
def app_password() -> None:
    """Passwords for single apps or devices: named, with an end if wanted, to be revoked one by one."""


@app_password.command("add")
@click.argument("name")
@click.argument("label")
@click.option("--days", type=click.IntRange(1, 36500), metavar="N", help="Valid for this many days.  [no end]")
@click.option(
    "--for",
    "doors",
    type=click.Choice(get_args(Door)),
    multiple=True,
    default=("apps",),
    help="What it opens: apps (CalDAV and CardDAV), api (the JSON API); may be repeated.  [apps]",
)
@with_settings()
async def add_app_password(settings: Settings, name: str, label: str, days: int | None, doors: Sequence[Door]) -> None:
    """Make an app password for the person NAME, called LABEL, and print it: it is shown this once."""
    valid_for = None if days is None else timedelta(days=days)
    async with open_storage(settings) as session:
        made = await principals.add_app_password(
            ACTOR, session.directory, session.hasher, name, label, valid_for=valid_for, doors=frozenset(doors)
        )
    click.echo(made.secret)
    end = "" if made.expires_at is None else f", valid until {shown(made.expires_at)}"
    click.echo(f"This is the app password {made.name} of {name}{end}. It is not shown again.", err=True)


@app_password.command("list")
@click.argument("name")
@with_settings()
async def list_app_passwords(settings: Settings, name: str) -> None:
    """List a person's app passwords: when made, last used, and their end."""
    async with open_storage(settings) as session:
        found = await principals.list_app_passwords(ACTOR, session.directory, name)
    now = datetime.now(UTC)
    rows = [
        (
            each.name,
            " ".join(sorted(each.doors)),
            shown(each.created_at),
            shown(each.last_used_at) or "never",
            (shown(each.expires_at) or "never")
            + (" (over)" if each.expires_at is not None and each.expires_at <= now else ""),
        )
        for each in found
    ]
    click.echo(table(("LABEL", "OPENS", "MADE", "LAST USED", "ENDS"), rows))


@app_password.command("revoke")
@click.argument("name")
@click.argument("label")
@with_settings()
async def revoke_app_password(settings: Settings, name: str, label: str) -> None:
    """End a person's app password at once."""
    async with open_storage(settings) as session:
        await principals.revoke_app_password(ACTOR, session.directory, name, label)
    click.echo(f"Revoked the app password {label} of {name}.")
