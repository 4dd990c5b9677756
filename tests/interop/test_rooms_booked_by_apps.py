"""Rooms that people book with different apps, each of which sends what that app sends (`tests/interop/apps`).

The room is found as the app finds rooms, invited, accepted, moved, declined on a conflict, and free again. A third
person has Apple Calendar, whose inbox shows what the room says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.interop.apps.app import ROOMS, App
from tests.interop.apps.apple_calendar import AppleCalendar
from tests.interop.apps.caldav_synchronizer import CalDavSynchronizer
from tests.interop.apps.connection import Connection
from tests.interop.apps.davx5 import DAVx5
from tests.interop.apps.meeting import (
    FoundRoom,
    Lines,
    components,
    mail_address,
    name_of,
    own_lines,
    parameter,
    unfold,
    value_of,
    with_value,
)
from tests.interop.apps.thunderbird import Thunderbird
from tests.interop.conftest import Account, make_accounts
from tests.interop.test_meetings_between_apps import SECOND_DAY, SERIES, UID, Make, not_mailing
from tests.server_process import ServerProcess, running

APPS: dict[str, Make] = {
    "apple": AppleCalendar, "thunderbird": Thunderbird, "davx5": DAVx5, "synchronizer": not_mailing,
}  # fmt: skip
CUTYPES = {"apple": "ROOM", "thunderbird": "ROOM", "davx5": "INDIVIDUAL", "synchronizer": "INDIVIDUAL"}
"""What each app writes of an attendee who is a room."""
PLACES = 10
Place = tuple[list[Account], int]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that shows the address book of rooms to apps that know no directories."""
    folder = tmp_path_factory.mktemp("rooms")
    settings = {"network.workers": 2, "rooms.directory_in_home_set": True}
    found = ServerProcess(folder / "data", folder / "server.log", settings)
    with running(found):
        yield found
    errors = [line for line in found.log.read_text().splitlines() if "Traceback" in line or '"level": "error"' in line]
    assert not errors, f"{errors[:5]} in {found.log}"


@pytest.fixture(scope="module")
def places(server: ServerProcess) -> Iterator[Place]:
    """For each test three people, the name of a room with a policy, and that of a piece of equipment."""
    policy = {"booking_window_days": None, "conflict_percentage_allowed": 50, "max_conflict_instances": 5}
    there = {"building": "North", "floor": "upper", "capacity": 8, "features": ["video"], "policy": policy}
    kinds: dict[str, dict[str, object]] = {"Great Hall": {"kind": "room", "room": there}}
    kinds |= {"Cellar": {"kind": "room"}, "Red Van": {"kind": "resource", "room": {"type": "EQUIPMENT"}}}
    rooms = [
        {"name": address(name), "display_name": name, "emails": [f"{address(name)}@example.com"], **made}
        for number in range(PLACES)
        for name, made in ((f"{kind} {number + 10}", made) for kind, made in kinds.items())
    ]
    people = make_accounts(server, 3 * PLACES, *rooms)
    # Jobs make the address book with the first room, and the card of each room.
    watching = Connection(people[0], "test")
    wait_for(lambda: watching.request("PROPFIND", ROOMS, headers={"Depth": "0"}).status == 207, ROOMS)
    last = f"Red Van {PLACES + 9}"
    wait_for(lambda: bool(Thunderbird(people[0]).find_rooms(last)), last)
    return ((people[3 * number : 3 * number + 3], number + 10) for number in range(PLACES))


@pytest.fixture
def place(places: Iterator[Place]) -> Place:
    """Three people, and the number of their rooms."""
    return next(places)


