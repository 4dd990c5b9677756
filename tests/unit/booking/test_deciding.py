"""The decision about an invitation: tables, and a naive model."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.booking.deciding import (
    ACCEPTED,
    DECLINED,
    OPEN,
    TENTATIVE,
    Answer,
    PartStat,
    Reason,
    Request,
    RoomRules,
    Slot,
    commonest,
    decide,
    free_instead,
)
from server.booking.policy import Mode, Policy, Requester, policy_of_mode
from server.booking.policy_values import EVERYONE, NOBODY, Audience

DAY = datetime(2027, 1, 4, tzinfo=UTC)
ANYBODY = Requester()
ROOM = RoomRules()


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


def slot(start: float, end: float, name: str = "a", *, in_series: bool = False, people: int = 0) -> Slot:
    return Slot(name, at(start), at(end), in_series, people)


def series(*starts: float, length: float = 1) -> Request:
    slots = tuple(slot(start, start + length, str(index), in_series=True) for index, start in enumerate(starts))
    return Request(slots, DAY, whole_series=True)


MODES: list[tuple[Mode, str, str]] = [
    ("none", OPEN, OPEN),
    ("accept-always", ACCEPTED, ACCEPTED),
    ("decline-always", DECLINED, DECLINED),
    ("accept-if-free", ACCEPTED, OPEN),
    ("decline-if-busy", OPEN, DECLINED),
    ("automatic", ACCEPTED, DECLINED),
]


@pytest.mark.parametrize(("mode", "free", "busy"), MODES)
def test_each_mode_has_its_answers(mode: Mode, free: str, busy: str) -> None:
    request = Request((slot(9, 10, "free"), slot(11, 12, "busy")), DAY)
    found = decide(policy_of_mode(mode), [(at(11.5), at(13))], request, ANYBODY)
    assert found.partstats == {"free": free, "busy": busy}


@pytest.mark.parametrize(
    ("asked", "busy", "conflict"),
    [
        (slot(9, 10), (8, 9), None),
        (slot(9, 10), (10, 11), None),
        (slot(9, 10), (8, 9.5), (8, 9.5)),
        (slot(9, 10), (9.5, 11), (9.5, 11)),
        (slot(9, 10), (9.2, 9.4), (9.2, 9.4)),
        (slot(9, 10), (8, 12), (8, 12)),
        (slot(9, 9), (8, 9), None),
        (slot(9, 9), (9, 10), None),
        (slot(9, 9), (8, 10), (8, 10)),
        (slot(9, 10), (9.5, 9.5), None),
    ],
)
def test_touching_is_no_conflict(asked: Slot, busy: tuple[float, float], conflict: tuple[float, float] | None) -> None:
    policy, taken = policy_of_mode("automatic"), [(at(busy[0]), at(busy[1]))]
    (found,) = decide(policy, taken, Request((asked,), DAY), ANYBODY).answers.values()
    if conflict is None:
        assert found == Answer(ACCEPTED, (Reason.FREE,))
    else:
        assert found == Answer(DECLINED, (Reason.BUSY,), (at(conflict[0]), at(conflict[1])))


def test_what_is_over_is_not_answered() -> None:
    request = Request((slot(8, 9, "over"), slot(8, 10, "runs"), slot(9, 10, "begins")), at(9))
    assert list(decide(policy_of_mode("automatic"), (), request, ANYBODY).answers) == ["runs", "begins"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("A", ACCEPTED),
        ("D", DECLINED),
        ("O", OPEN),
        ("AD", ACCEPTED),
        ("TD", TENTATIVE),
        ("DDA", DECLINED),
        ("OD", DECLINED),
    ],
)
def test_the_commonest_answer_is_that_of_the_series(answers: str, expected: str) -> None:
    given: dict[str, PartStat] = {"A": ACCEPTED, "D": DECLINED, "O": OPEN, "T": TENTATIVE}
    assert commonest(Answer(given[each], (Reason.FREE,)) for each in answers) == expected


HOUR = slot(9, 10)
FAR = slot(24 * 181, 24 * 181 + 1)
BOOKERS = Audience(names=("team",))
TEAM = Requester(frozenset(["team"]))
BUSY = [(at(9), at(9.5))]
FREE, PENDING = (Reason.FREE,), (Reason.PENDING,)
RULES: list[tuple[Policy, Slot, Requester, RoomRules, PartStat, tuple[Reason, ...]]] = [
    # who
    (Policy(), HOUR, ANYBODY, ROOM, ACCEPTED, FREE),
    (Policy(automation="none"), HOUR, ANYBODY, ROOM, OPEN, (Reason.LEFT_OPEN,)),
    (Policy(automation="update"), HOUR, ANYBODY, ROOM, OPEN, (Reason.LEFT_OPEN,)),
    (Policy(book_in_policy=BOOKERS), HOUR, TEAM, ROOM, ACCEPTED, FREE),
    (Policy(book_in_policy=BOOKERS), HOUR, ANYBODY, ROOM, DECLINED, (Reason.NOT_ALLOWED,)),
    (Policy(book_in_policy=BOOKERS, request_in_policy=EVERYONE), HOUR, ANYBODY, ROOM, TENTATIVE, PENDING),
    (Policy(book_in_policy=BOOKERS, request_in_policy=EVERYONE), HOUR, TEAM, ROOM, ACCEPTED, FREE),
    (
        Policy(book_in_policy=NOBODY, request_in_policy=EVERYONE, tentative_while_pending=False),
        HOUR, ANYBODY, ROOM, OPEN, PENDING,
    ),
    (Policy(book_in_policy=NOBODY, request_out_of_policy=BOOKERS), HOUR, TEAM, ROOM, TENTATIVE, PENDING),
    (Policy(), HOUR, Requester(external=True), ROOM, DECLINED, (Reason.EXTERNAL,)),
    (Policy(request_out_of_policy=EVERYONE), HOUR, Requester(external=True), ROOM, DECLINED, (Reason.EXTERNAL,)),
    (Policy(allow_external=True), HOUR, Requester(external=True), ROOM, ACCEPTED, FREE),
    # each rule, and one who may break it
    (Policy(), FAR, ANYBODY, ROOM, DECLINED, (Reason.BEYOND_WINDOW,)),
    (Policy(booking_window_days=181), FAR, ANYBODY, ROOM, ACCEPTED, FREE),
    (Policy(booking_window_days=None), FAR, ANYBODY, ROOM, ACCEPTED, FREE),
    (
        Policy(request_out_of_policy=BOOKERS), FAR, TEAM, ROOM, TENTATIVE, (Reason.PENDING, Reason.BEYOND_WINDOW),
    ),
    (Policy(min_duration_minutes=60), HOUR, ANYBODY, ROOM, ACCEPTED, FREE),
    (Policy(min_duration_minutes=61), HOUR, ANYBODY, ROOM, DECLINED, (Reason.TOO_SHORT,)),
    (Policy(max_duration_minutes=60), HOUR, ANYBODY, ROOM, ACCEPTED, FREE),
    (Policy(max_duration_minutes=59), HOUR, ANYBODY, ROOM, DECLINED, (Reason.TOO_LONG,)),
    (Policy(), slot(9, 33.1), ANYBODY, ROOM, DECLINED, (Reason.TOO_LONG,)),
    (Policy(allow_recurring=False), replace(HOUR, in_series=True), ANYBODY, ROOM, DECLINED, (Reason.RECURRING,)),
    (Policy(allow_recurring=False), HOUR, ANYBODY, ROOM, ACCEPTED, FREE),
    (Policy(), HOUR, ANYBODY, RoomRules(closed=((at(0), at(24)),)), ACCEPTED, FREE),
    (
        Policy(opening_hours_only=True),
        HOUR, ANYBODY, RoomRules(closed=((at(0), at(9)), (at(10), at(24)))), ACCEPTED, FREE,
    ),
    (
        Policy(opening_hours_only=True),
        HOUR, ANYBODY, RoomRules(closed=((at(0), at(9.1)),)), DECLINED, (Reason.CLOSED,),
    ),
    (Policy(), slot(9, 10, people=9), ANYBODY, RoomRules(capacity=8), ACCEPTED, FREE),
    (Policy(capacity="enforce"), slot(9, 10, people=8), ANYBODY, RoomRules(capacity=8), ACCEPTED, FREE),
    (Policy(capacity="enforce"), slot(9, 10, people=9), ANYBODY, ROOM, ACCEPTED, FREE),
    (
        Policy(capacity="enforce"),
        slot(9, 10, people=9), ANYBODY, RoomRules(capacity=8), DECLINED, (Reason.TOO_MANY_PEOPLE,),
    ),
    (
        Policy(max_duration_minutes=30, booking_window_days=1),
        slot(48, 49), ANYBODY, ROOM, DECLINED, (Reason.BEYOND_WINDOW, Reason.TOO_LONG),
    ),
    # no time at all
    (Policy(request_out_of_policy=EVERYONE), slot(9, 9), ANYBODY, ROOM, DECLINED, (Reason.NO_TIME,)),
    (policy_of_mode("accept-always"), slot(10, 9), ANYBODY, ROOM, DECLINED, (Reason.NO_TIME,)),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "asked", "who", "room", "partstat", "reasons"), RULES)
def test_each_rule_has_its_answer(
    policy: Policy, asked: Slot, who: Requester, room: RoomRules, partstat: PartStat, reasons: tuple[Reason, ...]
) -> None:
    (found,) = decide(policy, (), Request((asked,), DAY), who, room).answers.values()
    assert found == Answer(partstat, reasons)


@pytest.mark.parametrize(
    ("policy", "who", "partstat", "reasons"),
    [
        (Policy(), ANYBODY, DECLINED, (Reason.BUSY,)),
        (Policy(allow_conflicts=True), ANYBODY, ACCEPTED, FREE),
        (Policy(request_out_of_policy=BOOKERS), TEAM, DECLINED, (Reason.BUSY,)),
        (Policy(book_in_policy=BOOKERS), ANYBODY, DECLINED, (Reason.BUSY, Reason.NOT_ALLOWED)),
        (Policy(max_duration_minutes=30), ANYBODY, DECLINED, (Reason.BUSY, Reason.TOO_LONG)),
    ],
)
def test_a_conflict_is_declined_whoever_asks(
    policy: Policy, who: Requester, partstat: PartStat, reasons: tuple[Reason, ...]
) -> None:
    (found,) = decide(policy, BUSY, Request((HOUR,), DAY), who, ROOM).answers.values()
    assert (found.partstat, found.reasons) == (partstat, reasons)
    assert found.conflict == (BUSY[0] if partstat == DECLINED else None)


A, D = ACCEPTED, DECLINED


@pytest.mark.parametrize(
    ("percentage", "most", "busy", "expected"),
    [
        (0, 0, [], [A, A, A, A]),
        (0, 0, [10], [D, D, D, D]),
        (0, None, [10], [D, D, D, D]),
        (25, 1, [10], [D, A, A, A]),
        (24, 1, [10], [D, D, D, D]),
        (25, 0, [10], [D, D, D, D]),
        (None, 1, [10], [D, A, A, A]),
        (None, 1, [10, 34], [D, D, D, D]),
        (50, None, [10, 34], [D, D, A, A]),
        (None, None, [10, 34, 58], [D, D, D, A]),
        (100, 5000, [10, 34, 58, 82], [D, D, D, D]),
    ],
)
def test_a_series_is_accepted_within_both_limits_of_conflicts(
    percentage: int | None, most: int | None, busy: list[float], expected: list[PartStat]
) -> None:
    policy = Policy(conflict_percentage_allowed=percentage, max_conflict_instances=most)
    taken = [(at(hour), at(hour + 1)) for hour in busy]
    found = decide(policy, taken, series(10, 34, 58, 82), ANYBODY, ROOM)
    assert list(found.partstats.values()) == expected
    assert found.of_series == max(expected, key=lambda each: (expected.count(each), each == A))
    spared = {each for each, answer in found.answers.items() if answer.reasons == (Reason.SERIES_CONFLICTS,)}
    assert spared == {each for each, answer in found.answers.items() if answer.partstat == D and not answer.conflict}


def test_one_moved_instance_declines_only_itself() -> None:
    moved = Request((slot(9, 10, in_series=True),), DAY)
    assert decide(Policy(), BUSY, moved, ANYBODY, ROOM).answers["a"].reasons == (Reason.BUSY,)


def test_a_series_beyond_the_window_is_truncated_or_declined() -> None:
    request, limit = series(10, 34, 58, 82), DAY + timedelta(days=2)
    found = decide(Policy(booking_window_days=2), [(at(10), at(11))], request, ANYBODY, ROOM)
    assert (found.of_series, found.booked_until) == (D, None), "above the limits of conflicts"
    found = decide(Policy(booking_window_days=2), (), request, ANYBODY, ROOM)
    assert [each.reasons[0] for each in found.answers.values()] == [Reason.FREE] * 2 + [Reason.LATER] * 2
    assert (set(found.partstats.values()), found.of_series, found.booked_until) == ({A}, A, limit)
    found = decide(Policy(booking_window_days=2), [(at(58), at(59))], request, ANYBODY, ROOM)
    assert list(found.partstats.values()) == [A, A, D, A], "what conflicts later is declined alone"
    found = decide(Policy(booking_window_days=2, beyond_window="decline"), (), request, ANYBODY, ROOM)
    assert {each.reasons for each in found.answers.values()} == {(Reason.BEYOND_WINDOW,)}
    assert (found.of_series, found.booked_until) == (D, None)
    endless = replace(series(10, 34), goes_on=True)
    found = decide(Policy(booking_window_days=2), (), endless, ANYBODY, ROOM)
    assert (found.of_series, found.booked_until) == (A, limit)
    found = decide(Policy(booking_window_days=2, beyond_window="decline"), (), endless, ANYBODY, ROOM)
    assert found.of_series == D
    known = replace(endless, known_until=DAY + timedelta(days=1))
    for days in (2, None):
        found = decide(Policy(booking_window_days=days), (), known, ANYBODY, ROOM)
        assert (found.of_series, found.booked_until) == (A, known.known_until), "what is stored is booked"
    late = decide(Policy(booking_window_days=2), (), series(58, 82), ANYBODY, ROOM)
    assert {each.reasons for each in late.answers.values()} == {(Reason.BEYOND_WINDOW,)}


def test_a_series_that_would_take_nothing_is_declined_whoever_asks() -> None:
    """Others would get the times of what is not stored."""
    dense = replace(series(10, 34), goes_on=True, known_until=DAY)
    assert dense.takes_nothing
    for policy in (Policy(), Policy(request_out_of_policy=EVERYONE), policy_of_mode("accept-if-free")):
        found = decide(policy, (), dense, ANYBODY, ROOM)
        assert {each.partstat for each in found.answers.values()} == {D}
        assert all(Reason.TOO_OFTEN in each.reasons for each in found.answers.values())
    assert decide(policy_of_mode("accept-always"), (), dense, ANYBODY, ROOM).of_series == A


def test_one_meeting_does_not_take_a_room_twice_at_once() -> None:
    overlapping = series(10, 10.5, 11)
    policy = Policy(conflict_percentage_allowed=None, max_conflict_instances=None)
    assert list(decide(policy, (), overlapping, ANYBODY, ROOM).partstats.values()) == [A, D, A]
    gap = RoomRules(gap=timedelta(minutes=15))
    assert list(decide(policy, (), overlapping, ANYBODY, gap).partstats.values()) == [A, D, D]
    many = replace(policy, allow_conflicts=True)
    assert list(decide(many, (), overlapping, ANYBODY, gap).partstats.values()) == [A, A, A]


@pytest.mark.parametrize(
    ("busy", "policy", "room", "expected"),
    [
        ([(9, 9.5)], Policy(), ROOM, 9.5),
        ([(9, 9.5), (10, 11)], Policy(), ROOM, 11),
        ([(9, 9.5)], Policy(opening_hours_only=True), RoomRules(closed=((at(10), at(20)),)), 20),
        ([(9, 30)], Policy(), ROOM, 30),
        ([(9, 48)], Policy(), ROOM, None),
        ([(9, 30)], Policy(booking_window_days=1), ROOM, None),
    ],
)
def test_the_next_free_time_keeps_to_the_rules(
    busy: list[tuple[float, float]], policy: Policy, room: RoomRules, expected: float | None
) -> None:
    taken = [(at(start), at(end)) for start, end in busy]
    decision = decide(policy, taken, Request((HOUR,), DAY), ANYBODY, room)
    found = free_instead(policy, taken, decision, HOUR, DAY, at(48), room)
    assert found == (None if expected is None else (at(expected), at(expected + 1)))


MINUTES = st.integers(0, 60)
PERIODS = st.lists(st.tuples(MINUTES, MINUTES), max_size=8)


@given(st.sampled_from(MODES), PERIODS, PERIODS, MINUTES)
def test_the_answers_of_modes_are_those_of_a_naive_model(
    mode: tuple[Mode, str, str], busy: list[tuple[int, int]], asked: list[tuple[int, int]], now: int
) -> None:
    slots = tuple(slot(min(each) / 60, max(each) / 60, str(index)) for index, each in enumerate(asked))
    taken = [(at(start / 60), at(end / 60)) for start, end in busy]
    found = decide(policy_of_mode(mode[0]), taken, Request(slots, at(now / 60)), ANYBODY).answers
    for each in slots:
        if each.end <= at(now / 60):
            assert each.instance not in found
            continue
        minutes = [at(minute / 60) for minute in range(61)]
        if each.start == each.end:
            # What has no length is busy where the time before and after it is.
            before = each.start - timedelta(minutes=1)
            clash = all(any(start <= minute < end for start, end in taken) for minute in (before, each.start))
        else:
            clash = any(each.start <= m < each.end and any(start <= m < end for start, end in taken) for m in minutes)
        assert found[each.instance].partstat == mode[2 if clash else 1]


LIMITS = st.none() | st.integers(0, 3)
WHO = st.sampled_from([EVERYONE, NOBODY, BOOKERS])
POLICIES = st.builds(
    Policy,
    book_in_policy=WHO,
    request_in_policy=WHO,
    request_out_of_policy=WHO,
    tentative_while_pending=st.booleans(),
    booking_window_days=st.none() | st.just(0),
    min_duration_minutes=st.none() | st.integers(1, 30),
    max_duration_minutes=st.none() | st.integers(10, 60),
    opening_hours_only=st.booleans(),
    allow_recurring=st.booleans(),
    allow_conflicts=st.booleans(),
    conflict_percentage_allowed=st.none() | st.sampled_from([0, 20, 50, 100]),
    max_conflict_instances=LIMITS,
    capacity=st.sampled_from(["off", "warn", "enforce"]),
    allow_external=st.booleans(),
    beyond_window=st.just("decline"),
)


@given(
    POLICIES,
    PERIODS,
    PERIODS,
    st.lists(st.tuples(MINUTES, MINUTES, st.integers(0, 9)), max_size=6),
    st.builds(Requester, st.sampled_from([frozenset[str](), frozenset(["team"])]), st.booleans()),
    st.integers(0, 5),
    st.booleans(),
)
def test_the_answers_of_policies_are_those_of_a_naive_model(
    policy: Policy,
    busy: list[tuple[int, int]],
    closed: list[tuple[int, int]],
    asked: list[tuple[int, int, int]],
    who: Requester,
    gap: int,
    in_series: bool,
) -> None:
    """The model marks each minute, and asks each rule in words of its own."""
    window_at = 20
    slots = [
        Slot(str(index), at(min(a, b) / 60), at(max(a, b) / 60), in_series, people)
        for index, (a, b, people) in enumerate(asked)
    ]
    room = RoomRules(timedelta(minutes=gap), 5, tuple((at(start / 60), at(end / 60)) for start, end in closed))
    taken = [(at(start / 60), at(end / 60)) for start, end in busy]
    now = at(0) - timedelta(seconds=1)
    if policy.booking_window_days is not None:
        now = at(window_at / 60)
    found = decide(policy, taken, Request(tuple(slots), now, whole_series=in_series), who, room)

    def minutes(start: datetime, end: datetime) -> set[int]:
        return {m for m in range(-10, 80) if start <= at(m / 60) < end}

    is_taken = {m for start, end in taken for m in minutes(start, end)}
    is_closed = {m for start, end in room.closed for m in minutes(start, end)}
    left = sorted((each for each in slots if each.end > now), key=lambda each: (each.start, each.end))
    some_late = policy.booking_window_days is not None and any(each.start > now for each in left)
    member = "team" in who.matches

    def has(audience: Audience) -> bool:
        return audience == EVERYONE or (audience == BOOKERS and member)

    def is_whole(each: Slot, marked: set[int]) -> bool:
        """Whether it overlaps something, by minutes; of no length, whether it lies within something."""
        if each.start < each.end:
            return bool(minutes(each.start, each.end) & marked)
        minute = round((each.start - DAY) / timedelta(minutes=1))
        return {minute - 1, minute} <= marked

    expected: dict[str, str] = {}
    clashes = 0
    own: set[int] = set()
    for each in left:
        length = (each.end - each.start) / timedelta(minutes=1)
        late = some_late if in_series else policy.booking_window_days is not None and each.start > now
        fatal = (who.external and not policy.allow_external) or length == 0
        broken = (
            (in_series and not policy.allow_recurring)
            or late
            or (policy.min_duration_minutes is not None and length < policy.min_duration_minutes)
            or (policy.max_duration_minutes is not None and length > policy.max_duration_minutes)
            or (policy.opening_hours_only and is_whole(each, is_closed))
            or (policy.capacity == "enforce" and each.people > 5)
        )
        starts = round((each.start - DAY) / timedelta(minutes=1))
        clash = not policy.allow_conflicts and (is_whole(each, is_taken) or starts in own)
        if fatal or clash:
            answer = DECLINED
        elif broken:
            pending = TENTATIVE if policy.tentative_while_pending else OPEN
            answer = pending if has(policy.request_out_of_policy) else DECLINED
        elif has(policy.book_in_policy):
            answer = ACCEPTED
        elif has(policy.request_in_policy) or has(policy.request_out_of_policy):
            answer = TENTATIVE if policy.tentative_while_pending else OPEN
        else:
            answer = DECLINED
        clashes += clash
        expected[each.instance] = answer
        if answer in (ACCEPTED, TENTATIVE):
            own |= minutes(each.start, each.end + room.gap)
    if in_series and clashes:
        share = policy.conflict_percentage_allowed
        too_many = policy.max_conflict_instances is not None and clashes > policy.max_conflict_instances
        if too_many or (share is not None and clashes / len(left) * 100 > share):
            expected = dict.fromkeys(expected, DECLINED)
    assert found.partstats == expected
    assert all(each.reasons for each in found.answers.values())
