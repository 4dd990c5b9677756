"""`koyomi imip`: scheduling messages that arrive by mail."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, Session, open_storage, scheduling_in
from server.commands.table import table
from server.domain.changes import PropertyChanges
from server.domain.errors import KoyomiError, NotFound
from server.domain.objects import Target
from server.domain.privileges import Privilege
from server.imip.addresses import is_international, is_mail_address
from server.imip.mail import MAX_SIZE, read_mail
from server.observe import log as logs
from server.services.collections import Collections
from server.services.lookup import Lookup
from server.services.mail import held
from server.services.mail.incoming import Arrived, IncomingMails, receiving
from server.services.mail.senders import ACTS_FOR_OTHERS, senders_as, senders_in
from server.settings.model import Settings
from server.storage.incoming_mail import HeldItem
from storage_plugins.postgres.incoming_mail import PostgresIncomingMail

TEMPORARY = 75
"""The exit status (EX_TEMPFAIL of sysexits.h) that lets a mail server keep the mail and try again."""
_PIECE = 65_536
"""Bytes that are read at a time."""
_MOST = 100
"""Held messages that are listed."""
_HEADS = ("ID", "PERSON", "ARRIVED", "WHY", "FROM", "IN THE NAME OF", "MESSAGE", "TITLE")


@click.group
def imip() -> None:
    """Scheduling messages by mail: deliver, accept or drop what is held, and say who may act for others."""


@contextlib.asynccontextmanager
async def _receiving(settings: Settings) -> AsyncIterator[tuple[IncomingMails, PostgresIncomingMail, Session]]:
    async with open_storage(settings) as session:
        scheduling = await scheduling_in(session, settings)
        incoming = PostgresIncomingMail(session.storage.database)
        yield await receiving(scheduling, incoming, settings.mail), incoming, session


def _temporarily(command: Callable[..., Any]) -> Callable[..., Any]:
    """End with `TEMPORARY` whatever goes wrong: the mail is to be delivered again."""

    @functools.wraps(command)
    def run(**arguments: Any) -> Any:
        try:
            return command(**arguments)
        except Exception as error:
            message = error.message if isinstance(error, KoyomiError) else f"{type(error).__name__}: {error}"
            click.echo(f"Not received: {message}", err=True)
            sys.exit(TEMPORARY)

    return run


@imip.command
@click.argument("recipients", nargs=-1, metavar="[RECIPIENT]...")
@click.option("--sender", metavar="ADDRESS", help="The envelope sender; '' is the null sender.  [by Return-Path]")
@_temporarily
@with_settings()
async def deliver(settings: Settings, recipients: tuple[str, ...], sender: str | None) -> None:
    """Take a mail from the standard input, for the recipients of its envelope.

    The exit status is 0 for each mail that was read, whatever it holds, and 75 where it is to be delivered again.
    """
    logs.configure(settings.log.level, settings.log.format, sys.stderr)
    data = sys.stdin.buffer.read(MAX_SIZE + 1)
    while sys.stdin.buffer.read(_PIECE):
        pass  # a mail that is too large is passed over, but read to its end: its sender waits for that
    if sender is None:
        paths = read_mail(data[:262_144]).header.all("return-path")
        sender = paths[0] if paths else "unknown"
    async with _receiving(settings) as (mails, _, _):
        await mails.receive(Arrived(data, sender, recipients))


@imip.command
@click.option(
    "--accept", metavar="ID", type=int, multiple=True, help="Let a message take effect, as if it were trusted."
)
@click.option("--drop", metavar="ID", type=int, multiple=True, help="Remove a message.")
@with_settings()
async def pending(settings: Settings, accept: tuple[int, ...], drop: tuple[int, ...]) -> None:
    """List the messages that are held in inboxes, or accept or drop some of them. Times are in UTC."""
    async with _receiving(settings) as (mails, incoming, _):
        for item_id, accepts in [*((each, True) for each in accept), *((each, False) for each in drop)]:
            item = await incoming.held_item(item_id)
            if item is None:
                raise click.ClickException(f"No held message has the id {item_id}.")
            try:
                if accepts:
                    status = await mails.held.accept(ACTOR.cause, item)
                    click.echo(f"{item_id} is accepted: {status}")
                else:
                    await mails.held.drop(ACTOR.cause, item)
                    click.echo(f"{item_id} is dropped.")
            except NotFound:
                raise click.ClickException(f"{item_id} is gone meanwhile.") from None
        if accept or drop:
            return
        items = await incoming.held_items(limit=_MOST)
    click.echo(table(_HEADS, list(map(_row, items))))
    if len(items) == _MOST:
        click.echo(f"Only the first {_MOST} are listed.")


def _row(item: HeldItem) -> tuple[str, ...]:
    says = held.read(item.held)
    unfolded = item.text.replace("\r\n ", "")
    method, title = (re.search(rf"^{name}[;:](.*)", unfolded, re.MULTILINE) for name in ("METHOD", "SUMMARY"))
    return (
        str(item.state.id),
        item.owner.name,
        f"{item.created_at:%Y-%m-%d %H:%M}",
        str(says.reason),
        says.sender,
        says.party.removeprefix("mailto:"),
        "" if method is None else method[1].strip(),
        "" if title is None else "".join(filter(str.isprintable, title[1]))[:60],
    )


@imip.command
@click.argument("name")
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option("--remove", is_flag=True, help="They may no longer.")
@with_settings()
async def allow(settings: Settings, name: str, addresses: tuple[str, ...], remove: bool) -> None:
    """Let senders act for others towards a person, and print who may.

    Such are assistants who send invitations of others (SENT-BY), and services that send mails in their own name.
    """
    for each in addresses:
        if not (is_mail_address(each) or is_international(each)):
            raise click.ClickException(f"{each} is no mail address.")
    async with open_storage(settings) as session:
        record = await session.directory.principal(name)
        if record is None:
            raise click.ClickException(f"There is nobody named {name}.")
        target = Target(record.uid, "uid", "calendar", "inbox")
        found = await Lookup(session.storage).find(ACTOR, target, Privilege.READ)
        if found.collection is None:
            raise click.ClickException(f"{name} has no inbox.")
        given = {each.lower() for each in addresses}
        known = senders_in(found.collection.properties.get(ACTS_FOR_OTHERS, ""))
        known = known - given if remove else known | given
        if addresses:
            changes = PropertyChanges({ACTS_FOR_OTHERS: senders_as(known) if known else None})
            collections = Collections(session.storage, settings.limits.values, settings.scheduling)
            await collections.set_properties(ACTOR, found, changes)
    for each in sorted(known):
        click.echo(each)
