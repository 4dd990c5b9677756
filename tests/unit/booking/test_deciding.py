"""The decision about an invitation: a table, and a naive model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.booking.deciding import ACCEPTED, DECLINED, OPEN, Answer, Reason, Request, Slot, commonest, decide
from server.booking.policy import Mode, Policy, Requester

DAY = datetime(2027, 1, 4, tzinfo=UTC)
ANYBODY = Requester()


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


def slot(start: float, end: float, name: str = "a") -> Slot:
    return Slot(name, at(start), at(end))


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
    found = decide(Policy(mode), [(at(11.5), at(13))], request, ANYBODY)
    assert {name: answer.partstat for name, answer in found.items()} == {"free": free, "busy": busy}


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
    (found,) = decide(Policy("automatic"), [(at(busy[0]), at(busy[1]))], Request((asked,), DAY), ANYBODY).values()
    if conflict is None:
        assert found == Answer(ACCEPTED, Reason.FREE)
    else:
        assert found == Answer(DECLINED, Reason.BUSY, (at(conflict[0]), at(conflict[1])))


def test_what_is_over_is_not_answered() -> None:
    request = Request((slot(8, 9, "over"), slot(8, 10, "runs"), slot(9, 10, "begins")), at(9))
    assert list(decide(Policy("automatic"), (), request, ANYBODY)) == ["runs", "begins"]


def test_the_auto_accept_group_gets_an_answer_in_any_mode() -> None:
    for mode in get_args(Mode):
        request = Request((slot(9, 10, "free"), slot(11, 12, "busy")), DAY)
        found = decide(Policy(mode), [(at(11), at(12))], request, Requester(auto_accepted=True))
        assert [each.partstat for each in found.values()] == [ACCEPTED, DECLINED]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("A", ACCEPTED),
        ("D", DECLINED),
        ("O", OPEN),
        ("AD", ACCEPTED),
        ("DDA", DECLINED),
        ("OD", DECLINED),
    ],
)
def test_the_commonest_answer_is_that_of_the_series(answers: str, expected: str) -> None:
    given = {"A": ACCEPTED, "D": DECLINED, "O": OPEN}
    assert commonest(Answer(given[each], Reason.FREE) for each in answers) == expected


MINUTES = st.integers(0, 60)
PERIODS = st.lists(st.tuples(MINUTES, MINUTES), max_size=8)


@given(st.sampled_from(MODES), PERIODS, PERIODS, MINUTES)
def test_the_answers_are_those_of_a_naive_model(
    mode: tuple[Mode, str, str], busy: list[tuple[int, int]], asked: list[tuple[int, int]], now: int
) -> None:
    slots = tuple(slot(min(each) / 60, max(each) / 60, str(index)) for index, each in enumerate(asked))
    taken = [(at(start / 60), at(end / 60)) for start, end in busy]
    found = decide(Policy(mode[0]), taken, Request(slots, at(now / 60)), ANYBODY)
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
