"""The acts of the table "Who sees what" in docs/scheduling.md, and what people have after each.

    python -m tests.unit.services.who_sees_what    writes the table anew

Anna organizes a meeting with Ben and Cleo, and Ben has accepted, unless an act begins otherwise. In the table they are
O, A and B.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.domain.errors import KoyomiError
from server.domain.objects import NewCollection
from server.http.errors import translate
from server.itip.scheduling_component import SchedulingComponent
from server.itip.scheduling_object import SchedulingObject, read_object
from server.services.restoring import restore_object
from server.services.scheduling.sent import Sent
from tests.unit.services.world import ALARM, INSTALLATION, World, event, target_of

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "scheduling.md"
PEOPLE = {"O": "anna", "A": "ben", "B": "cleo", "C": "dora"}
ADDRESSES = {letter: f"mailto:{name}@example.com" for letter, name in PEOPLE.items()}
UID = "m"
HEAD = "| act | O's object | A's copy | B's copy | new in inboxes |\n| --- | --- | --- | --- | --- |\n"

Prepare = Callable[[World], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Act:
    """A row of the table."""

    words: str
    do: Prepare
    before: Prepare


ACTS: list[Act] = []


def act(words: str, before: Prepare | None = None) -> Callable[[Prepare], Prepare]:
    """Registers what somebody does, and the state that it is done in."""

    def register(function: Prepare) -> Prepare:
        ACTS.append(Act(words, function, before or accepted))
        return function

    return register


# -- what people do ----------------------------------------------------------------------------------------------------


def meeting(*lines: str, attendees: str = "AB") -> str:
    """The text that Anna's app sends."""
    people = [f"ATTENDEE;PARTSTAT=ACCEPTED:{ADDRESSES['O']}", *(f"ATTENDEE:{ADDRESSES[each]}" for each in attendees)]
    return event(UID, "SUMMARY:Plan", f"ORGANIZER:{ADDRESSES['O']}", *people, *lines, start="20260302T090000Z")


async def where(world: World, who: str, uid: str = UID) -> str | None:
    """The path of somebody's object of a UID."""
    name = PEOPLE[who]
    for collection in ("calendar", "work"):
        if (await world.find("cli", f"{name}/{collection}")).collection is None:
            continue
        for member in await world.names(f"{name}/{collection}"):
            path = f"{name}/{collection}/{member}"
            if f"UID:{uid}\r\n" in (await world.text("cli", path) or ""):
                return path
    return None


async def edit(world: World, who: str, *changes: tuple[str, str], sent: Sent = Sent()) -> None:  # noqa: B008
    """Write somebody's object with stretches of its text replaced."""
    path = await where(world, who)
    assert path is not None
    text = (await world.text("cli", path) or "").replace("\r\n ", "")
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        assert count, (pattern, text)
    await world.invite(PEOPLE[who], path, text, sent)


async def answer(world: World, who: str, partstat: str) -> None:
    """Answer for the whole meeting."""
    address = re.escape(ADDRESSES[who])
    await edit(world, who, (rf"ATTENDEE[^\r\n]*:{address}", f"ATTENDEE;PARTSTAT={partstat}:{ADDRESSES[who]}"))


async def delete(world: World, who: str, sent: Sent = Sent()) -> None:  # noqa: B008 - a value
    """Delete somebody's object."""
    path = await where(world, who)
    assert path is not None
    await world.cancel(PEOPLE[who], path, sent)


async def restored(world: World, who: str) -> None:
    """Delete somebody's object, and put it back."""
    path = await where(world, who)
    assert path is not None
    text = await world.text("cli", path) or ""
    await delete(world, who)
    await restore_object(world.lookup, world.scheduling, INSTALLATION, target_of(path), 1, text, {})


async def nothing(world: World) -> None:
    """Nobody has anything."""


async def invited(world: World, *lines: str) -> None:
    """Everybody has the meeting, and nobody has answered."""
    await world.invite("anna", "anna/calendar/m.ics", meeting(*lines))


async def accepted(world: World) -> None:
    """A has accepted."""
    await invited(world)
    await answer(world, "A", "ACCEPTED")


async def series(world: World) -> None:
    """A has accepted a series of three days."""
    await invited(world, "RRULE:FREQ=DAILY;COUNT=3")
    await answer(world, "A", "ACCEPTED")


async def declined_and_deleted(world: World) -> None:
    """A has deleted the copy, which declines."""
    await invited(world)
    await delete(world, "A")


async def deleted_by_organizer(world: World) -> None:
    """The meeting is cancelled."""
    await accepted(world)
    await delete(world, "O")


