"""Whatever stands in an object, the answer is rows, or an error that a client can be told."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.calendar.component import parse_calendar
from server.calendar.expand import expand, limit_freebusy_set, limit_recurrence_set
from server.calendar.filters import TimeRange
from server.calendar.freebusy import busy_of_object, unavailable
from server.calendar.iana import iana_zone
from server.calendar.materialise import MAX_ROWS, materialise
from server.calendar.timerange import TimeRangeMatcher
from server.domain.errors import InvalidData
from tests.unit.calendar.time.texts import NOW, calendar_text

TIMES = (
    "20260701T090000Z",
    "20260701T090000",
    "20260701",
    "00010101T000000Z",
    "00010101",
    "19000101T000000",
    "99991231T235959Z",
    "99991231T235959",
    "99991231",
    "20260329T023000",
    "20261025T023000",
    "20260701T240000Z",
    "nonsense",
    "",
)
DURATIONS = ("PT1H", "P1D", "-P1D", "PT0S", "P3650000D", "-P3650000D", "PT999999999S", "P1W", "P", "x")
RULES = (
    "FREQ=DAILY",
    "FREQ=SECONDLY",
    "FREQ=YEARLY;COUNT=3",
    "FREQ=MONTHLY;UNTIL=00010101T000000Z",
    "FREQ=WEEKLY;UNTIL=99991231T235959Z",
    "FREQ=HOURLY;INTERVAL=999999999;COUNT=1000000000",
    "FREQ=YEARLY;BYWEEKNO=-53,53;WKST=SU",
    "FREQ=DAILY;BYSETPOS=-1;BYHOUR=23,0",
    "FREQ=YEARLY;BYDAY=-53MO",
    "FREQ=x",
)
ZONES = ("Europe/Berlin", "Pacific/Kiritimati", "America/Adak", "Nowhere", "Odd", "")
ODD = (
    "BEGIN:VTIMEZONE",
    "TZID:Odd",
    "BEGIN:STANDARD",
    "DTSTART:00010101T000000",
    "TZOFFSETFROM:+2359",
    "TZOFFSETTO:-2359",
    "RRULE:FREQ=YEARLY",
    "END:STANDARD",
    "BEGIN:DAYLIGHT",
    "DTSTART:99991231T000000",
    "TZOFFSETFROM:-2359",
    "TZOFFSETTO:+2359",
    "RDATE:20260329T023000,20260329T023001",
    "END:DAYLIGHT",
    "END:VTIMEZONE",
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    name = draw(
        st.sampled_from(
            ("DTSTART", "DTSTART", "DTEND", "DUE", "DURATION", "RRULE", "EXRULE", "RDATE", "EXDATE", "RECURRENCE-ID")
            + ("COMPLETED", "CREATED", "FREEBUSY", "TRANSP", "STATUS", "BUSYTYPE", "PRIORITY")
        )
    )
    time = st.sampled_from(TIMES)
    if name in ("RRULE", "EXRULE"):
        return f"{name}:{draw(st.sampled_from(RULES))}"
    if name == "DURATION":
        return f"{name}:{draw(st.sampled_from(DURATIONS))}"
    if name in ("TRANSP", "STATUS", "BUSYTYPE", "PRIORITY"):
        return f"{name}:{draw(st.sampled_from(('TRANSPARENT', 'CANCELLED', 'BUSY', '1', '²', '')))}"
    value = draw(time)
    if name in ("RDATE", "FREEBUSY", "EXDATE") and draw(st.booleans()):
        value = f"{value}/{draw(time | st.sampled_from(DURATIONS))},{draw(time)}"
    parameters = draw(st.sampled_from(("", "", ";VALUE=DATE", ";RANGE=THISANDFUTURE", *(f";TZID={z}" for z in ZONES))))
    return f"{name}{parameters}:{value}"


@st.composite
def texts(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(("VEVENT", "VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY")))
    found = list(ODD)
    for _ in range(draw(st.integers(1, 3))):
        alarm = ["BEGIN:VALARM", f"TRIGGER:{draw(st.sampled_from(DURATIONS + TIMES))}", "REPEAT:999999999"]
        alarm += ["DURATION:PT999999999S", "END:VALARM"]
        inner = ["BEGIN:AVAILABLE", *draw(st.lists(lines(), max_size=4)), "END:AVAILABLE"]
        found += [f"BEGIN:{name}", "UID:one", *draw(st.lists(lines(), max_size=6)), *alarm, *inner, f"END:{name}"]
    return calendar_text(*found)


WINDOWS = st.sampled_from(
    (
        (datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 8, tzinfo=UTC)),
        (datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC)),
        (datetime(9999, 12, 31, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    )
)
ADAK = iana_zone("America/Adak")


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts(), WINDOWS)
def test_rows_or_an_error(text: str, window: tuple[datetime, datetime]) -> None:
    assert ADAK is not None
    zone = ADAK
    tree = parse_calendar(text)
    start, end = window
    matcher = TimeRangeMatcher(tree, zone)
    try:
        found = materialise(tree, NOW)
        assert len(found.occurrences) <= MAX_ROWS
    except InvalidData as error:
        assert error.message
    component = tree.components[1]
    paths = [(tree, component), *((tree, component, child) for child in component.components)]
    for action in (
        lambda: parse_calendar(expand(text, tree, start, end, zone)),
        lambda: parse_calendar(limit_recurrence_set(text, tree, start, end, zone)),
        lambda: parse_calendar(limit_freebusy_set(text, tree, start, end)),
        lambda: busy_of_object(tree, start, end, zone),
        lambda: unavailable([tree], start, end, zone),
        lambda: [
            matcher(path, None, TimeRange(*ends)) for path in paths for ends in (window, (None, end), (start, None))
        ],
        lambda: [matcher(paths[0], prop, TimeRange(start, end)) for prop in component.properties],
    ):
        try:
            action()
        except InvalidData as error:
            assert error.message
