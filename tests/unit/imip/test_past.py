"""Meetings that are over."""

from datetime import UTC, datetime

import pytest

from server.imip.past import is_over
from server.itip.scheduling_object import read_object
from tests.unit.imip.kinds import text

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lines", "over"),
    [
        (("DTSTART:20260101T090000Z", "DURATION:PT1H"), True),
        (("DTSTART:20260228T090000Z", "DURATION:P7D"), False),
        (("DTSTART:20260401T090000Z",), False),
        (("DTSTART;VALUE=DATE:20260227",), True),
        (("DTSTART;VALUE=DATE:20260301",), False),
        (("DTSTART:20260228T230000",), False),
        (("DTSTART:20260101T090000Z", "RRULE:FREQ=DAILY"), False),
        (("DTSTART:20260101T090000Z", "RRULE:FREQ=DAILY;COUNT=5"), True),
        (("DTSTART:20260101T090000Z", "RRULE:FREQ=WEEKLY;COUNT=500"), False),
        (("DTSTART:20260101T090000Z", "RRULE:FREQ=DAILY;UNTIL=20260110T000000Z"), True),
        (("DTSTART:20260101T090000Z", "RDATE:20270101T090000Z"), False),
        (("DTSTART:not a time",), False),
        ((), False),
    ],
)
def test_what_lies_wholly_in_the_past(lines: tuple[str, ...], over: bool) -> None:
    assert is_over(read_object(text("REQUEST", lines)), NOW) is over