@act("O invites A and B", nothing)
async def _(world: World) -> None:
    await invited(world)


@act("A accepts", invited)
async def _(world: World) -> None:
    await answer(world, "A", "ACCEPTED")


@act("A declines")
async def _(world: World) -> None:
    await answer(world, "A", "DECLINED")


@act("A deletes the copy")
async def _(world: World) -> None:
    await delete(world, "A")


@act("A deletes the copy, and it is restored (`koyomi restore`)")
async def _(world: World) -> None:
    await restored(world, "A")


async def declined(world: World) -> None:
    """A has declined."""
    await invited(world)
    await answer(world, "A", "DECLINED")


@act("A deletes the copy after declining", declined)
async def _(world: World) -> None:
    await delete(world, "A")


@act("A deletes the copy with `Schedule-Reply: F`")
async def _(world: World) -> None:
    await delete(world, "A", Sent(reply=False))


@act("A sets an alarm")
async def _(world: World) -> None:
    await edit(world, "A", ("END:VEVENT", "\r\n".join((*ALARM, "END:VEVENT"))))


@act("A writes another title or place")
async def _(world: World) -> None:
    await edit(world, "A", ("SUMMARY:Plan", "SUMMARY:Other"))


@act("A writes another time")
async def _(world: World) -> None:
    await edit(world, "A", ("T090000Z", "T100000Z"))


@act("O changes title, place or text")
async def _(world: World) -> None:
    await edit(world, "O", ("SUMMARY:Plan", "SUMMARY:Other"))


@act("O changes the time")
async def _(world: World) -> None:
    await edit(world, "O", ("T090000Z", "T100000Z"))


@act("O sets an alarm")
async def _(world: World) -> None:
    await edit(world, "O", ("END:VEVENT", "\r\n".join((*ALARM, "END:VEVENT"))))


@act("O changes the title after A has declined and deleted", declined_and_deleted)
async def _(world: World) -> None:
    await edit(world, "O", ("SUMMARY:Plan", "SUMMARY:Other"))


@act("O changes the time after A has declined and deleted", declined_and_deleted)
async def _(world: World) -> None:
    await edit(world, "O", ("T090000Z", "T100000Z"))


@act("O invites C, too")
async def _(world: World) -> None:
    await edit(world, "O", ("END:VEVENT", f"ATTENDEE:{ADDRESSES['C']}\r\nEND:VEVENT"))


@act("O removes A")
async def _(world: World) -> None:
    await edit(world, "O", (rf"ATTENDEE[^\r\n]*:{re.escape(ADDRESSES['A'])}\r\n", ""))


@act("O sets STATUS:CANCELLED")
async def _(world: World) -> None:
    await edit(world, "O", ("END:VEVENT", "STATUS:CANCELLED\r\nEND:VEVENT"))


@act("O deletes the meeting")
async def _(world: World) -> None:
    await delete(world, "O")


@act("O deletes the meeting, and it is restored (`koyomi restore`)")
async def _(world: World) -> None:
    await restored(world, "O")


async def elsewhere(world: World) -> None:
    """The meeting lies in a calendar of its own."""
    await accepted(world)
    await world.invite("anna", "anna/work/m.ics", await world.text("anna", "anna/calendar/m.ics") or "")


async def delete_calendar(world: World) -> None:
    """Delete the calendar of the meeting."""
    await world.collections.delete(await world.actor("anna"), await world.find("anna", "anna/work"))


@act("O deletes the calendar with the meeting", elsewhere)
async def _(world: World) -> None:
    await delete_calendar(world)


async def without_calendar(world: World) -> None:
    """The calendar has been deleted, which nobody has heard of."""
    await elsewhere(world)
    await delete_calendar(world)


@act("ten minutes later", without_calendar)
async def _(world: World) -> None:
    await world.run_jobs()


@act("A deletes the copy of a cancelled meeting", deleted_by_organizer)
async def _(world: World) -> None:
    await delete(world, "A")


@act("O excludes one day of a series (EXDATE)", series)
async def _(world: World) -> None:
    await edit(world, "O", ("END:VEVENT", "EXDATE:20260303T090000Z\r\nEND:VEVENT"))


@act("O changes the time of one day", series)
async def _(world: World) -> None:
    path = await where(world, "O")
    assert path is not None
    value = read_object(await world.text("cli", path) or "")
    await world.invite(
        "anna", path, value.with_component(one_day(value).with_value("DTSTART", "20260303T120000Z")).text
    )


