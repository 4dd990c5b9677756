"""The recurrence engine against the brute-force evaluation.

`python -m tests.unit.calendar.time.many_rules 100000` looks at many more rules than CI does.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.calendar.iana import iana_zone
from server.calendar.recurrence import Series
from server.calendar.rrule import Frequency, RecurrenceRule
from server.calendar.work import Work
from tests.unit.calendar.time.brute_force import instances, placed
from tests.unit.calendar.time.strategies import rules, starts, whole_second

RULES = int(os.environ.get("KOYOMI_TEST_RULES", "2000"))
many = settings(max_examples=RULES, deadline=None, suppress_health_check=list(HealthCheck))
fewer = settings(max_examples=RULES // 8, deadline=None, suppress_health_check=list(HealthCheck))

REACH = {
    Frequency.YEARLY: timedelta(days=366 * 9),
    Frequency.MONTHLY: timedelta(days=1100),
    Frequency.WEEKLY: timedelta(days=500),
    Frequency.DAILY: timedelta(days=400),
    Frequency.HOURLY: timedelta(days=40),
    Frequency.MINUTELY: timedelta(days=3),
    Frequency.SECONDLY: timedelta(hours=3),
}
FAR = datetime(9999, 12, 31)


def engine(rule: RecurrenceRule, start: datetime, begin: datetime, end: datetime) -> list[datetime]:
    return list(Series(rule, start, None, Work(10**7)).between(begin, end))


@many
@given(rules(), starts, st.integers(0, 10**9), st.integers(0, 10**9))
def test_instances_from_the_start_and_of_any_window(
    rule: RecurrenceRule, start: datetime, from_part: int, to_part: int
) -> None:
    end = start + REACH[rule.freq]
    expected = instances(rule, start, end)
    assert engine(rule, start, start, end) == expected
    reach = int(REACH[rule.freq].total_seconds())
    begin = start + timedelta(seconds=from_part % reach)
    finish = begin + timedelta(seconds=to_part % reach)
    inside = [time for time in expected if begin <= time < finish]
    assert engine(rule, start, begin, min(finish, end)) == inside


@fewer
@given(rules(), st.datetimes(datetime(5, 1, 1), datetime(1900, 1, 1)).map(whole_second))
def test_instances_before_1900(rule: RecurrenceRule, start: datetime) -> None:
    end = start + REACH[rule.freq]
    assert engine(rule, start, start, end) == instances(rule, start, end)


@fewer
@given(rules(), starts, st.integers(0, 10**6), st.booleans())
def test_until_and_the_last_instance(rule: RecurrenceRule, start: datetime, until_part: int, whole_day: bool) -> None:
    end = start + REACH[rule.freq]
    until = start + timedelta(seconds=until_part % int(REACH[rule.freq].total_seconds()))
    rule = replace(rule, until=until)
    expected = instances(rule, start, end)
    assert engine(rule, start, start, FAR) == expected
    assert Series(rule, start, None, Work(10**7)).last() == expected[-1]


@fewer
@given(rules(), starts, st.integers(1, 10**4))
def test_counting_in_stretches_is_counting_one_by_one(rule: RecurrenceRule, start: datetime, number: int) -> None:
    end = start + REACH[rule.freq]
    expected = instances(replace(rule, count=None), start, end)
    series = Series(replace(rule, count=None), start, None, Work(10**7))
    begin = start + timedelta(seconds=number)
    inside = bisect_left(expected, begin)
    assert series._count(begin, end) == len(expected) - (inside if begin <= end else 0)


ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "America/Santiago",
)


def reference(name: str) -> ZoneInfo:
    package, _, file = f"tzdata.zoneinfo.{name.replace('/', '.')}".rpartition(".")
    with resources.files(package).joinpath(file).open("rb") as data:
        return ZoneInfo.from_file(data, name)


@fewer
@given(
    rules(),
    starts.filter(lambda time: 1990 < time.year < 2060),
    st.sampled_from(ZONES),
    st.integers(0, 23),
    st.none() | st.integers(0, 10**7),
)
def test_times_that_do_not_exist_are_read_with_the_offset_before_the_gap(
    rule: RecurrenceRule, start: datetime, name: str, hour: int, until_after: int | None
) -> None:
    info = reference(name)
    start = start.replace(hour=hour % 4, minute=start.minute // 30 * 30, second=0)
    end = start + REACH[rule.freq]
    if until_after is not None:
        first = start.replace(tzinfo=info).astimezone(UTC)
        rule = replace(rule, until=first + timedelta(seconds=until_after // 900 * 900))
    found = list(Series(rule, start, iana_zone(name), Work(10**7)).placed(start, end))
    assert [utc for utc, _ in found] == placed(rule, start, end, info)
    assert all(local.replace(tzinfo=info).astimezone(UTC) == utc for utc, local in found)
