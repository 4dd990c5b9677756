"""`koyomi mail`: the mails to people elsewhere."""

from __future__ import annotations

from datetime import datetime

import click

from server.commands.options import with_settings
from server.commands.session import open_storage
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


def _lines(state: MailState, settings: Settings) -> list[str]:
    url = settings.network.external_url
    way = settings.mail.smtp_host or str(settings.mail.folder or settings.storage.data / "mail")
    lines = [f"Mails go to {way}.", f"Waiting: {state.waiting}{_since(state.oldest)}"]
    lines.append(f"In the last day: {state.sent} sent, {state.failed} failed")
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
    click.echo(f"{state.waiting} mails are to be sent." if released else "Mails were not held.")


@mail.command
@with_settings()
async def discard(settings: Settings) -> None:
    """Drop all mails that wait. If they are held, later ones are, too, until they are released."""
    async with open_storage(settings) as session:
        dropped = await session.storage.discard_mails()
    click.echo(f"{dropped} mails were dropped.")