@act("A declines one day", series)
async def _(world: World) -> None:
    path = await where(world, "A")
    assert path is not None
    value = read_object(await world.text("cli", path) or "")
    text = value.with_component(one_day(value)).text.replace("\r\n ", "")
    head, _, day = text.rpartition("BEGIN:VEVENT")
    address = re.escape(ADDRESSES["A"])
    day = re.sub(rf"ATTENDEE[^\r\n]*:{address}", f"ATTENDEE;PARTSTAT=DECLINED:{ADDRESSES['A']}", day)
    await world.invite("ben", path, f"{head}BEGIN:VEVENT{day}")


@act("A excludes one day (EXDATE)", series)
async def _(world: World) -> None:
    await edit(world, "A", ("END:VEVENT", "EXDATE:20260303T090000Z\r\nEND:VEVENT"))


@act("O divides a series in two by POST", series)
async def _(world: World) -> None:
    found = await world.find("anna", "anna/calendar/m.ics")
    await world.splitting.split(await world.actor("anna"), found, "20260303T090000Z", "earlier")


@act("A delegates to C")
async def _(world: World) -> None:
    own, delegate = ADDRESSES["A"], ADDRESSES["C"]
    lines = (
        f'ATTENDEE;PARTSTAT=DELEGATED;DELEGATED-TO="{delegate}":{own}\r\n'
        f'ATTENDEE;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;DELEGATED-FROM="{own}":{delegate}'
    )
    await edit(world, "A", (rf"ATTENDEE[^\r\n]*:{re.escape(own)}", lines))


@act("O sets SCHEDULE-AGENT=CLIENT or NONE for A")
async def _(world: World) -> None:
    await edit(world, "O", (rf"ATTENDEE(?=[^\r\n]*:{re.escape(ADDRESSES['A'])})", "ATTENDEE;SCHEDULE-AGENT=CLIENT"))


async def proposed(world: World) -> None:
    """A has proposed another time."""
    await accepted(world)
    await propose(world)


@act("A proposes another time (COUNTER, by a service; no app can)")
async def propose(world: World) -> None:
    path = await where(world, "A")
    assert path is not None
    start = datetime(2026, 3, 2, 12, tzinfo=UTC)
    found = await world.find("ben", path)
    await world.scheduling.propose(await world.actor("ben"), found, start, start + timedelta(hours=1))


@act("O moves the meeting to the time that A has proposed", proposed)
async def _(world: World) -> None:
    await edit(world, "O", ("T090000Z", "T120000Z"))


@act("O deletes the COUNTER from the inbox", proposed)
async def _(world: World) -> None:
    for name in await world.names("anna/inbox"):
        if "METHOD:COUNTER" in (await world.text("cli", f"anna/inbox/{name}") or ""):
            await world.cancel("anna", f"anna/inbox/{name}")


@act("O moves the meeting to another calendar (MOVE, or PUT there and DELETE here)")
async def _(world: World) -> None:
    path = "anna/calendar/m.ics"
    await world.invite("anna", "anna/work/other.ics", await world.text("anna", path) or "")


@act("A moves the copy to another calendar")
async def _(world: World) -> None:
    path = await where(world, "A")
    assert path is not None
    await world.invite("ben", "ben/work/other.ics", await world.text("ben", path) or "")


def one_day(value: SchedulingObject) -> SchedulingComponent:
    """An override of the second day."""
    assert value.master is not None
    day = value.master.without("RRULE").with_value("RECURRENCE-ID", "20260303T090000Z")
    day = day.with_value("DTSTART", "20260303T090000Z")
    return SchedulingComponent(day.name, day.items, "20260303T090000Z")


# -- what people see ---------------------------------------------------------------------------------------------------


@dataclass
class State:
    """What somebody has."""

    path: str | None
    text: str
    other: bool
    """Whether there is an object of another UID."""
    messages: list[str]
    """The methods of what lies in the inbox."""


async def state(world: World, who: str) -> State:
    """What somebody has now."""
    path = await where(world, who)
    inbox = f"{PEOPLE[who]}/inbox"
    texts = [await world.text("cli", f"{inbox}/{each}") or "" for each in await world.names(inbox)]
    methods = re.findall("METHOD:([A-Z]+)", "".join(texts))
    text = "" if path is None else await world.text("cli", path) or ""
    return State(path, text, await where(world, who, "earlier") is not None, methods)


def told(before: State, after: State) -> str:
    """What has become of somebody's object."""
    if after.path is None:
        return "none" if before.path is None else "gone"
    new = read_object(after.text)
    if before.path is None:
        return ", ".join(("new", *_parts(None, new)))
    old = read_object(before.text)
    words = _parts(old, new)
    if before.path.split("/")[1] != after.path.split("/")[1]:
        words.insert(0, "in the other calendar")
    if after.other:
        words.append("a second series")
    if after.text.count("BEGIN:VALARM") != before.text.count("BEGIN:VALARM"):
        words.append("alarm")
    return ", ".join(words) or "as it was"


