"""`koyomi rooms`: find a room, suggest times for a meeting, report how rooms are used."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

import click

from server.booking.finding import Findings, Needs, Wanted
from server.booking.places import Place
from server.booking.suggesting import Suggestions, WantedTimes
from server.booking.utilisation import Usage
from server.booking.working_hours import working_hours
from server.commands.options import with_settings
from server.commands.session import ACTOR, Session, open_storage
from server.commands.table import table
from server.commands.times import Zone, moment
from server.domain.actors import Actor
from server.domain.rooms import RoomSearch
from server.services.lookup import Lookup
from server.services.principals import changes as principals
from server.services.rooms.attributes import feature_of
from server.services.rooms.finding import RoomFinding, Where
from server.services.rooms.reporting import report
from server.settings.model import Settings
from storage_plugins.postgres.access import PostgresAccess

_USE = ("BOOKINGS", "HOURS OPEN", "HOURS BOOKED", "BOOKED PERCENT", "PEOPLE", "SEATS FILLED PERCENT", "NO-SHOWS")
_DAY = timedelta(days=1)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Hours(click.ParamType[tuple[time, time]]):
    """Working hours: 08:00-18:00."""

    name = "hours"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[time, time]:
        if isinstance(value, tuple):
            return value
        try:
            opens, closes = (time.fromisoformat(part.strip()) for part in value.split("-"))
        except ValueError:
            self.fail(f"{value} is not as 08:00-18:00.", param, ctx)
        return opens, closes


class _Days(click.ParamType[frozenset[int]]):
    """Days of the week: mon,tue,wed."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        if isinstance(value, frozenset):
            return value
        words = [word.strip().lower()[:3] for word in value.split(",")]
        if not set(words) <= set(_WEEKDAYS):
            self.fail(f"{value} is not as mon,tue,wed.", param, ctx)
        return frozenset(map(_WEEKDAYS.index, words))


