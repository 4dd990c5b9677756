"""The use of rooms, against a count of minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.booking.free_time import merged
from server.booking.utilisation import Booking, Missed, ReportedRoom, Usage, utilisation
from server.calendar.iana import named_zone
from server.calendar.zones import UTC_ZONE

DAY = datetime(2027, 3, 28, tzinfo=UTC)
"""The clocks of Berlin are put forward at 01:00 UTC."""
BERLIN, KATHMANDU = named_zone("Europe/Berlin"), named_zone("Asia/Kathmandu")
assert BERLIN is not None
assert KATHMANDU is not None


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


def test_a_room_that_was_booked_half_of_its_time() -> None:
    room = ReportedRoom("a", "A", UTC_ZONE, [(at(8), at(18))], "Main", 10)
    bookings = [
        Booking("a", at(7), at(9), 4),
        Booking("a", at(12), at(16), 5),
        Booking("a", at(20), at(21)),
        Booking("other", at(9), at(10)),
        Booking("a", at(23), at(30)),
    ]
    found = utilisation([room], bookings, at(0), at(24))
    usage = found.rooms["a"]
    assert (usage.bookings, usage.sized) == (4, 2)
    assert (usage.utilisation, usage.seats_filled) == (0.5, 0.45)
    assert usage.booked == timedelta(hours=8)
    assert found.hours[7].booked == timedelta(hours=1)
    assert found.hours[7].utilisation is None
    assert found.hours[8].utilisation == 1
    assert found.buildings == {"Main": usage}
    assert found.total == usage


def test_no_shows_count_where_they_begin() -> None:
    rooms = [ReportedRoom("a", "A", BERLIN, [], "Main"), ReportedRoom("b", "B", UTC_ZONE, [], "Main")]
    missed = [Missed("a", at(9)), Missed("b", at(9)), Missed("b", at(24)), Missed("b", at(-1)), Missed("c", at(9))]
    found = utilisation(rooms, [], at(0), at(24), missed)
    assert {uid: usage.no_shows for uid, usage in found.rooms.items()} == {"a": 1, "b": 1}
    assert found.buildings["Main"].no_shows == found.total.no_shows == 2
    assert {hour: usage.no_shows for hour, usage in found.hours.items() if usage.no_shows} == {9: 1, 11: 1}


def test_a_pool_is_open_for_each_of_its_pieces() -> None:
    room = ReportedRoom("a", "A", UTC_ZONE, [(at(8), at(10))], pieces=4)
    found = utilisation([room], [Booking("a", at(8), at(10))] * 3, at(0), at(24)).rooms["a"]
    assert found.utilisation == 0.75


MINUTES = st.integers(0, 300)
PERIODS = st.tuples(MINUTES, MINUTES).map(lambda each: (at(min(each) / 60), at(max(each) / 60)))
ROOMS = st.lists(
    st.builds(
        ReportedRoom,
        st.sampled_from("abc"),
        st.just("name"),
        st.sampled_from([UTC_ZONE, BERLIN, KATHMANDU]),
        st.lists(PERIODS, max_size=3).map(merged),
        st.sampled_from(["", "Main"]),
        st.none() | st.integers(1, 9),
        st.integers(1, 2),
    ),
    max_size=3,
    unique_by=lambda each: each.uid,
)
BOOKINGS = st.lists(
    st.builds(
        lambda room, period, people: Booking(room, *period, people),
        st.sampled_from("abcd"),
        PERIODS,
        st.none() | st.integers(0, 9),
    ),
    max_size=4,
)


@given(ROOMS, BOOKINGS, PERIODS)
def test_the_report_is_a_count_of_minutes(
    rooms: list[ReportedRoom], bookings: list[Booking], window: tuple[datetime, datetime]
) -> None:
    found = utilisation(rooms, bookings, *window)
    minute = timedelta(minutes=1)
    expected: dict[object, Usage] = {}
    counted: set[tuple[object, int]] = set()

    def usage(key: object) -> Usage:
        return expected.setdefault(key, Usage())

    for room in rooms:
        now = DAY
        while now < at(5):
            inside = window[0] <= now < window[1]
            opened = any(start <= now < end for start, end in room.open)
            keys = (("room", room.uid), ("building", room.building), ("hour", room.zone.to_local(now).hour), "total")
            for key in keys:
                usage(key)
                if not inside:
                    continue
                usage(key).open += minute * room.pieces * opened
                for number, booking in enumerate(bookings):
                    if booking.room != room.uid or not booking.start <= now < booking.end:
                        continue
                    usage(key).booked += minute
                    usage(key).booked_open += minute * opened
                    if (key, number) not in counted:
                        counted.add((key, number))
                        usage(key).bookings += 1
                        if booking.people is not None and room.capacity is not None:
                            usage(key).people += booking.people
                            usage(key).seats += room.capacity
                            usage(key).sized += 1
            now += minute
    assert list(found.rooms) == [room.uid for room in rooms]
    assert found.rooms == {room.uid: usage(("room", room.uid)) for room in rooms}
    assert found.buildings == {room.building: usage(("building", room.building)) for room in rooms}
    assert found.hours == {hour: usage(("hour", hour)) for hour in range(24)}
    assert found.total == usage("total")
