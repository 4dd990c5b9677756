"""dateutil and recurring-ical-events as second opinions; `differences.md` settles where they may differ."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import icalendar
import recurring_ical_events
from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, Phase, assume, given, reject, settings
from hypothesis import strategies as st

from server.calendar.component import parse_calendar
from server.calendar.component_times import as_utc
from server.calendar.materialise import row_of
from server.calendar.recurrence import Series
from server.calendar.recurrence_set import recurrence_set
from server.calendar.rrule import WEEKDAYS, Frequency, RecurrenceRule
from server.calendar.vtimezone import CalendarZones
from server.calendar.work import Work
from tests.unit.calendar.time.strategies import rules, starts

MOST = 2000
RULES = int(os.environ.get("KOYOMI_TEST_RULES", "2000"))
some = settings(
    max_examples=RULES // 8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes: the others are slow
)

REACH = {
    Frequency.YEARLY: timedelta(days=366 * 6),
    Frequency.MONTHLY: timedelta(days=900),
    Frequency.WEEKLY: timedelta(days=400),
    Frequency.DAILY: timedelta(days=300),
    Frequency.HOURLY: timedelta(days=20),
    Frequency.MINUTELY: timedelta(days=1),
    Frequency.SECONDLY: timedelta(hours=1),
}


def written(rule: RecurrenceRule) -> str:
    """The rule as a RECUR value."""
    parts = [f"FREQ={rule.freq.name}"]
    if rule.interval > 1:
        parts.append(f"INTERVAL={rule.interval}")
    if rule.count is not None:
        parts.append(f"COUNT={rule.count}")
    if isinstance(rule.until, datetime):
        parts.append(f"UNTIL={rule.until:%Y%m%dT%H%M%S}{'Z' if rule.until.tzinfo else ''}")
    elif isinstance(rule.until, date):
        parts.append(f"UNTIL={rule.until:%Y%m%d}")
    for name, numbers in (
        ("BYMONTH", rule.by_month),
        ("BYWEEKNO", rule.by_week_no),
        ("BYYEARDAY", rule.by_year_day),
        ("BYMONTHDAY", rule.by_month_day),
        ("BYHOUR", rule.by_hour),
        ("BYMINUTE", rule.by_minute),
        ("BYSECOND", rule.by_second),
        ("BYSETPOS", rule.by_set_pos),
    ):
        if numbers:
            parts.append(f"{name}={','.join(map(str, numbers))}")
    if rule.by_day:
        parts.append("BYDAY=" + ",".join(f"{ordinal or ''}{WEEKDAYS[weekday]}" for ordinal, weekday in rule.by_day))
    if rule.wkst:
        parts.append(f"WKST={WEEKDAYS[rule.wkst]}")
    return ";".join(parts)


def is_settled(rule: RecurrenceRule) -> bool:
    """Whether dateutil reads the rule as we do: see differences.md for each condition."""
    freq = rule.freq
    expands_days = bool(rule.by_month_day or rule.by_day or rule.by_year_day)
    return not (
        (rule.by_week_no and freq is not Frequency.YEARLY)
        or (rule.by_week_no and (not expands_days or rule.interval > 1 or rule.by_set_pos))
        or (rule.by_week_no and any(ordinal for ordinal, _ in rule.by_day))
        or any(number <= -52 for number in rule.by_week_no)
        or (rule.by_year_day and freq in (Frequency.MONTHLY, Frequency.WEEKLY))
        or (rule.by_month_day and freq is Frequency.WEEKLY)
        or (rule.by_day and any(o for o, _ in rule.by_day) and any(not o for o, _ in rule.by_day))
        or (rule.by_set_pos and freq >= Frequency.WEEKLY and freq is not Frequency.DAILY)
        or (any(o for o, _ in rule.by_day) and (rule.by_year_day or rule.by_month_day))
        or (any(abs(o) > 5 for o, _ in rule.by_day) and rule.by_month)
    )


@some
@given(rules(), starts)
def test_dateutil(rule: RecurrenceRule, start: datetime) -> None:
    assume(is_settled(rule))
    end = start + REACH[rule.freq]
    series = Series(replace(rule, count=None), start, None, Work(10**7))
    assume(next(series.between(end, end + REACH[rule.freq]), None) is not None)  # it walks on for ever otherwise
    theirs = [start]
    try:
        found = rrulestr(written(replace(rule, count=None, until=end)), dtstart=start)
        theirs += islice((instance for instance in found if start < instance < end), MOST)
    except ValueError as error:
        assert "empty" in str(error), "dateutil refuses rules that match nothing"
    ours = Series(rule, start, None, Work(10**7)).between(start, end)
    assert list(islice(ours, MOST)) == theirs[: min(MOST, rule.count or MOST)]


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Tokyo", "UTC")
plain_rules = rules((Frequency.YEARLY, Frequency.MONTHLY, Frequency.WEEKLY, Frequency.DAILY)).filter(
    lambda rule: not rule.by_hour  # so that no instance reaches over a change of offset
)


@st.composite
def events(draw: st.DrawFn) -> tuple[str, datetime]:
    """The text of a recurring event, and its start (local)."""
    rule = draw(plain_rules.filter(is_settled))
    start = draw(starts.filter(lambda time: 1990 < time.year < 2035))
    start = start.replace(hour=start.hour // 4 + 8, minute=0, second=0)
    kind = draw(st.sampled_from(("zoned", "zoned", "floating", "date", "utc")))
    zone = draw(st.sampled_from(ZONES[:-1]))
    if kind == "date":
        rule = replace(rule, by_hour=(), by_minute=(), by_second=(), freq=min(rule.freq, Frequency.DAILY))
        start = start.replace(hour=0)

    def value(name: str, local: datetime) -> str:
        if kind == "date":
            return f"{name};VALUE=DATE:{local:%Y%m%d}"
        if kind == "zoned":
            return f"{name};TZID={zone}:{local:%Y%m%dT%H%M%S}"
        return f"{name}:{local:%Y%m%dT%H%M%S}{'Z' if kind == 'utc' else ''}"

    assume(is_settled(rule))
    if rule.count is not None and not Series(replace(rule, count=None), start, None, Work()).generates(start):
        rule = replace(rule, count=None)
    hours = draw(st.integers(1, 9))
    length = timedelta(days=hours % 4 + 1) if kind == "date" else timedelta(hours=hours)
    by_duration = draw(st.booleans())
    lines = ["BEGIN:VEVENT", "UID:one", "DTSTAMP:20200101T000000Z", value("DTSTART", start), f"RRULE:{written(rule)}"]
    if by_duration:
        lines.append(f"DURATION:P{length.days}D" if kind == "date" else f"DURATION:PT{hours}H")
    else:
        lines.append(value("DTEND", start + length))
    reach = start + timedelta(days=500)
    found = [t for _, t in zip(range(12), Series(rule, start, None, Work()).between(start, reach), strict=False)]
    excluded = draw(st.lists(st.sampled_from(found[1:]), max_size=3, unique=True)) if len(found) > 1 else []
    lines += [value("EXDATE", time) for time in excluded]
    extra = draw(st.lists(st.integers(1, 400), max_size=2, unique=True))
    lines += [value("RDATE", start + timedelta(days=days)) for days in extra]
    lines.append("END:VEVENT")
    left = [time for time in found[1:] if time not in excluded]
    for number in draw(st.lists(st.integers(0, 11), max_size=2, unique=True)):
        if number < len(left):
            moved = left[number] + timedelta(days=draw(st.integers(-40, 40)))
            lines += ["BEGIN:VEVENT", "UID:one", "DTSTAMP:20200101T000000Z", value("RECURRENCE-ID", left[number])]
            lines += [value("DTSTART", moved), value("DTEND", moved + timedelta(days=1)), "SUMMARY:moved", "END:VEVENT"]
    text = "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *lines, "END:VCALENDAR", ""])
    return text, start


def in_utc(value: Any) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@settings(some, max_examples=RULES // 25)
@given(events(), st.integers(0, 500), st.integers(1, 200))
def test_recurring_ical_events(event: tuple[str, datetime], skip: int, days: int) -> None:
    text, start = event
    begin = as_utc(start, None).replace(hour=0) + timedelta(days=skip)
    end = begin + timedelta(days=days)
    calendar = parse_calendar(text)
    recurrences = recurrence_set(list(enumerate(calendar.components)), CalendarZones(calendar), Work(10**7))
    ours = sorted((row.start, row.end) for row in map(row_of, recurrences.instances(begin, end)))
    try:
        found = recurring_ical_events.of(icalendar.Calendar.from_ical(text)).between(begin, end)
    except recurring_ical_events.BadRuleStringFormat:
        reject()  # dateutil refuses rules that match nothing
    theirs = sorted((in_utc(item.start), in_utc(item.end)) for item in found)
    assert ours == theirs