def _parts(old: SchedulingObject | None, new: SchedulingObject) -> list[str]:
    words: list[str] = []
    old_series = None if old is None else old.master
    series = new.master
    assert series is not None
    if old_series is not None:
        words += [word for name, word in CHANGES.items() if series.value(name) != old_series.value(name)]
        if series.sequence != old_series.sequence:
            words.append(f"SEQUENCE+{series.sequence - old_series.sequence}")
    words += _answers(old_series, series)
    if series.token("STATUS") == "CANCELLED" and (old_series is None or old_series.token("STATUS") != "CANCELLED"):
        words.append("STATUS:CANCELLED")
    words += _time_taken(old_series, series)
    for day in new.overrides:
        before = None if old is None else old.by_instance.get(day.instance)
        words += [f"one day: {word}" for word in _day(before, day, series)]
    return words


CHANGES = {"SUMMARY": "title", "DTSTART": "time", "RRULE": "rule", "EXDATE": "EXDATE"}


def _day(before: SchedulingComponent | None, day: SchedulingComponent, series: SchedulingComponent) -> list[str]:
    if before is not None:
        return []
    if day.token("STATUS") == "CANCELLED":
        return ["STATUS:CANCELLED"]
    words = ["time"] if day.value("DTSTART") != "20260303T090000Z" else []
    return words + _answers(series, day)


def _lines(component: SchedulingComponent | None) -> Mapping[str, tuple[str, str]]:
    """PARTSTAT and SCHEDULE-STATUS of each attendee, by letter."""
    found = {}
    for letter, address in ADDRESSES.items():
        for line in [] if component is None else component.all("ATTENDEE"):
            if line.value.strip().lower() == address:
                partstat = line.params.get("PARTSTAT", ["NEEDS-ACTION"])[0]
                found[letter] = partstat, line.params.get("SCHEDULE-STATUS", [""])[0]
    return found


def _answers(old: SchedulingComponent | None, new: SchedulingComponent) -> list[str]:
    before, after = _lines(old), _lines(new)
    words = [f"without {letter}" for letter in before if letter not in after]
    for letter, (partstat, status) in after.items():
        if letter == "O":
            continue
        if letter not in before:
            words.append(f"{letter} {partstat}" + (f" {status}" if status else ""))
        elif before[letter] != (partstat, status):
            was = before[letter]
            words.append(" ".join((letter, *([partstat] if was[0] != partstat else []), *([status] if status else []))))
    return words


def _time_taken(old: SchedulingComponent | None, new: SchedulingComponent) -> list[str]:
    was, is_now = (each is not None and each.token("TRANSP") == "TRANSPARENT" for each in (old, new))
    if is_now and not was:
        return ["takes no time"]
    return ["takes time"] if was and not is_now else []


async def row(each: Act) -> str:
    """The row of an act."""
    world = World()
    for name in PEOPLE.values():
        await world.add(name, addresses=(f"{name}@example.com",))
        work = NewCollection("work", "calendar", ("VEVENT",))
        await world.collections.create(INSTALLATION, await world.find("cli", f"{name}/work"), work)
    await each.before(world)
    before = {letter: await state(world, letter) for letter in PEOPLE}
    refused = ""
    try:
        await each.do(world)
    except KoyomiError as error:
        answer_row = translate(error)
        refused = f": {answer_row.status} `{(answer_row.precondition or '').rpartition('}')[2]}`"
    after = {letter: await state(world, letter) for letter in PEOPLE}
    new = {letter: _added(before[letter].messages, after[letter].messages) for letter in PEOPLE}
    inboxes = "; ".join(f"{letter} {', '.join(methods)}" for letter, methods in new.items() if methods)
    cells = (f"{each.words}{refused}", *(told(before[letter], after[letter]) for letter in "OAB"), inboxes or "nothing")
    return f"| {' | '.join(cells)} |\n"


def _added(before: list[str], after: list[str]) -> list[str]:
    rest = list(after)
    for method in before:
        if method in rest:
            rest.remove(method)
    return sorted(rest)


async def table() -> str:
    """The whole table."""
    return HEAD + "".join([await row(each) for each in ACTS])


def written(document: str, new: str) -> str:
    """A document with the table in place of the one that it has."""
    return re.sub(re.escape(HEAD.splitlines()[0]) + r"\n(\|.*\n)+", lambda _: new, document)


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(), asyncio.run(table())))
