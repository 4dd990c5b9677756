"""The parser of RECUR: what is lenient, and what is refused with a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calendar.rrule import MAX_COUNT, Frequency, RecurrenceRule, parse_rule
from server.domain.errors import InvalidCalendarData
from tests.unit.calendar.time.strategies import rules
from tests.unit.calendar.time.test_second_opinions import written


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("FREQ=DAILY", RecurrenceRule(Frequency.DAILY)),
        ("freq=weekly;byday=mo,We", RecurrenceRule(Frequency.WEEKLY, by_day=((0, 0), (0, 2)))),
        (" COUNT=3 ; FREQ = DAILY ;", RecurrenceRule(Frequency.DAILY, count=3)),
        ("FREQ=DAILY;INTERVAL=0", RecurrenceRule(Frequency.DAILY)),
        ("FREQ=DAILY;INTERVAL=-2", RecurrenceRule(Frequency.DAILY)),
        ("FREQ=DAILY;COUNT=0", RecurrenceRule(Frequency.DAILY)),
        ("FREQ=DAILY;COUNT=-1", RecurrenceRule(Frequency.DAILY)),
        ("FREQ=DAILY;COUNT=+007", RecurrenceRule(Frequency.DAILY, count=7)),
        ("FREQ=DAILY;BYMONTH=;X-WHAT=1", RecurrenceRule(Frequency.DAILY)),
        ("FREQ=DAILY;BYHOUR=9, 10", RecurrenceRule(Frequency.DAILY, by_hour=(9, 10))),
        ("FREQ=DAILY;BYSECOND=60,59", RecurrenceRule(Frequency.DAILY, by_second=(59,))),
        ("FREQ=MONTHLY;BYDAY=+1MO,-1FR", RecurrenceRule(Frequency.MONTHLY, by_day=((-1, 4), (1, 0)))),
        ("FREQ=DAILY;UNTIL=20260131", RecurrenceRule(Frequency.DAILY, until=date(2026, 1, 31))),
        ("FREQ=DAILY;UNTIL=20260131T090000", RecurrenceRule(Frequency.DAILY, until=datetime(2026, 1, 31, 9))),
        (
            "FREQ=DAILY;UNTIL=20260131T090000Z",
            RecurrenceRule(Frequency.DAILY, until=datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ),
        ("RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=OMIT", RecurrenceRule(Frequency.YEARLY)),
        ("FREQ=DAILY;COUNT=99999999999999999999", RecurrenceRule(Frequency.DAILY, count=MAX_COUNT)),
        ("FREQ=DAILY;COUNT=2;COUNT=2", RecurrenceRule(Frequency.DAILY, count=2)),
    ],
)
def test_accepted(text: str, rule: RecurrenceRule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "COUNT=3",
        "FREQ=FORTNIGHTLY",
        "FREQ=DAILY;COUNT=x",
        "FREQ=DAILY;COUNT=--1",
        "FREQ=DAILY;COUNT=²",
        "FREQ=DAILY;COUNT=1;COUNT=2",
        "FREQ=DAILY;INTERVAL=1.5",
        "FREQ=DAILY;UNTIL=tomorrow",
        "FREQ=DAILY;UNTIL=20260231",
        "FREQ=DAILY;BYMONTH=13",
        "FREQ=DAILY;BYMONTH=-1",
        "FREQ=DAILY;BYMONTHDAY=0",
        "FREQ=DAILY;BYMONTHDAY=32",
        "FREQ=DAILY;BYYEARDAY=367",
        "FREQ=DAILY;BYWEEKNO=54",
        "FREQ=DAILY;BYHOUR=24",
        "FREQ=DAILY;BYSECOND=61",
        "FREQ=DAILY;BYSETPOS=0",
        "FREQ=DAILY;BYDAY=XX",
        "FREQ=DAILY;BYDAY=54MO",
        "FREQ=DAILY;BYEASTER=0",
        "FREQ=DAILY;WKST=1",
        "RSCALE=HEBREW;FREQ=YEARLY",
        "RSCALE=GREGORIAN;FREQ=YEARLY;SKIP=FORWARD",
        "FREQ=DAILY;BYMONTH=" + "9" * 5000,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(InvalidCalendarData):
        parse_rule(text)


@given(rules())
def test_what_is_written_is_read(rule: RecurrenceRule) -> None:
    assert parse_rule(written(rule)) == rule


@given(st.text(max_size=60) | st.text(max_size=60).map(lambda text: f"FREQ=DAILY;{text}"))
def test_any_text_is_a_rule_or_an_error(text: str) -> None:
    try:
        parse_rule(text)
    except InvalidCalendarData as error:
        assert error.message