def _needs_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--minutes", type=click.IntRange(1), default=60, show_default=True, help="How long it takes."),
        click.option("--people", metavar="N", type=click.IntRange(0), default=0, help="How many people it must seat."),
        click.option("--feature", "features", metavar="NAME", multiple=True, help="What it must have; repeatable."),
        click.option("--accessible", is_flag=True, help="It must be accessible."),
        click.option("--near", metavar="NAME", help="Near the office of this person.  [that of --for]"),
        click.option("--site", metavar="NAME", default="", help="Only on this site."),
        click.option("--building", metavar="NAME", default="", help="Only in this building."),
        click.option(
            "--type",
            "of_type",
            type=click.Choice(["ROOM", "EQUIPMENT", "PARKING", "OTHER"], case_sensitive=False),
            default="ROOM",
            show_default=True,
        ),
        click.option("--for", "organizer", metavar="NAME", help="Who organizes it: finds what this person may book."),
        click.option("--zone", type=Zone(), default="UTC", show_default=True, help="The time zone of all times."),
        click.option("--limit", metavar="N", type=click.IntRange(1, 1000), default=10, show_default=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group
def rooms() -> None:
    """Rooms: find one that is free, suggest times for a meeting, report how they are used."""


@rooms.command("find")
@click.option("--at", metavar="TIME", required=True, help="When the meeting begins, as 2027-01-31T09:00.")
@click.option("--until", metavar="TIME", help="How far to look for the next free slot.  [7 days after --at]")
@_needs_options
@with_settings()
async def find_rooms(
    settings: Settings, at: str, until: str | None, minutes: int, zone: tzinfo, limit: int, **needs: Any
) -> None:
    """Find rooms for a meeting: those that are free come first, then those that are free soonest."""
    start = moment(at, zone)
    end = start + 7 * _DAY if until is None else moment(until, zone)
    async with open_storage(settings) as session:
        actor, asked, where = await _asked(session, **needs)
        wanted = Wanted(start, timedelta(minutes=minutes), end, asked)
        found = await _finding(settings, session).find(actor, wanted, zone, limit, where)
    click.echo(_rooms_found(found, zone))


@rooms.command("suggest-times")
@click.argument("required", nargs=-1)
@click.option("--optional", metavar="NAME", multiple=True, help="Somebody who need not come; repeatable.")
@click.option("--from", "first", metavar="TIME", help="The earliest begin.  [now]")
@click.option("--until", metavar="TIME", help="The latest end.  [14 days after --from]")
@click.option("--hours", type=_Hours(), default="08:00-18:00", show_default=True, help="Working hours.")
@click.option("--days", type=_Days(), default="mon,tue,wed,thu,fri", show_default=True, help="Working days.")
@click.option("--missing", metavar="N", type=click.IntRange(0), default=0, help="How many required people may miss it.")
@click.option("--no-room", is_flag=True, help="The meeting needs no room.")
@_needs_options
@with_settings()
async def suggest_times(
    settings: Settings,
    required: tuple[str, ...],
    optional: tuple[str, ...],
    first: str | None,
    until: str | None,
    hours: tuple[time, time],
    days: frozenset[int],
    missing: int,
    no_room: bool,
    minutes: int,
    zone: tzinfo,
    limit: int,
    **needs: Any,
) -> None:
    """Suggest times for a meeting of the people and groups REQUIRED, with a room.

    Their busy times and availability, and the rooms' bookings, opening times and policies are looked at.
    """
    start = datetime.now(UTC) if first is None else moment(first, zone)
    end = start + 14 * _DAY if until is None else moment(until, zone)
    async with open_storage(settings) as session:
        actor, asked, where = await _asked(session, **needs)
        wanted = WantedTimes(
            start,
            end,
            timedelta(minutes=minutes),
            working_hours(start, end, zone, *hours, days),
            None if no_room else asked,
            missing,
            limit,
        )
        found = await _finding(settings, session).suggest_times(actor, required, optional, wanted, zone, where)
    click.echo(_times_found(found, missing, zone, with_room=not no_room))


@rooms.command("report")
@click.option("--from", "first", metavar="TIME", required=True, help="The begin, as 2027-01-01.")
@click.option("--until", metavar="TIME", required=True, help="The end, as 2027-02-01.")
@click.option(
    "--by", type=click.Choice(["room", "building", "hour"]), default="room", show_default=True, help="What a line is."
)
@click.option("--site", metavar="NAME", default="", help="Only on this site.")
@click.option("--building", metavar="NAME", default="", help="Only in this building.")
@click.option("--zone", type=Zone(), default="UTC", show_default=True, help="The time zone of --from and --until.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@with_settings()
async def report_use(
    settings: Settings, first: str, until: str, by: str, site: str, building: str, zone: tzinfo, as_csv: bool
) -> None:
    """Report how rooms were used: booked hours against opening times, people against seats."""
    search = RoomSearch(site=site or None, building=building or None)
    async with open_storage(settings) as session:
        reported, found = await report(session.storage, ACTOR, search, moment(first, zone), moment(until, zone))
    names = {
        each.uid: (each.name, each.building, "" if each.capacity is None else str(each.capacity)) for each in reported
    }
    if by == "room":
        head: Sequence[str] = ("ROOM", "BUILDING", "SEATS")
        rows = [(*names[uid], *_use(usage)) for uid, usage in found.rooms.items()]
    elif by == "building":
        head, rows = ("BUILDING",), [(name, *_use(usage)) for name, usage in found.buildings.items()]
    else:
        head, rows = ("HOUR",), [(f"{hour:02}:00", *_use(usage)) for hour, usage in found.hours.items()]
    if by != "hour":
        rows.append(("ALL", *[""] * (len(head) - 1), *_use(found.total)))
    head = (*head, *_USE)
    if not as_csv:
        click.echo(table(head, rows))
        return
    writer = csv.writer(sys.stdout)
    writer.writerow([name.lower().replace(" ", "_").replace("-", "_") for name in head])
    writer.writerows([_as_text(cell) for cell in row] for row in rows)


def _use(usage: Usage) -> tuple[str, ...]:
    return (
        str(usage.bookings),
        _hours(usage.open),
        _hours(usage.booked),
        _percent(usage.utilisation),
        f"{usage.people / usage.sized:.1f}" if usage.sized else "",
        _percent(usage.seats_filled),
        str(usage.no_shows),
    )


def _hours(length: timedelta) -> str:
    return f"{length / timedelta(hours=1):.2f}"


def _percent(part: float | None) -> str:
    return "" if part is None else f"{100 * part:.1f}"


def _as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _finding(settings: Settings, session: Session) -> RoomFinding:
    lookup = Lookup(session.storage, asked_by_all=settings.scheduling.free_busy_for_everyone)
    return RoomFinding(session.storage, PostgresAccess(session.storage), lookup, settings.limits.values)


async def _asked(
    session: Session,
    people: int,
    features: tuple[str, ...],
    accessible: bool,
    near: str | None,
    site: str,
    building: str,
    of_type: Any,
    organizer: str | None,
) -> tuple[Actor, Needs, Where]:
    """Who organizes the meeting, what the room must have, and where it is looked for."""
    actor, office = ACTOR, None
    if organizer is not None:
        record = await principals.find(ACTOR, session.directory, organizer, "individual")
        actor = replace(ACTOR, principal=(await session.storage.resolve(record.id, None)).viewer)
        office = record.office
    if near is not None:
        office = (await principals.find(ACTOR, session.directory, near, "individual")).office
        if office is None:
            raise click.ClickException(f"{near} has no office.")
    place = None if office is None else Place(building=office.building, floor=office.floor)
    return (
        actor,
        Needs(people, frozenset(map(feature_of, features)), accessible, place, of_type.upper()),
        Where(site, building),
    )


def _rooms_found(found: Findings, zone: tzinfo) -> str:
    rows = [
        (
            each.room.name,
            "yes" if each.free else "no",
            f"{each.slot[0].astimezone(zone):%Y-%m-%d %H:%M}",
            "" if each.room.capacity is None else str(each.room.capacity),
            "; ".join(each.reasons),
        )
        for each in found.rooms
    ]
    lines = [table(("ROOM", "FREE", "NEXT FREE SLOT", "SEATS", "WHY"), rows)] if rows else ["No room was found."]
    if found.left_out:
        lines.append("Left out: " + ", ".join(f"{count} {reason}" for reason, count in sorted(found.left_out.items())))
    return "\n".join(lines)


def _times_found(found: Suggestions, missing: int, zone: tzinfo, *, with_room: bool) -> str:
    rows = [
        (
            f"{each.start.astimezone(zone):%a %Y-%m-%d %H:%M}",
            f"{each.end.astimezone(zone):%H:%M}",
            ", ".join(room.name for room in each.rooms),
            "; ".join(each.reasons),
        )
        for each in found.times
    ]
    lines = [table(("BEGINS", "ENDS", "ROOMS", "WHY"), rows)] if rows else ["No time suits."]
    if not rows and found.fewest_missing is not None and found.fewest_missing > missing:
        lines.append(f"With --missing {found.fewest_missing} there are times.")
    elif not rows and with_room and not found.rooms_that_fit:
        lines.append("No room has what is needed.")
    elif found.next_free is not None:
        begins = found.next_free[0].astimezone(zone)
        lines.append(f"Next free for all who are required: {begins:%a %Y-%m-%d %H:%M}")
    return "\n".join(lines)
