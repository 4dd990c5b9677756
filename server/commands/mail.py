"""`koyomi mail`: the mails to people elsewhere."""

from __future__ import annotations

from datetime import datetime

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, open_storage
from server.domain.changes import PropertyChanges
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.services.collections import Collections
from server.services.lookup import Lookup
from server.services.mail.outgoing import CLIENT_SENDS, CLIENT_SENDS_ELEMENT
from server.settings.model import Settings
from server.storage.mails import MailState


@click.group
def mail() -> None:
    """Mails to people elsewhere: what waits, and why none is sent.

    After a restore, a move to another PostgreSQL, and a start under another public URL mails are held.
    """


@mail.command
@with_settings()
async def status(settings: Settings) -> None:
    """Say how many mails wait, and whether they are held. Times are in UTC."""
    async with open_storage(settings) as session:
        state = await session.storage.mail_state()
    for line in _lines(state, settings):
        click.echo(line)


@mail.command
@click.argument("place", metavar="NAME[/CALENDAR]")
@click.option("--on/--off", default=None, help="Whether the app sends mails. Without it, say so.")
@with_settings()
async def client(settings: Settings, place: str, on: bool | None) -> None:
    """Let somebody's app send its own mails: this server sends none for their calendar, or for all of them."""
    name, _, calendar = place.partition("/")
    async with open_storage(settings) as session:
        record = await session.directory.principal(name)
        if record is None:
            raise click.ClickException(f"There is nobody named {name}.")
        target = Target(record.uid, "uid", "calendar", calendar or None)
        found = await Lookup(session.storage).find(ACTOR, target, Privilege.READ)
        holder = found.collection if calendar else found.home
        if holder is None:
            raise click.ClickException(f"{name} has no calendar {calendar}.")
        sends = CLIENT_SENDS in holder.properties
        if on is not None and on is not sends:
            changes = PropertyChanges({CLIENT_SENDS: CLIENT_SENDS_ELEMENT if on else None})
            collections = Collections(session.storage, settings.limits.values, settings.scheduling)
            change = collections.set_properties if calendar else collections.set_home_properties
            await change(ACTOR, found, changes)
            sends = on
    click.echo(f"{place}: {'the app sends its own mails' if sends else 'this server sends mails'}.")


def _lines(state: MailState, settings: Settings) -> list[str]:
    url = settings.network.external_url
    way = settings.mail.smtp_host or str(settings.mail.folder or settings.storage.data / "mail")
    lines = [f"Mails go to {way}.", f"Waiting: {state.waiting}{_since(state.oldest)}"]
    lines.append(f"In the last day: {state.sent} sent, {state.failed} failed")
    if state.notices_waiting or state.notices_sent or state.notices_failed:
        ended = f"in the last day {state.notices_sent} sent, {state.notices_failed} failed"
        lines.append(f"Notices to delegates: {state.notices_waiting} waiting; {ended}")
    if state.held:
        lines.append(
            "Held: no mail is sent. koyomi mail release sends those that wait, koyomi mail discard drops them."
        )
    if state.restored_at is not None:
        lines.append(f"A backup was restored at {_at(state.restored_at)}.")
    if state.url is not None and state.url != url:
        lines.append(f"They were last sent under {state.url or 'no URL'}; the settings have {url or 'none'}.")
    return lines


def _since(time: datetime | None) -> str:
    return "" if time is None else f", the oldest since {_at(time)}"


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


@mail.command
@with_settings()
async def release(settings: Settings) -> None:
    """Send the mails that were held, and those that follow, under the public URL of the settings."""
    async with open_storage(settings) as session:
        state = await session.storage.mail_state()
        released = await session.storage.release_mails(settings.network.external_url)
    waiting = state.waiting + state.notices_waiting
    click.echo(f"{waiting} mails are to be sent." if released else "Mails were not held.")


@mail.command
@with_settings()
async def discard(settings: Settings) -> None:
    """Drop all mails that wait. If they are held, later ones are, too, until they are released."""
    async with open_storage(settings) as session:
        dropped = await session.storage.discard_mails()
    click.echo(f"{dropped} mails were dropped.")
