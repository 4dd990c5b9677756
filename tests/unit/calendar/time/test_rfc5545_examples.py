"""Every example of RFC 5545 §3.8.5.3, and the one of §3.3.10."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

import pytest

from server.calendar.iana import iana_zone
from server.calendar.recurrence import Series
from server.calendar.rrule import parse_rule
from server.calendar.work import Work


def days(text: str, time: str = "09:00") -> list[datetime]:
    """`1997 September 2-4,7; October 1` as date-times; several years are separated by bars."""
    found = []
    hour, minute = (int(part) for part in time.split(":"))
    for group in text.split("|"):
        year, rest = group.split(maxsplit=1)
        for month_group in rest.split(";"):
            name, numbers = month_group.split(maxsplit=1)
            month = list(month_name).index(name)
            for part in numbers.replace(" ", "").split(","):
                first, _, last = part.partition("-")
                for day in range(int(first), int(last or first) + 1):
                    found.append(datetime(int(year), month, day, hour, minute))
    return found


def daily(first: str, last: str, step: int = 1) -> list[datetime]:
    start, end = (datetime.strptime(text, "%Y-%m-%d") + timedelta(hours=9) for text in (first, last))
    return [start + timedelta(days=day) for day in range(0, (end - start).days + 1, step)]


def instances(start: str, rule: str) -> Iterator[datetime]:
    begin = datetime.strptime(start, "%Y%m%dT%H%M%S")
    series = Series(parse_rule(rule), begin, iana_zone("America/New_York"), Work())
    return series.between(begin, datetime(2030, 1, 1))


FINITE = [
    ("19970902T090000", "FREQ=DAILY;COUNT=10", days("1997 September 2-11")),
    ("19970902T090000", "FREQ=DAILY;UNTIL=19971224T000000Z", daily("1997-09-02", "1997-12-23")),
    ("19970902T090000", "FREQ=DAILY;INTERVAL=10;COUNT=5", days("1997 September 2,12,22; October 2,12")),
    (
        "19980101T090000",
        "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
        days("1998 January 1-31|1999 January 1-31|2000 January 1-31"),
    ),
    (
        "19980101T090000",
        "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
        days("1998 January 1-31|1999 January 1-31|2000 January 1-31"),
    ),
    (
        "19970902T090000",
        "FREQ=WEEKLY;COUNT=10",
        days("1997 September 2,9,16,23,30; October 7,14,21,28; November 4"),
    ),
    (
        "19970902T090000",
        "FREQ=WEEKLY;UNTIL=19971224T000000Z",
        days("1997 September 2,9,16,23,30; October 7,14,21,28; November 4,11,18,25; December 2,9,16,23"),
    ),
    (
        "19970902T090000",
        "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
        days("1997 September 2,4,9,11,16,18,23,25,30; October 2"),
    ),
    (
        "19970902T090000",
        "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH",
        days("1997 September 2,4,9,11,16,18,23,25,30; October 2"),
    ),
    (
        "19970901T090000",
        "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
        days(
            "1997 September 1,3,5,15,17,19,29; October 1,3,13,15,17,27,29,31; November 10,12,14,24,26,28;"
            "December 8,10,12,22"
        ),
    ),
    (
        "19970902T090000",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
        days("1997 September 2,4,16,18,30; October 2,14,16"),
    ),
    (
        "19970905T090000",
        "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
        days(
            "1997 September 5; October 3; November 7; December 5"
            "|1998 January 2; February 6; March 6; April 3; May 1; June 5"
        ),
    ),
    (
        "19970905T090000",
        "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR",
        days("1997 September 5; October 3; November 7; December 5"),
    ),
    (
        "19970907T090000",
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        days("1997 September 7,28; November 2,30|1998 January 4,25; March 1,29; May 3,31"),
    ),
    (
        "19970922T090000",
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        days("1997 September 22; October 20; November 17; December 22|1998 January 19; February 16"),
    ),
    (
        "19970902T090000",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
        days("1997 September 2,15; October 2,15; November 2,15; December 2,15|1998 January 2,15"),
    ),
    (
        "19970930T090000",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
        days("1997 September 30; October 1,31; November 1,30; December 1,31|1998 January 1,31; February 1"),
    ),
    (
        "19970910T090000",
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        days("1997 September 10-15|1999 March 10-13"),
    ),
    (
        "19970610T090000",
        "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
        days("|".join(f"{year} June 10; July 10" for year in range(1997, 2002))),
    ),
    (
        "19970310T090000",
        "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
        days(
            "1997 March 10|1999 January 10; February 10; March 10|2001 January 10; February 10; March 10"
            "|2003 January 10; February 10; March 10"
        ),
    ),
    (
        "19970101T090000",
        "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
        days(
            "1997 January 1; April 10; July 19|2000 January 1; April 9; July 18"
            "|2003 January 1; April 10; July 19|2006 January 1"
        ),
    ),
    (
        "19970904T090000",
        "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
        days("1997 September 4; October 7; November 6"),
    ),
    (
        "19970902T090000",
        "FREQ=MINUTELY;INTERVAL=15;COUNT=6",
        [datetime(1997, 9, 2, 9) + timedelta(minutes=15 * number) for number in range(6)],
    ),
    (
        "19970902T090000",
        "FREQ=MINUTELY;INTERVAL=90;COUNT=4",
        [datetime(1997, 9, 2, 9) + timedelta(minutes=90 * number) for number in range(4)],
    ),
    ("19970805T090000", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", days("1997 August 5,10,19,24")),
    ("19970805T090000", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", days("1997 August 5,17,19,31")),
    (
        "20070115T090000",
        "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
        days("2007 January 15,30; February 15; March 15,30"),
    ),
]


@pytest.mark.parametrize(("start", "rule", "expected"), FINITE)
def test_finite(start: str, rule: str, expected: list[datetime]) -> None:
    assert list(instances(start, rule)) == expected


ENDLESS = [
    ("19970902T090000", "FREQ=DAILY;INTERVAL=2", daily("1997-09-02", "1997-12-03", 2)),
    (
        "19970902T090000",
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        days("1997 September 2,16,30; October 14,28; November 11,25; December 9,23|1998 January 6,20; February 3,17"),
    ),
    (
        "19970928T090000",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        days("1997 September 28; October 29; November 28; December 29|1998 January 29; February 26"),
    ),
    (
        "19970902T090000",
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
        days("1997 September 2,9,16,23,30; November 4,11,18,25|1998 January 6,13,20,27; March 3,10,17,24,31"),
    ),
    ("19970519T090000", "FREQ=YEARLY;BYDAY=20MO", days("1997 May 19|1998 May 18|1999 May 17")),
    ("19970512T090000", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", days("1997 May 12|1998 May 11|1999 May 17")),
    (
        "19970313T090000",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
        days("1997 March 13,20,27|1998 March 5,12,19,26|1999 March 4,11,18,25"),
    ),
    (
        "19970605T090000",
        "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
        days(
            "1997 June 5,12,19,26; July 3,10,17,24,31; August 7,14,21,28"
            "|1998 June 4,11,18,25; July 2,9,16,23,30; August 6,13,20,27"
            "|1999 June 3,10,17,24; July 1,8,15,22,29; August 5,12,19,26"
        ),
    ),
    (
        # DTSTART is the first instance, which the RFC's example excludes by EXDATE
        "19970902T090000",
        "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
        days("1997 September 2|1998 February 13; March 13; November 13|1999 August 13|2000 October 13"),
    ),
    (
        "19970913T090000",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        days(
            "1997 September 13; October 11; November 8; December 13"
            "|1998 January 10; February 7; March 7; April 11; May 9; June 13"
        ),
    ),
    (
        "19961105T090000",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        days("1996 November 5|2000 November 7|2004 November 2"),
    ),
    (
        "19970929T090000",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        days("1997 September 29; October 30; November 27; December 30|1998 January 29; February 26; March 30"),
    ),
    (
        "19970902T090000",
        "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
        [datetime(1997, 9, day, hour, minute) for day in (2, 3) for hour in range(9, 17) for minute in (0, 20, 40)],
    ),
    (
        "19970902T090000",
        "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
        [datetime(1997, 9, day, hour, minute) for day in (2, 3) for hour in range(9, 17) for minute in (0, 20, 40)],
    ),
    (
        "19970105T083000",
        "FREQ=YEARLY;INTERVAL=2;BYMONTH=1;BYDAY=SU;BYHOUR=8,9;BYMINUTE=30",
        [
            datetime(year, 1, day, hour, 30)
            for year, sundays in ((1997, (5, 12, 19, 26)), (1999, (3, 10, 17, 24, 31)))
            for day in sundays
            for hour in (8, 9)
        ],
    ),
]


@pytest.mark.parametrize(("start", "rule", "expected"), ENDLESS)
def test_endless(start: str, rule: str, expected: list[datetime]) -> None:
    assert list(islice(instances(start, rule), len(expected))) == expected


def test_every_three_hours_until_a_time_in_utc() -> None:
    """The RFC's example says 9, 12 and 15 o'clock EDT; its UNTIL, 17:00 in UTC, is 13:00 EDT."""
    expected = [datetime(1997, 9, 2, 9), datetime(1997, 9, 2, 12)]
    assert list(instances("19970902T090000", "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z")) == expected