def address(name: str) -> str:
    """The part of a room's address before the @."""
    return name.lower().replace(" ", "-")


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """Wait for what a job does."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def find(app: App, typed: str) -> FoundRoom:
    """The one room that an app offers."""
    (found,) = app.find_rooms(typed)
    return found


def book(app: App, uid: str, room: FoundRoom, cutype: str, *lines: str, hour: int = 10) -> None:
    """Make a meeting of an hour in a room, whose name is its place."""
    app.invite(
        uid,
        lines=[
            *lines,
            f"LOCATION:{room.name}",
            f"ATTENDEE;CN={room.name};CUTYPE={cutype};PARTSTAT=NEEDS-ACTION;RSVP=TRUE;ROLE=REQ-PARTICIPANT:"
            f"mailto:{room.address}",
        ],
    )
    if hour != 10:
        move(app, uid, f"{hour:02}0000")


def move(app: App, uid: str, to: str) -> None:
    """Let a meeting begin at another time, and last an hour."""
    end = f"{int(to[:2]) + 1:02}{to[2:]}"

    def moved(event: Lines) -> Lines:
        event = with_value(event, "DTSTART", f"DTSTART;TZID=Europe/Berlin:20270906T{to}")
        return with_value(event, "DTEND", f"DTEND;TZID=Europe/Berlin:20270906T{end}")

    app.sync()
    assert app.change(uid, moved) == 204


def without_room(event: Lines, room: FoundRoom) -> Lines:
    """A component that does not invite the room."""
    return [each for each in event if not (name_of(each) == "ATTENDEE" and mail_address(each) == room.address)]


def room_line(app: App, uid: str, room: FoundRoom) -> str:
    """The line of the room in what the server has of a meeting."""
    event = components(unfold(app.found(uid)[2].text))[0]
    (line,) = [each for each in event if name_of(each) == "ATTENDEE" and mail_address(each) == room.address]
    return line


def reasons(app: AppleCalendar) -> list[str]:
    """What rooms say in the messages that the app shows."""
    found = [re.findall(r"^COMMENT:(.*)$", "\n".join(unfold(text)), re.MULTILINE) for text in app.see_messages()]
    return [each.replace("\\", "") for comments in found for each in comments]


@pytest.mark.parametrize("app", APPS)
def test_the_life_of_a_booking(place: Place, app: str) -> None:
    (first, second, third), number = place
    name = f"Great Hall {number}"
    ann, ben, cleo = APPS[app](first), APPS[app](second), AppleCalendar(third)
    watching_ann, watching_ben = AppleCalendar(first), AppleCalendar(second)
    # Outlook shows the answer of the room when the meeting has changed again.
    shown_to_ann, shown_to_ben = (watching_ann, watching_ben) if app == "synchronizer" else (ann, ben)
    for each in (ann, ben, cleo):
        each.sync()

    # Find: the app offers the room, and nobody has it.
    room = find(ann, name.lower())
    assert room == FoundRoom(name, f"great-hall-{number}@example.com")
    assert cleo.ask_busy(room.address) == {room.address: []}

    # Invite: the answer is there with the next GET, for each app of the organizer.
    book(ann, UID, room, CUTYPES[app])
    for each in (shown_to_ann, watching_ann):
        found = each.shown(UID)
        assert (found.answers[room.address], found.location) == ("ACCEPTED", name)
    line = room_line(watching_ann, UID, room)
    assert (parameter(line, "CUTYPE"), parameter(line, "SCHEDULE-STATUS")) == ("ROOM", "2.0")
    assert cleo.ask_busy(room.address)[room.address][0].endswith(":20270906T080000Z/20270906T090000Z")

    # A conflict: somebody else is declined, and told why and when the room is free.
    other = f"{UID}-BEN"
    book(ben, other, find(ben, name), CUTYPES[app])
    assert shown_to_ben.shown(other).answers[room.address] == "DECLINED"
    (said,) = reasons(watching_ben)
    assert said.startswith("It is taken: Monday, 6 September 2027, ")
    assert "Next free: Monday, 6 September 2027, " in said
    assert shown_to_ann.shown(UID).answers[room.address] == "ACCEPTED"

    # Move: the room is asked anew, and the old time is free for others.
    move(ann, UID, "083000")
    found = shown_to_ann.shown(UID)
    assert (found.start, found.answers[room.address]) == ("20270906T083000", "ACCEPTED")
    move(ben, other, "093000")
    assert shown_to_ben.shown(other).answers[room.address] == "ACCEPTED"

    # A change of something else asks nobody anew, and frees nothing.
    assert ann.set_property(UID, "SUMMARY", "SUMMARY:New plan") == 204
    assert shown_to_ann.shown(UID).answers[room.address] == "ACCEPTED"

    # A move to a time that others have: declined, and the old time is free as well.
    move(ann, UID, "100000")
    found = shown_to_ann.shown(UID)
    assert (found.start, found.answers[room.address]) == ("20270906T100000", "DECLINED")
    assert any(each.startswith("It is taken: ") for each in reasons(watching_ann))
    book(cleo, f"{UID}-CLEO", find(cleo, name), "ROOM", hour=8)
    assert cleo.shown(f"{UID}-CLEO").answers[room.address] == "ACCEPTED"

    # The room is removed from a meeting, and another meeting is deleted: nothing is left.
    cleo.sync()
    assert cleo.change(f"{UID}-CLEO", lambda event: without_room(event, room)) == 204
    assert ben.delete(other) == 204
    assert cleo.ask_busy(room.address) == {room.address: []}


@pytest.mark.parametrize("app", APPS)
def test_one_day_of_a_series_is_declined(place: Place, app: str) -> None:
    (first, second, _), number = place
    name = f"Great Hall {number}"
    ann, ben = APPS[app](first), Thunderbird(second)
    for each in (ann, ben):
        each.sync()
    room = find(ann, name)
    book(ben, f"{UID}-BEN", room, "ROOM")
    ben.sync()

    def next_day(event: Lines) -> Lines:
        event = with_value(event, "DTSTART", SECOND_DAY.replace("RECURRENCE-ID", "DTSTART"))
        return with_value(event, "DTEND", "DTEND;TZID=Europe/Berlin:20270907T110000")

    assert ben.change(f"{UID}-BEN", next_day) == 204
    assert ben.shown(f"{UID}-BEN").answers[room.address] == "ACCEPTED"
    book(ann, UID, room, CUTYPES[app], *SERIES)
    shown = AppleCalendar(first) if app == "synchronizer" else ann
    events = components(unfold(shown.found(UID)[2].text))
    answers = {
        value_of(own_lines(event), "RECURRENCE-ID"): parameter(line, "PARTSTAT")
        for event in events
        for line in event
        if name_of(line) == "ATTENDEE" and mail_address(line) == room.address
    }
    assert answers == {"": "ACCEPTED", "20270907T100000": "DECLINED"}

    # The day moves to another hour by an override: the room is asked about it alone.
    def later(event: Lines) -> Lines:
        if not value_of(own_lines(event), "RECURRENCE-ID"):
            return event
        event = with_value(event, "DTSTART", "DTSTART;TZID=Europe/Berlin:20270907T150000")
        return with_value(event, "DTEND", "DTEND;TZID=Europe/Berlin:20270907T160000")

    shown.sync()
    assert shown.change(UID, later) == 204
    lines = [
        line
        for event in components(unfold(shown.found(UID)[2].text))
        for line in event
        if name_of(line) == "ATTENDEE" and mail_address(line) == room.address
    ]
    assert [parameter(line, "PARTSTAT") for line in lines] == ["ACCEPTED", "ACCEPTED"]


def test_apple_finds_equipment_in_its_own_context(place: Place) -> None:
    (first, _, _), number = place
    ann = AppleCalendar(first)
    assert ann.find_rooms(f"van {number}") == []
    assert ann.find_rooms(f"van {number}", "resource") == [
        FoundRoom(f"Red Van {number}", f"red-van-{number}@example.com")
    ]


def test_outlook_with_its_own_mail_books_nothing_by_the_server(place: Place) -> None:
    """SCHEDULE-AGENT=CLIENT: Outlook mails the invitation to the room, and the server leaves it to Outlook."""
    (first, second, _), number = place
    name = f"Great Hall {number}"
    ann, ben = CalDavSynchronizer(first), AppleCalendar(second)
    for each in (ann, ben):
        each.sync()
    room = find(ann, name)
    book(ann, UID, room, "INDIVIDUAL")
    assert ann.shown(UID).answers[room.address] == "NEEDS-ACTION"
    assert ben.ask_busy(room.address) == {room.address: []}
