"""Times for a meeting, against a naive search over every start."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.booking.finding import Candidate, Needs
from server.booking.free_time import merged
from server.booking.suggesting import Participant, Suggestions, WantedTimes, suggest
from server.calendar.freebusy import BusyPeriod
from server.domain.occurrences import Busy

DAY = datetime(2027, 1, 4, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
NOOK = Candidate("nook", "Nook", capacity=4)


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


def busy(start: float, end: float, kind: Busy = Busy.BUSY) -> BusyPeriod:
    return BusyPeriod(at(start), at(end), kind)


def wanted(**fields: Any) -> WantedTimes:
    return replace(WantedTimes(at(9), at(12), timedelta(hours=1)), **fields)


def starts(found: Suggestions) -> list[datetime]:
    return [each.start for each in found.times]


def test_the_time_that_suits_everybody_comes_first() -> None:
    people = [
        Participant("Ann", [busy(9, 9.5)]),
        Participant("Bob", [busy(9.5, 10.25, Busy.TENTATIVE)]),
        Participant("Cid", [busy(11, 12)], required=False),
    ]
    found = suggest(people, (), wanted(end=at(13)), UTC)
    assert starts(found) == [at(12), at(10.25)]
    assert [each.reasons for each in found.times] == [
        ("everybody who is required is free",),
        ("everybody who is required is free", "optional: Cid is busy"),
    ]
    found = suggest(people[:2], (), wanted(end=at(10.5)), UTC)
    assert [each.reasons for each in found.times] == [("Bob is tentatively busy",)]
    found = suggest(people, (), wanted(end=at(13)), UTC)
    assert found.next_free == (at(10.25), at(11.25))


def test_without_a_common_time_it_says_how_many_are_missing_at_best() -> None:
    people = [Participant("Ann", [busy(9, 10.5)]), Participant("Bob", [busy(10.5, 12)])]
    found = suggest(people, (), wanted(), UTC)
    assert (found.times, found.next_free, found.fewest_missing) == ((), None, 1)
    found = suggest(people, (), wanted(missing=1), UTC)
    assert [(each.start, each.missing) for each in found.times] == [(at(9), ("Ann",)), (at(10.5), ("Bob",))]


def test_times_that_are_not_known_are_said_to_be_so() -> None:
    found = suggest([Participant("Ann", None)], (), wanted(), UTC)
    assert found.times[0].doubtful == ("Ann",)
    assert found.times[0].reasons == ("the times of Ann are not known",)
    assert found.next_free is None


def test_a_room_must_be_free_too_and_the_best_one_comes_first() -> None:
    rooms = [replace(NOOK, uid="large", name="Large", capacity=9), replace(NOOK, taken=[(at(9), at(10))])]
    found = suggest([], rooms, wanted(needs=Needs(people=3), limit=2), UTC)
    assert [[room.name for room in each.rooms] for each in found.times] == [["Large"], ["Nook", "Large"]]
    assert found.times[1].reasons == ("Nook; 4 seats for 3",)
    none = suggest([], rooms, wanted(needs=Needs(people=10)), UTC)
    assert (none.times, none.fewest_missing, none.rooms_that_fit) == ((), None, 0)


def test_a_window_that_is_too_short_has_no_time() -> None:
    assert suggest([], (), wanted(end=at(9.5)), UTC) == Suggestions((), None, None, 0)


QUARTERS = st.integers(0, 16)
# Busy times do not lie on the grid.
TIMES = st.tuples(st.integers(0, 240), st.integers(0, 240)).map(
    lambda each: (DAY + timedelta(hours=8, minutes=min(each)), DAY + timedelta(hours=8, minutes=max(each)))
)
PERIODS = st.lists(TIMES, max_size=4)
PEOPLE = st.lists(
    st.builds(
        Participant,
        st.sampled_from(["Ann", "Bob", "Cid"]),
        st.none() | st.lists(st.builds(lambda times, kind: BusyPeriod(*times, kind), TIMES, st.sampled_from(Busy))),
        st.booleans(),
    ),
    max_size=4,
)
ROOMS = st.lists(
    st.builds(
        Candidate,
        st.text("abc", min_size=1, max_size=3),
        st.sampled_from(["Nook", "Hall"]),
        capacity=st.none() | st.integers(1, 6),
        features=st.frozensets(st.sampled_from(["video", "phone"])),
        taken=PERIODS.map(merged),
        closed=PERIODS.map(merged),
        bookable_until=st.none() | QUARTERS.map(lambda each: at(8 + each / 4)),
        longest=st.none() | st.just(timedelta(minutes=50)),
    ),
    max_size=4,
    unique_by=lambda each: each.uid,
)
WANTED = st.builds(
    WantedTimes,
    st.integers(0, 240).map(lambda each: DAY + timedelta(hours=8, minutes=each)),
    st.integers(0, 240).map(lambda each: DAY + timedelta(hours=8, minutes=each)),
    st.integers(1, 90).map(lambda each: timedelta(minutes=each)),
    st.none() | PERIODS.map(merged),
    st.none() | st.builds(Needs, st.integers(0, 5), st.frozensets(st.just("video"))),
    st.integers(0, 2),
    st.integers(1, 4),
)


def _clashes(periods: Any, start: datetime, end: datetime) -> bool:
    return any(begins < end and ends > start for begins, ends in periods)


def _rooms_free(rooms: list[Candidate], what: WantedTimes, start: datetime, end: datetime) -> set[str]:
    assert what.needs is not None
    return {
        room.uid
        for room in rooms
        if (room.capacity is None or room.capacity >= what.needs.people)
        and what.needs.features <= room.features
        and (room.longest is None or what.duration <= room.longest)
        and (room.bookable_until is None or start <= room.bookable_until)
        and not _clashes(room.taken, start, end)
        and not _clashes(room.closed, start, end)
    }


@given(PEOPLE, ROOMS, WANTED)
def test_the_suggestions_are_those_of_a_naive_search(
    people: list[Participant], rooms: list[Candidate], what: WantedTimes
) -> None:
    ranked = []
    for number in range(4 * 24):
        start = DAY + number * QUARTER
        end = start + what.duration
        if start < what.start or end > what.end:
            continue
        if what.hours is not None and not any(opens <= start and end <= closes for opens, closes in what.hours):
            continue
        free = set() if what.needs is None else _rooms_free(rooms, what, start, end)
        if what.needs is not None and not free:
            continue
        rank = [0, 0, 0, 0]
        for person in people:
            periods = person.busy or ()
            hard = any(
                each.start < end and each.end > start
                for each in periods
                if each.start < each.end and each.busy in (Busy.BUSY, Busy.UNAVAILABLE)
            )
            soft = person.busy is None or any(
                each.start < end and each.end > start
                for each in periods
                if each.start < each.end and each.busy is Busy.TENTATIVE
            )
            at_ = 0 if person.required else 2
            if hard:
                rank[at_] += 1
            elif soft:
                rank[at_ + 1] += 1
        ranked.append((rank, start, end, free))
    ranked.sort(key=lambda each: (each[0], each[1]))
    expected: list[Any] = []
    for each in ranked:
        apart = all(each[1] >= other[2] or each[2] <= other[1] for other in expected)
        if apart and each[0][0] <= what.missing and len(expected) < what.limit:
            expected.append(each)
    found = suggest(people, rooms, what, UTC)
    assert [
        (
            [len(each.missing), len(each.doubtful), len(each.optional_missing), len(each.optional_doubtful)],
            each.start,
            each.end,
        )
        for each in found.times
    ] == [each[:3] for each in expected]
    for time, (*_, free) in zip(found.times, expected, strict=True):
        assert {room.uid for room in time.rooms} <= free
        assert len(time.rooms) == min(len(free), 3)
        worst = max((_cost(room, what) for room in time.rooms), default=0)
        left = free - {room.uid for room in time.rooms}
        assert all(_cost(room, what) >= worst for room in rooms if room.uid in left)
    assert found.fewest_missing == min((each[0][0] for each in ranked), default=None)
    suiting = [(start, end) for rank, start, end, _ in ranked if rank[:2] == [0, 0]]
    assert found.next_free == min(suiting, default=None)


def _cost(room: Candidate, what: WantedTimes) -> int:
    assert what.needs is not None
    cost = 2 * len(room.features - what.needs.features)
    if what.needs.people:
        cost += 20 if room.capacity is None else room.capacity - what.needs.people
    return cost
