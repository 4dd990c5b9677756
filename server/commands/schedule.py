"""`koyomi schedule`: what became of the messages about a meeting."""

from __future__ import annotations

from datetime import datetime

import click

from server.commands.options import with_settings
from server.commands.session import open_storage
from server.commands.table import table
from server.itip.calendar_users import addresses
from server.itip.scheduling_object import read_object
from server.services.scheduling import explanation
from server.services.scheduling.calendar_users import directory_of
from server.settings.model import Settings
from server.storage.mails import MailRecord
from storage_plugins.postgres.reads import meetings

_PEOPLE = ("ATTENDEE", "STATUS", "ANSWER", "THEIR COPY", "CHANGED", "INBOX")
_MAILS = ("WRITTEN", "FROM", "TO", "MESSAGE", "STATE", "TRIES", "SENT", "ERROR")
_DELIVERIES = ("SENT", "FROM", "TO", "MESSAGES", "STATUS", "TRIES", "LAST TRY")


@click.group
def schedule() -> None:
    """Scheduling: who got what of a meeting, when, and why not."""


@schedule.command
@click.argument("uid")
@with_settings()
async def explain(settings: Settings, uid: str) -> None:
    """Say who got what of the meeting with a UID, when, and why not. Times are in UTC."""
    async with open_storage(settings) as session:
        copies = await meetings.copies(session.storage.database, uid)
        sent = await meetings.sent(session.storage.database, uid)
        mails = await meetings.mails(session.storage.database, uid)
        named = addresses(*(read_object(each.text) for each in copies))
        directory = await directory_of(session.storage, named)
    found = explanation.meetings(copies, directory)
    deliveries = explanation.deliveries(sent)
    if not copies and not deliveries and not mails:
        raise click.ClickException(f"Nobody has anything with the UID {uid}.")
    for meeting in found:
        head = f"{meeting.organizer} organizes it: {meeting.place}, SEQUENCE {meeting.sequence}"
        click.echo(f"{head}, changed at {_time(meeting.changed_at)}")
        click.echo(table(_PEOPLE, list(map(_row, meeting.participants))))
    if not found:
        click.echo("Nobody here organizes it.")
        rows = [(each.owner.name, f"{each.collection}/{each.name}", _time(each.modified_at)) for each in copies]
        if rows:
            click.echo(table(("PERSON", "COPY", "CHANGED"), rows))
    if deliveries:
        click.echo()
        click.echo("Deliveries by jobs:")
        click.echo(table(_DELIVERIES, list(map(_delivery, deliveries))))
    if mails:
        click.echo()
        click.echo("Mails:")
        click.echo(table(_MAILS, list(map(_mail, mails))))


def _row(each: explanation.Participant) -> tuple[str, ...]:
    answer = each.partstat
    if each.own_partstat not in (None, each.partstat):
        answer = f"{each.partstat}, in their copy {each.own_partstat}"
    copy = "" if each.copy is None else f"{each.copy}, SEQUENCE {each.sequence}"
    items = ", ".join(f"{method} {_time(at)}" for method, at in each.items)
    return each.address, _status(each.status, each.reason), answer, copy, _time(each.changed_at), items


def _delivery(each: explanation.Delivery) -> tuple[str, ...]:
    status = _status(each.status, each.reason)
    methods = " ".join(each.methods)
    return _time(each.sent_at), each.sender, each.recipient, methods, status, str(each.tries), _time(each.tried_at)


def _mail(each: MailRecord) -> tuple[str, ...]:
    head = _time(each.created_at), each.sender, each.address, each.method
    return *head, each.status, str(each.tries), _time(each.sent_at), each.error or ""


def _status(status: str, reason: str) -> str:
    return f"{status} ({reason})" if reason else status


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
