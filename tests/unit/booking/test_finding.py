"""Rooms for a meeting, against a naive search."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.booking.finding import Candidate, LeftOut, Needs, Wanted, alternative, find
from server.booking.free_time import merged
from server.booking.places import Place, way

DAY = datetime(2027, 1, 4, tzinfo=UTC)
HALL = Candidate("hall", "Hall", capacity=40, features=frozenset({"projector", "video"}), accessible=True)
NOOK = Candidate("nook", "Nook", capacity=4)


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


def wanted(until: float = 17, **needs: Any) -> Wanted:
    return Wanted(at(9), timedelta(hours=1), at(until), Needs(**needs))


def names(rooms: list[Candidate], what: Wanted) -> list[str]:
    return [each.room.name for each in find(rooms, what, UTC).rooms]


def test_the_room_that_wastes_least_comes_first() -> None:
    middle = Candidate("middle", "Middle", capacity=8)
    assert names([HALL, middle, NOOK], wanted(people=4)) == ["Nook", "Middle", "Hall"]
    assert names([HALL, middle, NOOK], wanted(people=5)) == ["Middle", "Hall"]


def test_the_nearest_comes_first_and_says_how_near_it_is() -> None:
    office = Place("Bern", "Main", "3")
    rooms = [
        replace(NOOK, uid=name, name=name, place=place)
        for name, place in (
            ("other site", Place("Basel", "Main", "3")),
            ("other building", Place("Bern", "Annex", "3")),
            ("unknown floor", Place("Bern", "main")),
            ("here", Place("Bern", "Main", "3")),
            ("far up", Place("Bern", "Main", "6")),
        )
    ]
    found = find(rooms, wanted(people=4, near=office), UTC).rooms
    assert [each.room.name for each in found] == ["here", "unknown floor", "far up", "other building", "other site"]
    assert found[0].reasons == ("free", "4 seats for 4", "Main, floor 3: your floor")
    assert found[2].reasons[-1] == "Main, floor 6: 3 floors from yours"


def test_a_room_that_is_free_later_follows_with_its_next_free_slot() -> None:
    zone = ZoneInfo("Europe/Zurich")
    taken = replace(NOOK, taken=[(at(8), at(10.1))])
    closed = replace(NOOK, uid="c", name="Closed", closed=[(at(8), at(11))])
    found = find([taken, closed, HALL], wanted(people=4, until=34), zone).rooms
    assert [(each.room.name, each.free, each.slot[0]) for each in found] == [
        ("Hall", True, at(9)),
        ("Nook", False, at(10.25)),
        ("Closed", False, at(11)),
    ]
    assert [each.reasons[0] for each in found] == [
        "free",
        "free from 11:15, booked until 11:06",
        "free from 12:00, closed until 12:00",
    ]


def test_a_free_room_says_until_when() -> None:
    taken = replace(NOOK, taken=[(at(11), at(12))])
    assert find([taken], wanted(), UTC).rooms[0].reasons == ("free until 11:00",)
    touching = replace(NOOK, taken=[(at(10), at(12))])
    assert find([touching], wanted(), UTC).rooms[0].reasons == ("free until 10:00",)


@pytest.mark.parametrize(
    ("room", "asked", "reason"),
    [
        ({"may_book": False}, {}, LeftOut.NOT_ALLOWED),
        ({}, {"people": 5}, LeftOut.TOO_SMALL),
        ({}, {"features": frozenset({"video"})}, LeftOut.LACKS_FEATURES),
        ({}, {"accessible": True}, LeftOut.NOT_ACCESSIBLE),
        ({"longest": timedelta(minutes=59)}, {}, LeftOut.DURATION),
        ({"shortest": timedelta(minutes=61)}, {}, LeftOut.DURATION),
        ({"bookable_until": at(8.9)}, {}, LeftOut.WINDOW),
        ({"taken": [(at(9), at(16.5))]}, {}, LeftOut.FULL),
    ],
)
def test_a_room_that_does_not_fit_is_counted_with_its_reason(
    room: dict[str, Any], asked: dict[str, Any], reason: LeftOut
) -> None:
    found = find([replace(NOOK, **room)], wanted(**asked), UTC)
    assert not found.rooms
    assert found.left_out == {reason: 1}


def test_equipment_is_looked_for_by_its_type() -> None:
    beamer = Candidate("beamer", "Beamer", type="EQUIPMENT")
    assert names([beamer, NOOK], wanted(type="EQUIPMENT")) == ["Beamer"]
    assert names([beamer, NOOK], wanted()) == ["Nook"]


def test_a_room_like_another_has_its_features_and_seats() -> None:
    period = at(9), at(10)
    twin = replace(HALL, uid="twin", name="Twin", features=HALL.features | {"whiteboard"})
    assert alternative(HALL, [HALL, NOOK, twin], period) == twin
    assert alternative(HALL, [HALL, NOOK], period) is None
    smaller = replace(HALL, uid="smaller", capacity=10)
    assert alternative(HALL, [smaller], period) is None
    assert alternative(HALL, [smaller], period, people=6) == smaller
    assert alternative(HALL, [replace(twin, taken=[(at(9.5), at(12))])], period) is None
    assert alternative(HALL, [twin], (at(9), at(9))) is None


PLACES = st.builds(
    Place,
    st.sampled_from(["", "Bern", "Basel"]),
    st.sampled_from(["", "Main", "Annex"]),
    st.sampled_from(["", "1", "B"]),
)
FEATURES = st.frozensets(st.sampled_from(["projector", "video", "phone"]))
QUARTERS = st.integers(0, 16)
PERIODS = st.lists(st.tuples(QUARTERS, QUARTERS), max_size=4)


def _period(pair: tuple[int, int]) -> tuple[datetime, datetime]:
    return at(8 + pair[0] / 4), at(8 + pair[1] / 4)


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    name = draw(st.text("abc", min_size=1, max_size=3))
    lengths = st.none() | st.integers(1, 8).map(lambda each: each * timedelta(minutes=15))
    return Candidate(
        name,
        name,
        draw(st.sampled_from(["ROOM", "EQUIPMENT"])),
        draw(st.none() | st.integers(1, 12)),
        draw(FEATURES),
        draw(st.booleans()),
        draw(PLACES),
        merged(map(_period, draw(PERIODS))),
        merged(map(_period, draw(PERIODS))),
        draw(lengths),
        draw(lengths),
        draw(st.none() | QUARTERS.map(lambda each: at(8 + each / 4))),
        draw(st.booleans()),
        draw(st.booleans()),
    )


WANTED = st.builds(
    lambda start, length, until, people, features, accessible, near: Wanted(
        at(8 + start / 4), length * timedelta(minutes=15), at(8 + until / 4), Needs(people, features, accessible, near)
    ),
    QUARTERS,
    st.integers(1, 6),
    QUARTERS,
    st.integers(0, 8),
    FEATURES,
    st.booleans(),
    st.none() | PLACES,
)


def _naive_slot(room: Candidate, what: Wanted) -> datetime | None:
    quarter = timedelta(minutes=15)
    start = what.start
    while start + what.duration <= what.until:
        end = start + what.duration
        clear = all(end <= taken or start >= until for taken, until in room.taken)
        opened = all(end <= since or start >= until for since, until in room.closed)
        if clear and opened and (room.bookable_until is None or start <= room.bookable_until):
            return start
        start += quarter
    return None


def _naive_cost(room: Candidate, what: Wanted) -> int:
    cost = 2 * sum(feature not in what.needs.features for feature in room.features)
    if room.by_approval:
        cost += 20
    if what.needs.near is not None:
        cost += way(what.needs.near, room.place).cost
    if what.needs.people and room.capacity is None:
        cost += 20
    elif what.needs.people and room.capacity is not None:
        cost += room.capacity - what.needs.people
    return cost


@given(st.lists(candidates(), max_size=5, unique_by=lambda each: each.uid), WANTED)
def test_what_is_found_is_what_a_naive_search_finds(rooms: list[Candidate], what: Wanted) -> None:
    expected = []
    for room in rooms:
        fits = (
            room.type == "ROOM"
            and room.may_book
            and (room.capacity is None or room.capacity >= what.needs.people)
            and all(feature in room.features for feature in what.needs.features)
            and (room.accessible or not what.needs.accessible)
            and (room.shortest is None or room.shortest <= what.duration)
            and (room.longest is None or what.duration <= room.longest)
        )
        start = _naive_slot(room, what)
        if fits and start is not None:
            expected.append((start != what.start, start, _naive_cost(room, what), room.name))
    found = find(rooms, what, UTC)
    assert [(not each.free, each.slot[0], each.cost, each.room.name) for each in found.rooms] == sorted(expected)
    of_type = Counter(room.type for room in rooms)["ROOM"]
    assert sum(found.left_out.values()) == of_type - len(expected)
    assert find(rooms, what, UTC, 1).rooms == found.rooms[:1]
