"""Recurrence rules as RFC 5545 §3.3.10 writes them, from what the lenient parser understands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time

from server.calendar.component_times import Moment, as_utc
from server.calendar.rrule import WEEKDAYS, RecurrenceRule
from server.domain.occurrences import Kind

_LISTS = (
    ("BYMONTH", "by_month"),
    ("BYWEEKNO", "by_week_no"),
    ("BYYEARDAY", "by_year_day"),
    ("BYMONTHDAY", "by_month_day"),
    ("BYHOUR", "by_hour"),
    ("BYMINUTE", "by_minute"),
    ("BYSECOND", "by_second"),
)


def written_rule(rule: RecurrenceRule, start: Moment | None) -> str:
    """A rule as a RECUR value, whose UNTIL has the form that DTSTART asks for: a date, or a time in UTC."""
    parts = [f"FREQ={rule.freq.name}"]
    if rule.count is not None:
        parts.append(f"COUNT={rule.count}")
    elif rule.until is not None:
        parts.append(f"UNTIL={_until(rule.until, start)}")
    if rule.interval != 1:
        parts.append(f"INTERVAL={rule.interval}")
    dates = start is not None and start.kind is Kind.DATE
    for name, field in _LISTS:
        numbers: tuple[int, ...] = getattr(rule, field)
        if numbers and not (dates and name in ("BYHOUR", "BYMINUTE", "BYSECOND")):
            parts.append(f"{name}={_joined(numbers)}")
    if rule.by_day:
        parts.append("BYDAY=" + _joined(str(number or "") + WEEKDAYS[day] for number, day in rule.by_day))
    if rule.by_set_pos:
        parts.append(f"BYSETPOS={_joined(rule.by_set_pos)}")
    if rule.wkst:
        parts.append(f"WKST={WEEKDAYS[rule.wkst]}")
    return ";".join(parts)


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _until(until: date | datetime, start: Moment | None) -> str:
    if start is not None and start.kind is Kind.DATE:
        return f"{until.year:04d}{until:%m%d}"
    if not isinstance(until, datetime):
        until = datetime.combine(until, time(23, 59, 59))
    if until.tzinfo is None:
        until = as_utc(until, None if start is None else start.zone)
    return f"{until.year:04d}{until:%m%dT%H%M%S}Z"
