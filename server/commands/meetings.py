"""`koyomi meetings`: the meetings that somebody organizes, as long as they are not over."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import click

from server.commands.options import with_settings
from server.commands.session import ACTOR, Session, open_storage, scheduling_in
from server.commands.table import table
from server.itip.scheduling_object import read_object
from server.services.principals import changes as principals
from server.services.scheduling.organized import Acted, Organized
from server.settings.model import Settings
from server.storage.scheduling import OrganizedMeeting

_COLUMNS = ("UID", "BEGINS", "TITLE", "PEOPLE", "CALENDAR")

organizer_option = click.option(
    "--organizer", "name", metavar="NAME", required=True, help="The person who organizes them."
)


@click.group
def meetings() -> None:
    """Meetings that somebody organizes and that are not over: list them, cancel them, hand them over."""


@meetings.command("list")
@organizer_option
@with_settings()
async def list_meetings(settings: Settings, name: str) -> None:
    """List the meetings that NAME organizes."""
    async with open_storage(settings) as session:
        rows = [_row(each) async for each in (await organized(settings, session, name)).meetings()]
    click.echo(table(_COLUMNS, rows) if rows else f"{name} organizes no meeting that is not over.")


@meetings.command
@organizer_option
@with_settings()
async def cancel(settings: Settings, name: str) -> None:
    """Cancel the meetings that NAME organizes, by a CANCEL. A series keeps the instances that have begun."""
    async with open_storage(settings) as session:
        await cancel_all(settings, session, name)


@meetings.command("hand-over")
@organizer_option
@click.option("--to", "other", metavar="OTHER", required=True, help="The person who organizes them from now on.")
@with_settings()
async def hand_over(settings: Settings, name: str, other: str) -> None:
    """Let OTHER organize the meetings of NAME. Each attendee gets a REQUEST, and their answers stay."""
    async with open_storage(settings) as session:
        await hand_over_all(settings, session, name, other)


async def organized(settings: Settings, session: Session, name: str) -> Organized:
    """The meetings of a person, by name, e-mail address or id. Raises `NotFound`."""
    scheduling = await scheduling_in(session, settings)
    return Organized(scheduling, ACTOR, await principals.find(ACTOR, session.directory, name, "individual"))


async def cancel_all(settings: Settings, session: Session, name: str) -> None:
    """Cancel all meetings of a person, and say what became of them. Ends the command with 1 if some stay."""
    await _report((await organized(settings, session, name)).cancel(), "cancelled")


async def hand_over_all(settings: Settings, session: Session, name: str, other: str) -> None:
    """Hand all meetings of a person over to another, and say what became of them. Ends the command with 1 if some
    stay."""
    to = await principals.find(ACTOR, session.directory, other, "individual")
    await _report((await organized(settings, session, name)).hand_over(to), f"handed over to {to.name}")


async def _report(acts: AsyncIterator[Acted], what: str) -> None:
    done = left = 0
    async for each in acts:
        if each.error is None:
            done += 1
        else:
            left += 1
            click.echo(f"Left as it was: {each.meeting.uid}: {each.error}", err=True)
    click.echo(f"Meetings {what}: {done}" + (f", left as they were: {left}" if left else ""))
    if left:
        sys.exit(1)


def _row(meeting: OrganizedMeeting) -> tuple[str, ...]:
    value = read_object(meeting.text)
    shown = value.master or value.components[0]
    people = {line.value for component in value.components for line in component.all("ATTENDEE")}
    begins = (shown.value("DTSTART") or "") + (", repeats" if shown.first("RRULE") is not None else "")
    place = f"{meeting.collection}/{meeting.name}"
    return meeting.uid, begins, shown.value("SUMMARY") or "", str(len(people)), place
