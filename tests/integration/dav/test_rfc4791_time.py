"""RFC 4791 by time: §7.8 time ranges, §7.10 free-busy-query, §9.6.5 to §9.6.7 expand and limits, §9.8 and §9.9."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from server.calendar.component import parse_calendar
from server.calendar.expand import expand
from server.calendar.filters import CompFilter, TimeRange, matches
from server.calendar.timerange import TimeRangeMatcher
from server.calendar.zones import UTC_ZONE
from tests.integration.dav.client import Reply
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, calendar, event, task, xml
from tests.integration.dav.rfc4791_appendix_b import EASTERN, OBJECTS

DATA = caldav("calendar-data")
HEAD = ("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example Corp.//CalDAV Client//EN")


@pytest.fixture
async def work(person: Person) -> str:
    """The calendar of the examples."""
    path = f"{person.home}work/"
    components = "".join(f'<C:comp name="{name}"/>' for name in ("VEVENT", "VTODO", "VFREEBUSY"))
    body = xml(
        "C:mkcalendar",
        "<D:set><D:prop><C:supported-calendar-component-set>"
        f"{components}</C:supported-calendar-component-set></D:prop></D:set>",
    )
    assert (await person.http("MKCALENDAR", path, body)).status == 201
    for name, text in OBJECTS.items():
        await person.has(path + name, text)
    return path


def timed(start: str, *lines: str, uid: str = "1", summary: str = "Meeting", lasting: str = "PT1H") -> str:
    """An event with this DTSTART, given with its parameters: `:20260601T090000Z`."""
    body = ("DTSTAMP:20260101T000000Z", f"DTSTART{start}", f"DURATION:{lasting}", f"SUMMARY:{summary}")
    return calendar("BEGIN:VEVENT", f"UID:{uid}", *body, *lines, "END:VEVENT")


def window(start: str, end: str, name: str = "C:time-range") -> str:
    """A time range; a bound that is empty is not there."""
    bounds = "".join(f' {key}="{value}"' for key, value in (("start", start), ("end", end)) if value)
    return f"<{name}{bounds}/>"


def in_component(inner: str, name: str = "VEVENT") -> str:
    return (
        f'<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="{name}">{inner}'
        "</C:comp-filter></C:comp-filter></C:filter>"
    )


async def found(person: Person, path: str, start: str, end: str, name: str = "VEVENT", more: str = "") -> list[str]:
    """Names of the objects of a calendar that a query for a window finds."""
    body = f"<D:prop><D:getetag/></D:prop>{in_component(window(start, end), name)}{more}"
    reply = await person.report(path, "C:calendar-query", body)
    return sorted(href.removeprefix(path) for href in reply.multistatus.hrefs)


async def data_of(person: Person, path: str, inner: str, condition: str) -> dict[str, list[str]]:
    """The lines of calendar-data by the name of the object."""
    body = f"<D:prop><C:calendar-data>{inner}</C:calendar-data></D:prop>{condition}"
    reply = (await person.report(path, "C:calendar-query", body)).multistatus
    return {href.removeprefix(path): item.found[DATA].split("\n") for href, item in reply.responses.items()}


async def busy(person: Person, path: str, start: str, end: str, depth: str = "1") -> list[str]:
    """The FREEBUSY lines of a free-busy-query."""
    return busy_lines(await person.report(path, "C:free-busy-query", window(start, end), depth))


def busy_lines(reply: Reply) -> list[str]:
    """The FREEBUSY properties, unfolded, with periods as a start and a duration."""
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Type"].startswith("text/calendar")
    lines = reply.text.replace("\r\n ", "").split("\r\n")
    assert lines.count("BEGIN:VFREEBUSY") == 1
    return sorted(re.sub(r"(\w+Z)/(\w+Z)", lasting, line) for line in lines if line.startswith("FREEBUSY"))


def lasting(period: re.Match[str]) -> str:
    start, end = (datetime.strptime(time, "%Y%m%dT%H%M%S%z") for time in period.groups())
    hours, minutes = divmod((end - start).seconds // 60, 60)
    return f"{period[1]}/PT" + (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")


def component_lines(lines: list[str], name: str) -> list[frozenset[str]]:
    """The lines of the components of a name, without order."""
    at = [number for number, line in enumerate(lines) if line == f"BEGIN:{name}"]
    return [frozenset(lines[start + 1 : lines.index(f"END:{name}", start)]) for start in at]


def source(name: str) -> list[str]:
    return OBJECTS[name].replace("\r\n", "\n").strip().split("\n")


async def ask(person: Person, work: str, body: str) -> dict[str, list[str]]:
    """The lines of calendar-data by name, for a body as the RFC prints it."""
    reply = (
        await person.http("REPORT", work, body, Depth="1", Content_Type='application/xml; charset="utf-8"')
    ).multistatus
    for href, response in reply.responses.items():
        assert set(response.props) == {200}
        if dav("getetag") in response.found:
            assert response.found[dav("getetag")] == (await person.http("HEAD", href)).etag
    return {href.removeprefix(work): item.found[DATA].split("\n") for href, item in reply.responses.items()}


# -- the examples -----------------------------------------------------------------------------------------------------


async def test_7_8_1_partial_retrieval_of_events_by_time_range(person: Person, work: str) -> None:
    answer = await ask(
        person,
        work,
        """<?xml version="1.0" encoding="utf-8" ?>
   <C:calendar-query xmlns:D="DAV:"
                 xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:prop>
       <D:getetag/>
       <C:calendar-data>
         <C:comp name="VCALENDAR">
           <C:prop name="VERSION"/>
           <C:comp name="VEVENT">
             <C:prop name="SUMMARY"/>
             <C:prop name="UID"/>
             <C:prop name="DTSTART"/>
             <C:prop name="DTEND"/>
             <C:prop name="DURATION"/>
             <C:prop name="RRULE"/>
             <C:prop name="RDATE"/>
             <C:prop name="EXRULE"/>
             <C:prop name="EXDATE"/>
             <C:prop name="RECURRENCE-ID"/>
           </C:comp>
           <C:comp name="VTIMEZONE"/>
         </C:comp>
       </C:calendar-data>
     </D:prop>
     <C:filter>
       <C:comp-filter name="VCALENDAR">
         <C:comp-filter name="VEVENT">
           <C:time-range start="20060104T000000Z"
                         end="20060105T000000Z"/>
         </C:comp-filter>
       </C:comp-filter>
     </C:filter>
   </C:calendar-query>""",
    )
    assert sorted(answer) == ["abcd2.ics", "abcd3.ics"]
    for name, lines in answer.items():
        assert lines[:2] == ["BEGIN:VCALENDAR", "VERSION:2.0"]
        assert component_lines(lines, "VTIMEZONE") == component_lines(source(name), "VTIMEZONE")
        assert not any(line.startswith(("PRODID", "DTSTAMP")) for line in lines)
    assert component_lines(answer["abcd2.ics"], "VEVENT") == [
        {
            "DTSTART;TZID=US/Eastern:20060102T120000",
            "DURATION:PT1H",
            "RRULE:FREQ=DAILY;COUNT=5",
            "SUMMARY:Event #2",
            "UID:00959BC664CA650E933C892C@example.com",
        },
        {
            "DTSTART;TZID=US/Eastern:20060104T140000",
            "DURATION:PT1H",
            "RECURRENCE-ID;TZID=US/Eastern:20060104T120000",
            "SUMMARY:Event #2 bis",
            "UID:00959BC664CA650E933C892C@example.com",
        },
    ]
    assert component_lines(answer["abcd3.ics"], "VEVENT") == [
        {
            "DTSTART;TZID=US/Eastern:20060104T100000",
            "DURATION:PT1H",
            "SUMMARY:Event #3",
            "UID:DC6C50A017428C5216A2F1CD@example.com",
        }
    ]


async def test_7_8_2_partial_retrieval_of_recurring_events(person: Person, work: str) -> None:
    """With the second override of the example, which its Appendix B does not have."""
    bis = (
        "BEGIN:VEVENT\r\nDTSTAMP:20060206T001121Z\r\nDTSTART;TZID=US/Eastern:20060106T140000\r\nDURATION:PT1H\r\n"
        "RECURRENCE-ID;TZID=US/Eastern:20060106T120000\r\nSUMMARY:Event #2 bis bis\r\n"
        "UID:00959BC664CA650E933C892C@example.com\r\nEND:VEVENT\r\n"
    )
    await person.has(f"{work}abcd2.ics", OBJECTS["abcd2.ics"].replace("END:VCALENDAR", f"{bis}END:VCALENDAR"))
    answer = await ask(
        person,
        work,
        """<?xml version="1.0" encoding="utf-8" ?>
   <C:calendar-query xmlns:D="DAV:"
                     xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:prop>
       <C:calendar-data>
         <C:limit-recurrence-set start="20060103T000000Z"
                                 end="20060105T000000Z"/>
       </C:calendar-data>
     </D:prop>
     <C:filter>
       <C:comp-filter name="VCALENDAR">
         <C:comp-filter name="VEVENT">
           <C:time-range start="20060103T000000Z"
                         end="20060105T000000Z"/>
         </C:comp-filter>
       </C:comp-filter>
     </C:filter>
   </C:calendar-query>""",
    )
    assert answer == {name: source(name) for name in ("abcd2.ics", "abcd3.ics")}


async def test_7_8_3_expanded_retrieval_of_recurring_events(person: Person, work: str) -> None:
    """The RFC prints the times in UTC without their Z."""
    answer = await ask(
        person,
        work,
        """<?xml version="1.0" encoding="utf-8" ?>
   <C:calendar-query xmlns:D="DAV:"
                     xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:prop>
       <C:calendar-data>
         <C:expand start="20060103T000000Z"
                   end="20060105T000000Z"/>
       </C:calendar-data>
     </D:prop>
     <C:filter>
       <C:comp-filter name="VCALENDAR">
         <C:comp-filter name="VEVENT">
           <C:time-range start="20060103T000000Z"
                         end="20060105T000000Z"/>
         </C:comp-filter>
       </C:comp-filter>
     </C:filter>
   </C:calendar-query>""",
    )
    assert sorted(answer) == ["abcd2.ics", "abcd3.ics"]
    for lines in answer.values():
        assert lines[:3] == list(HEAD)
        assert "BEGIN:VTIMEZONE" not in lines
    assert component_lines(answer["abcd2.ics"], "VEVENT") == [
        {
            "DTSTAMP:20060206T001121Z",
            "DTSTART:20060103T170000Z",
            "DURATION:PT1H",
            "RECURRENCE-ID:20060103T170000Z",
            "SUMMARY:Event #2",
            "UID:00959BC664CA650E933C892C@example.com",
        },
        {
            "DTSTAMP:20060206T001121Z",
            "DTSTART:20060104T190000Z",
            "DURATION:PT1H",
            "RECURRENCE-ID:20060104T170000Z",
            "SUMMARY:Event #2 bis",
            "UID:00959BC664CA650E933C892C@example.com",
        },
    ]
    (whole,) = component_lines(source("abcd3.ics"), "VEVENT")
    local = "DTSTART;TZID=US/Eastern:20060104T100000"
    assert component_lines(answer["abcd3.ics"], "VEVENT") == [(whole - {local}) | {"DTSTART:20060104T150000Z"}]


async def test_7_8_4_partial_retrieval_of_stored_free_busy_components(person: Person, work: str) -> None:
    answer = await ask(
        person,
        work,
        """<?xml version="1.0" encoding="utf-8" ?>
   <C:calendar-query xmlns:D="DAV:"
                 xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:prop>
       <C:calendar-data>
         <C:limit-freebusy-set start="20060102T000000Z"
                                 end="20060103T000000Z"/>
       </C:calendar-data>
     </D:prop>
     <C:filter>
       <C:comp-filter name="VCALENDAR">
         <C:comp-filter name="VFREEBUSY">
           <C:time-range start="20060102T000000Z"
                           end="20060103T000000Z"/>
         </C:comp-filter>
       </C:comp-filter>
     </C:filter>
   </C:calendar-query>""",
    )
    kept = "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20060102T100000Z/20060102T120000Z"
    lines = [line for line in source("abcd8.ics") if not line.startswith("FREEBUSY") or line == kept]
    assert answer == {"abcd8.ics": lines}


async def test_7_8_5_retrieval_of_to_dos_by_alarm_time_range(person: Person, work: str) -> None:
    """The example with the DUE of its answer and RELATED=END: the task has no start to relate an alarm to."""
    due = OBJECTS["abcd5.ics"].replace("DUE;VALUE=DATE:20060106", "DUE;TZID=US/Eastern:20060106T120000")
    due = due.replace("BEGIN:VTODO", EASTERN.replace("\n", "\r\n") + "BEGIN:VTODO").replace(
        "RELATED=START", "RELATED=END"
    )
    await person.has(f"{work}abcd5.ics", due)
    body = """<?xml version="1.0" encoding="utf-8" ?>
   <C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:prop xmlns:D="DAV:">
       <D:getetag/>
       <C:calendar-data/>
     </D:prop>
     <C:filter>
       <C:comp-filter name="VCALENDAR">
         <C:comp-filter name="VTODO">
           <C:comp-filter name="VALARM">
             <C:time-range start="20060106T100000Z"
                             end="20060107T100000Z"/>
           </C:comp-filter>
         </C:comp-filter>
       </C:comp-filter>
     </C:filter>
   </C:calendar-query>"""
    assert await ask(person, work, body) == {"abcd5.ics": due.replace("\r\n", "\n").strip().split("\n")}
    assert await ask(person, work, body.replace("20060106T100000Z", "20060106T170000Z")) == {}


async def test_7_10_1_free_busy(person: Person, work: str) -> None:
    """The RFC forgot what its VFREEBUSY and the other instance of the series make busy in this window."""
    body = """<?xml version="1.0" encoding="utf-8" ?>
   <C:free-busy-query xmlns:C="urn:ietf:params:xml:ns:caldav">
     <C:time-range start="20060104T140000Z"
                     end="20060105T220000Z"/>
   </C:free-busy-query>"""
    await person.http("DELETE", f"{work}abcd8.ics")
    reply = await person.http("REPORT", work, body, Depth="1", Content_Type='application/xml; charset="utf-8"')
    assert busy_lines(reply) == [
        "FREEBUSY:20060104T190000Z/PT1H,20060105T170000Z/PT1H",
        "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20060104T150000Z/PT1H",
    ]
    lines = reply.text.split("\r\n")
    assert {"DTSTART:20060104T140000Z", "DTEND:20060105T220000Z"} < set(lines)


# -- windows ----------------------------------------------------------------------------------------------------------


async def test_9_9_bounds_are_half_open(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    for start, end, there in (
        ("20260601T080000Z", "20260601T090000Z", False),
        ("20260601T080000Z", "20260601T090001Z", True),
        ("20260601T095959Z", "20260601T110000Z", True),
        ("20260601T100000Z", "20260601T110000Z", False),
        ("20260601T095959Z", "", True),
        ("20260601T100000Z", "", False),
        ("", "20260601T090001Z", True),
        ("", "20260601T090000Z", False),
    ):
        assert await found(person, person.calendar, start, end) == (["1.ics"] if there else []), (start, end)


async def test_9_9_endless_series_beyond_what_is_stored(person: Person) -> None:
    """Decades ahead and at the other end, with and without the filter that occurrences answer alone."""
    await person.has(f"{person.calendar}1.ics", timed(":19960101T090000Z", "RRULE:FREQ=YEARLY"))
    year = datetime.now(UTC).year
    for at in (1996, 1997, year, year + 1, year + 30, year + 500):
        assert await found(person, person.calendar, f"{at}0101T000000Z", f"{at}0102T000000Z") == ["1.ics"], at
        assert await found(person, person.calendar, f"{at}0102T000000Z", f"{at}1231T000000Z") == [], at
        assert await busy(person, person.calendar, f"{at}0101T000000Z", f"{at}0103T000000Z") == [
            f"FREEBUSY:{at}0101T090000Z/PT1H"
        ]
        asked = window(f"{at}0101T000000Z", f"{at}0103T000000Z", "C:expand")
        data = await data_of(person, person.calendar, asked, in_component(""))
        (only,) = component_lines(data["1.ics"], "VEVENT")
        assert {f"DTSTART:{at}0101T090000Z", f"RECURRENCE-ID:{at}0101T090000Z"} < only
    assert await found(person, person.calendar, "19950101T000000Z", "19960101T000000Z") == []


async def test_9_9_endless_series_with_open_windows(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", timed(":20260101T090000Z", "RRULE:FREQ=DAILY"))
    assert await found(person, person.calendar, "20900101T000000Z", "") == ["1.ics"]
    assert await found(person, person.calendar, "", "20260101T090000Z") == []
    assert await found(person, person.calendar, "", "20260101T090001Z") == ["1.ics"]


async def test_9_9_an_override_moved_out_of_the_series(person: Person) -> None:
    """Before its start, after its end, and beyond what is stored; not where it was."""
    for moved in ("20200505T090000Z", "20260903T090000Z", "20700505T090000Z"):
        override = (
            "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z", "RECURRENCE-ID:20260602T090000Z",
            f"DTSTART:{moved}", "DURATION:PT1H", "SUMMARY:Moved", "END:VEVENT",
        )  # fmt: skip
        text = timed(":20260601T090000Z", "RRULE:FREQ=DAILY;COUNT=3").replace(
            "END:VCALENDAR", "\r\n".join((*override, "END:VCALENDAR"))
        )
        await person.has(f"{person.calendar}1.ics", text)
        day = moved[:8]
        assert await found(person, person.calendar, f"{day}T000000Z", f"{day}T235959Z") == ["1.ics"], moved
        assert await busy(person, person.calendar, f"{day}T000000Z", f"{day}T235959Z") == [f"FREEBUSY:{moved}/PT1H"]
        assert await found(person, person.calendar, "20260602T000000Z", "20260603T000000Z") == [], moved
        assert await found(person, person.calendar, "20260603T000000Z", "20260604T000000Z") == ["1.ics"], moved
        data = await data_of(
            person, person.calendar, window(f"{day}T000000Z", f"{day}T235959Z", "C:expand"), in_component("")
        )
        (only,) = component_lines(data["1.ics"], "VEVENT")
        assert {"RECURRENCE-ID:20260602T090000Z", f"DTSTART:{moved}", "SUMMARY:Moved"} < only


async def test_9_6_6_an_override_stays_where_its_instance_was(person: Person) -> None:
    """limit-recurrence-set keeps what affects the window: the override whose instance left it."""
    parts = timed(":20260601T090000Z", "RRULE:FREQ=DAILY;COUNT=3").split("END:VCALENDAR")[0]
    override = timed(":20260901T090000Z", "RECURRENCE-ID:20260602T090000Z", summary="Moved")
    text = parts + override.split("EN\r\n", 1)[1]
    await person.has(f"{person.calendar}1.ics", text)
    for start, end, kept in (
        ("20260602T000000Z", "20260603T000000Z", 2),
        ("20260901T000000Z", "20260902T000000Z", 2),
        ("20260603T000000Z", "20260604T000000Z", 1),
    ):
        limit = window(start, end, "C:limit-recurrence-set")
        data = await data_of(person, person.calendar, limit, in_component(""))
        assert len(component_lines(data["1.ics"], "VEVENT")) == kept, start


async def test_9_6_5_expand_without_instances_in_the_window(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", timed(":20260601T090000Z", "RRULE:FREQ=DAILY;COUNT=3"))
    data = await data_of(
        person, person.calendar, window("20270101T000000Z", "20270102T000000Z", "C:expand"), in_component("")
    )
    assert data == {"1.ics": [*HEAD, "END:VCALENDAR"]}


async def test_9_6_5_exdate_and_rdate(person: Person) -> None:
    extra = ("RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260602T090000Z", "RDATE:20260610T120000Z")
    await person.has(f"{person.calendar}1.ics", timed(":20260601T090000Z", *extra))
    data = await data_of(
        person, person.calendar, window("20260601T000000Z", "20260701T000000Z", "C:expand"), in_component("")
    )
    starts = [line for line in data["1.ics"] if line.startswith("DTSTART")]
    assert starts == [f"DTSTART:202606{day}Z" for day in ("01T090000", "03T090000", "10T120000")]
    assert not any(line.startswith(("RRULE", "RDATE", "EXDATE")) for line in data["1.ics"])


# -- changes ----------------------------------------------------------------------------------------------------------

JUNE = ("20260601T000000Z", "20260602T000000Z")
JULY = ("20260701T000000Z", "20260702T000000Z")


async def test_a_change_of_text_keeps_the_answer(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1", "Before"))
    before = [await found(person, person.calendar, *JUNE), await busy(person, person.calendar, *JUNE)]
    await person.has(path, event("1", "After", "LOCATION:Room"))
    assert [await found(person, person.calendar, *JUNE), await busy(person, person.calendar, *JUNE)] == before
    assert before == [["1.ics"], ["FREEBUSY:20260601T090000Z/PT1H"]]
    data = await data_of(person, person.calendar, window(*JUNE, "C:expand"), in_component(window(*JUNE)))
    assert "SUMMARY:After" in data["1.ics"]


async def test_a_change_of_time_changes_the_answer(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    await person.has(path, event("1").replace("202606", "202607"))
    assert await found(person, person.calendar, *JUNE) == []
    assert await busy(person, person.calendar, *JUNE) == []
    assert await found(person, person.calendar, *JULY) == ["1.ics"]
    assert await busy(person, person.calendar, *JULY) == ["FREEBUSY:20260701T090000Z/PT1H"]
    # neither the time nor the text of an event says when it is busy, its status does
    await person.has(path, event("1", "x", "TRANSP:TRANSPARENT").replace("202606", "202607"))
    assert await found(person, person.calendar, *JULY) == ["1.ics"]
    assert await busy(person, person.calendar, *JULY) == []


async def test_a_deleted_event_is_no_longer_found(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert (await person.http("DELETE", f"{person.calendar}1.ics")).status == 204
    assert await found(person, person.calendar, *JUNE) == []
    assert await busy(person, person.calendar, *JUNE) == []


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_copied_and_moved_events_keep_their_occurrences(person: Person, method: str) -> None:
    other = f"{person.home}other/"
    assert (await person.http("MKCALENDAR", other)).status == 201
    await person.has(f"{person.calendar}1.ics", timed(":20260601T090000Z", "RRULE:FREQ=MONTHLY"))
    reply = await person.http(method, f"{person.calendar}1.ics", Destination=f"{other}2.ics")
    assert reply.status == 201
    for day in ("20260601", "20260701", "20900701"):
        times = (f"{day}T000000Z", f"{day}T230000Z")
        assert await found(person, other, *times) == ["2.ics"]
        assert await busy(person, other, *times) == [f"FREEBUSY:{day}T090000Z/PT1H"]
        assert await found(person, person.calendar, *times) == (["1.ics"] if method == "COPY" else [])
        assert bool(await busy(person, person.calendar, *times)) == (method == "COPY")


# -- floating times and dates -----------------------------------------------------------------------------------------

NOON = ("20260601T120000Z", "20260601T130000Z")
AFTERNOON = ("20260601T160000Z", "20260601T170000Z")
EASTERN_CALENDAR = calendar(*EASTERN.strip().split("\n"))


async def test_5_2_2_floating_times_have_the_zone_of_the_calendar(person: Person) -> None:
    """Noon in New York in summer is 16:00 UTC; changing the zone moves what is stored already."""
    await person.has(f"{person.calendar}1.ics", timed(":20260601T120000"))
    assert await found(person, person.calendar, *NOON) == ["1.ics"]
    assert await found(person, person.calendar, *AFTERNOON) == []
    outcome = await person.set(person.calendar, f"<C:calendar-timezone>{EASTERN_CALENDAR}</C:calendar-timezone>")
    assert list(outcome.props) == [200]
    assert await found(person, person.calendar, *NOON) == []
    assert await found(person, person.calendar, *AFTERNOON) == ["1.ics"]
    assert await busy(person, person.calendar, "20260601T000000Z", "20260602T000000Z") == [
        "FREEBUSY:20260601T160000Z/PT1H"
    ]
    # floating times stay what they are when they are expanded (§9.6.5)
    asked = window(*AFTERNOON, "C:expand")
    data = await data_of(person, person.calendar, asked, in_component(window(*AFTERNOON)))
    assert "DTSTART:20260601T120000" in data["1.ics"]


async def test_9_8_the_zone_of_a_query_comes_before_that_of_the_calendar(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", timed(":20260601T120000"))
    zone = f"<C:timezone>{EASTERN_CALENDAR}</C:timezone>"
    assert await found(person, person.calendar, *NOON, more=zone) == []
    assert await found(person, person.calendar, *AFTERNOON, more=zone) == ["1.ics"]
    named = "<C:timezone-id>America/New_York</C:timezone-id>"
    assert await found(person, person.calendar, *AFTERNOON, more=named) == ["1.ics"]
    body = f"<D:prop><D:getetag/></D:prop>{in_component(window(*NOON))}"
    wrong = await person.report(person.calendar, "C:calendar-query", f"{body}<C:timezone>no zone</C:timezone>")
    wrong.refused(403, caldav("valid-calendar-data"))
    wrong = await person.report(person.calendar, "C:calendar-query", f"{body}<C:timezone-id>No/Where</C:timezone-id>")
    wrong.refused(403, caldav("valid-timezone"))


async def test_9_9_dates_are_days_in_the_zone(person: Person) -> None:
    """A day in New York is from 4:00 to 4:00 UTC in summer."""
    await person.has(f"{person.calendar}1.ics", timed(";VALUE=DATE:20260601", lasting="P1D"))
    first, last = ("20260601T010000Z", "20260601T020000Z"), ("20260602T010000Z", "20260602T020000Z")
    assert await found(person, person.calendar, *first) == ["1.ics"]
    assert await found(person, person.calendar, *last) == []
    zone = f"<C:timezone>{EASTERN_CALENDAR}</C:timezone>"
    assert await found(person, person.calendar, *first, more=zone) == []
    assert await found(person, person.calendar, *last, more=zone) == ["1.ics"]
    data = await data_of(person, person.calendar, window(*first, "C:expand"), in_component(""))
    assert "DTSTART;VALUE=DATE:20260601" in data["1.ics"]


async def test_9_6_5_floating_times_and_dates_stay_east_of_greenwich(person: Person) -> None:
    """There the local day begins on the UTC day before."""
    tokyo = calendar(
        "BEGIN:VTIMEZONE", "TZID:Asia/Tokyo", "BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0900",
        "TZOFFSETTO:+0900", "END:STANDARD", "END:VTIMEZONE",
    )  # fmt: skip
    await person.set(person.calendar, f"<C:calendar-timezone>{tokyo}</C:calendar-timezone>")
    await person.has(
        f"{person.calendar}1.ics", timed(";VALUE=DATE:20260601", "RRULE:FREQ=DAILY;COUNT=2", lasting="P1D")
    )
    await person.has(f"{person.calendar}2.ics", timed(":20260601T080000", uid="2"))
    times = ("20260531T150000Z", "20260601T150000Z")
    data = await data_of(person, person.calendar, window(*times, "C:expand"), in_component(window(*times)))
    (day,) = component_lines(data["1.ics"], "VEVENT")
    assert {"DTSTART;VALUE=DATE:20260601", "RECURRENCE-ID;VALUE=DATE:20260601", "DURATION:P1D"} < day
    assert "DTSTART:20260601T080000" in data["2.ics"]


async def test_9_9_tasks(person: Person) -> None:
    """By DUE, by COMPLETED, and those that have no time at all, which are always there."""
    await person.has(f"{person.tasks}due.ics", task("due", "DUE:20260601T120000Z"))
    await person.has(f"{person.tasks}done.ics", task("done", "COMPLETED:20260801T120000Z"))
    await person.has(f"{person.tasks}any.ics", task("any"))
    day = ("20260601T000000Z", "20260602T000000Z")
    assert await found(person, person.tasks, *day, name="VTODO") == ["any.ics", "due.ics"]
    assert "done.ics" in await found(person, person.tasks, "20260801T000000Z", "20260802T000000Z", name="VTODO")
    assert await busy(person, person.tasks, *day) == []


async def test_9_9_alarms_of_events(person: Person) -> None:
    """Of every instance, also where they ring on the day before, and repeated."""
    alarm = ("BEGIN:VALARM", "ACTION:AUDIO", "TRIGGER:-P1D", "REPEAT:1", "DURATION:PT2H", "END:VALARM")
    await person.has(f"{person.calendar}1.ics", timed(":20260601T090000Z", "RRULE:FREQ=WEEKLY", *alarm))
    await person.has(f"{person.calendar}2.ics", timed(":20260601T090000Z", uid="2"))
    for start, end, there in (
        ("20260607T085959Z", "20260607T090001Z", True),
        ("20260607T105959Z", "20260607T110001Z", True),
        ("20260607T090001Z", "20260607T105959Z", False),
        ("20260608T080000Z", "20260608T100000Z", False),
        ("20600606T000000Z", "20600607T000000Z", True),
    ):
        condition = in_component(f'<C:comp-filter name="VALARM">{window(start, end)}</C:comp-filter>')
        reply = await person.report(person.calendar, "C:calendar-query", f"<D:prop><D:getetag/></D:prop>{condition}")
        assert reply.multistatus.hrefs == ([f"{person.calendar}1.ics"] if there else []), start


def rings(trigger: str, *more: str) -> tuple[str, ...]:
    return ("BEGIN:VALARM", "ACTION:AUDIO", f"TRIGGER{trigger}", *more, "END:VALARM")


ALARMS = {
    "before": timed(":20260601T090000Z", *rings(":-PT15M")),
    "at the end": timed(":20260601T090000Z", *rings(";RELATED=END:PT0S")),
    "a day before": timed(";TZID=Europe/Berlin:20260330T090000", *rings(":-P1D")),
    "weeks before": timed(":20260601T090000Z", *rings(":-P3W")),
    "a year after": timed(":20260601T090000Z", *rings(":P366D")),
    "at a time": timed(":20300601T090000Z", *rings(";VALUE=DATE-TIME:20260605T090000Z")),
    "at a time, repeated": timed(
        ":20300601T090000Z", *rings(";VALUE=DATE-TIME:20260501T090000Z", "REPEAT:40", "DURATION:P1D")
    ),
    "repeated for days": timed(":20260601T090000Z", *rings(":-PT1H", "REPEAT:72", "DURATION:PT1H")),
    "floating": timed(":20260601T093000", *rings(":-PT30M")),
    "a date": timed(";VALUE=DATE:20260601", *rings(":-PT9H"), lasting="P1D"),
    "endless": timed(":20200601T090000Z", "RRULE:FREQ=WEEKLY", *rings(":-P8D")),
    "endless, repeated": timed(
        ":20200601T090000Z", "RRULE:FREQ=MONTHLY", *rings(":-PT5M", "REPEAT:3", "DURATION:PT6H")
    ),
    "some beyond what is computed": timed(":20260601T090000Z", *rings(":-P1100000D")),
    "none": timed(":20260601T090000Z"),
    "of one override": calendar(
        *("BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z", "DTSTART:20260601T090000Z", "DURATION:PT1H"),
        *("RRULE:FREQ=DAILY;COUNT=4", "END:VEVENT", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z"),
        *("RECURRENCE-ID:20260602T090000Z", "DTSTART:20260602T170000Z", "DURATION:PT1H", *rings(":-PT1H")),
        "END:VEVENT",
    ),
}
RINGING = [
    (start, end)
    for start, hours in (
        *((datetime(2026, 6, 1, 7), 1), (datetime(2026, 6, 1, 8), 1), (datetime(2026, 6, 1, 9), 1)),
        *((datetime(2026, 3, 29, 6), 1), (datetime(2026, 3, 29, 7), 1), (datetime(2026, 5, 11, 8), 2)),
        *((datetime(2027, 6, 2, 8), 2), (datetime(2026, 6, 5, 8), 2), (datetime(2026, 5, 20, 8, 30), 1)),
        *((datetime(2026, 6, 3, 0), 24), (datetime(2026, 6, 2, 15), 2), (datetime(2026, 5, 31, 14), 2)),
        *((datetime(2056, 6, 1, 0), 24), (datetime(2056, 6, 4, 0), 24 * 7), (datetime(1990, 1, 1), 24 * 365)),
        (datetime(2000, 1, 1), 24 * 365 * 60),
    )
    for end in (start + timedelta(hours=hours),)
]


async def test_9_9_alarms_are_found_as_the_texts_say(person: Person) -> None:
    """From the stored triggers, whatever their offsets are, the objects are found that a look at each text finds."""
    texts = {
        f"{number:02}.ics": text.replace("UID:1\r\n", f"UID:{number}\r\n")
        for number, text in enumerate(ALARMS.values())
    }
    for name, text in texts.items():
        await person.has(person.calendar + name, text)
    for start, end in RINGING:
        asked = TimeRange(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
        alarm = CompFilter("VALARM", time_range=asked)
        wanted = CompFilter("VCALENDAR", comp_filters=(CompFilter("VEVENT", comp_filters=(alarm,)),))
        bounds = [f"{time:%Y%m%dT%H%M%SZ}".rjust(16, "0") for time in (start, end)]
        condition = in_component(f'<C:comp-filter name="VALARM">{window(*bounds)}</C:comp-filter>')
        reply = await person.report(person.calendar, "C:calendar-query", f"<D:prop><D:getetag/></D:prop>{condition}")
        found = [href.removeprefix(person.calendar) for href in reply.multistatus.hrefs]
        trees = {name: parse_calendar(text) for name, text in texts.items()}
        assert found == [
            name for name, tree in trees.items() if matches(wanted, tree, TimeRangeMatcher(tree, UTC_ZONE))
        ], (start, end)


async def test_9_9_the_end_that_a_duration_gives_stands_for_one_that_is_not_there(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", timed(":20260601T090000Z", lasting="PT2H"))
    await person.has(f"{person.tasks}1.ics", task("1", "DTSTART:20260601T090000Z", "DURATION:PT2H"))
    for path, component, name in ((person.calendar, "VEVENT", "DTEND"), (person.tasks, "VTODO", "DUE")):
        for start, there in (("20260601T110000Z", True), ("20260601T110001Z", False), ("20260601T090000Z", False)):
            end = start[:13] + "59Z" if start != "20260601T090000Z" else "20260601T110000Z"
            condition = f'<C:prop-filter name="{name}">{window(start, end)}</C:prop-filter>'
            body = f"<D:prop><D:getetag/></D:prop>{in_component(condition, component)}"
            reply = await person.report(path, "C:calendar-query", body)
            assert reply.multistatus.hrefs == ([f"{path}1.ics"] if there else []), (name, start)


async def test_9_9_time_range_of_properties(person: Person) -> None:
    await person.has(f"{person.tasks}1.ics", task("1", "STATUS:COMPLETED", "COMPLETED:20260601T120000Z"))
    for end, names in (("20260602T000000Z", [f"{person.tasks}1.ics"]), ("20260601T120000Z", [])):
        completed = f'<C:prop-filter name="COMPLETED">{window("20260601T000000Z", end)}</C:prop-filter>'
        body = f"<D:prop><D:getetag/></D:prop>{in_component(completed, 'VTODO')}"
        assert (await person.report(person.tasks, "C:calendar-query", body)).multistatus.hrefs == names


# -- free-busy --------------------------------------------------------------------------------------------------------


async def test_7_10_types(person: Person) -> None:
    """The table of TRANSP and STATUS; what touches is put together, by type."""
    for number, lines in enumerate(
        (
            ("STATUS:CONFIRMED",),
            ("STATUS:CANCELLED",),
            ("STATUS:TENTATIVE",),
            ("TRANSP:OPAQUE",),
            ("TRANSP:TRANSPARENT",),
            ("TRANSP:TRANSPARENT", "STATUS:TENTATIVE"),
        )
    ):
        await person.has(
            f"{person.calendar}{number}.ics", timed(f":20260601T{number + 8:02}0000Z", *lines, uid=str(number))
        )
    await person.has(f"{person.calendar}long.ics", timed(":20260601T083000Z", uid="long"))
    assert await busy(person, person.calendar, *JUNE) == [
        "FREEBUSY:20260601T080000Z/PT1H30M,20260601T110000Z/PT1H",
        "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20260601T100000Z/PT1H",
    ]
    # what reaches out of the window is cut off at its bounds
    assert await busy(person, person.calendar, "20260601T084500Z", "20260601T090000Z") == [
        "FREEBUSY:20260601T084500Z/PT15M"
    ]


async def test_7_10_depth(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    there = ["FREEBUSY:20260601T090000Z/PT1H"]
    for depth, of_calendar, of_home in (("0", [], []), ("1", there, []), ("infinity", there, there)):
        assert await busy(person, person.calendar, *JUNE, depth) == of_calendar, depth
        assert await busy(person, person.home, *JUNE, depth) == of_home, depth
    # clients that send no Depth mean the events
    assert await busy(person, person.calendar, *JUNE, "") == there


async def test_7_10_objects_have_no_free_busy(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    reply = await person.report(f"{person.calendar}1.ics", "C:free-busy-query", window(*JUNE))
    reply.refused(403, dav("supported-report"))


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<C:time-range/>",
        window("20260601T000000Z", ""),
        window("", "20260601T000000Z"),
        window("20260602T000000Z", "20260601T000000Z"),
        window("20260601T000000Z", "20260601T000000Z"),
        window("20260601", "20260602"),
        window("20260601T000000", "20260602T000000"),
        window("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"),
        window("20260631T000000Z", "20260702T000000Z"),
        window("nonsense", "20260702T000000Z"),
    ],
)
async def test_7_10_wrong_time_ranges(person: Person, inner: str) -> None:
    (await person.report(person.calendar, "C:free-busy-query", inner)).refused(400)


async def test_9_6_5_every_way_to_expand_gives_the_same(person: Person) -> None:
    """From stored occurrences at once, off the event loop where the text is long, from the text where it is unusual."""
    start, end = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 8, tzinfo=UTC)
    daily = ":20260601T090000Z", "RRULE:FREQ=DAILY"
    long = "".join(f"\r\n {number:060}" for number in range(1000))
    texts = {
        "plain.ics": timed(*daily, uid="plain"),
        "long.ics": timed(*daily, f"DESCRIPTION:{long}", uid="long"),
        "unusual.ics": timed(*daily, "x-lower:case", uid="unusual"),
        "zoned-property.ics": timed(*daily, "X-SEEN;TZID=Europe/Berlin:20260601T090000", uid="zoned-property"),
        "floating.ics": timed(":20260601T233000", "RRULE:FREQ=DAILY", uid="floating"),
    }
    for name, text in texts.items():
        await person.has(person.calendar + name, text)
    asked = window("20260601T000000Z", "20260608T000000Z", "C:expand")
    found = await data_of(person, person.calendar, asked, in_component(asked.replace("C:expand", "C:time-range")))
    for name, text in texts.items():
        assert found[name] == expand(text, parse_calendar(text), start, end, UTC_ZONE).splitlines(), name
    assert found.keys() == texts.keys()


async def test_9_6_5_a_long_answer_has_every_object_once_and_in_order(person: Person) -> None:
    texts = {}
    for number in range(40):
        # Two of them have names in lower case, which only the slower way can read.
        start = "dtstart" if number in (20, 30) else "DTSTART"
        long = "DESCRIPTION:" + "A line & another <one>; " * 600
        texts[f"{number:02}.ics"] = event(f"uid-{number}", f"Meeting {number}", long).replace("DTSTART", start)
    for name, text in texts.items():
        await person.has(person.calendar + name, text)
    asked = window("20260601T000000Z", "20260602T000000Z", "C:expand")
    found = await data_of(person, person.calendar, asked, in_component(asked.replace("C:expand", "C:time-range")))
    assert list(found) == list(texts)
    start, end = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)
    for name, text in texts.items():
        assert found[name] == expand(text, parse_calendar(text), start, end, UTC_ZONE).splitlines(), name


async def test_9_6_5_floating_and_zoned_instances_stand_in_order_of_time(person: Person) -> None:
    """A floating override among zoned instances has its place by the time zone that the query names."""
    text = calendar(
        *("BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z", "DTSTART:20260601T090000Z", "DURATION:PT1H"),
        *("RRULE:FREQ=HOURLY;COUNT=4", "END:VEVENT", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z"),
        *("RECURRENCE-ID:20260601T090000Z", "DTSTART:20260601T073000", "DURATION:PT1H", "END:VEVENT"),
    )
    await person.has(person.calendar + "mixed.ics", text)
    asked = window("20260601T000000Z", "20260602T000000Z", "C:expand")
    condition = in_component(asked.replace("C:expand", "C:time-range"))
    for zone, first in (("Etc/UTC", True), ("America/New_York", False)):
        choice = f"{condition}<C:timezone-id>{zone}</C:timezone-id>"
        lines = (await data_of(person, person.calendar, asked, choice))["mixed.ics"]
        starts = [line.removeprefix("DTSTART:") for line in lines if line.startswith("DTSTART")]
        floating = starts.index("20260601T073000")
        assert floating == (0 if first else 2), (zone, starts)  # 07:30 in New York is 11:30 in UTC


@pytest.mark.parametrize("name", ["C:expand", "C:limit-recurrence-set", "C:limit-freebusy-set"])
async def test_9_6_wrong_windows_of_calendar_data(person: Person, name: str) -> None:
    for start, end in (("20260601T000000Z", ""), ("20260602T000000Z", "20260601T000000Z"), ("20260601", "20260602")):
        data = f"<D:prop><C:calendar-data>{window(start, end, name)}</C:calendar-data></D:prop>"
        reply = await person.report(person.calendar, "C:calendar-query", data + in_component(""))
        assert reply.status in (400, 403), (start, end)


async def test_7_10_at_the_ends_of_time(person: Person) -> None:
    """The widest window there is, and the narrow ones at its ends, where floating times would leave the line."""
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert await busy(person, person.calendar, "00010101T000000Z", "99991231T235959Z") == [
        "FREEBUSY:20260601T090000Z/PT1H"
    ]
    for start, end in (("00010101T000000Z", "00010101T000001Z"), ("99991231T235958Z", "99991231T235959Z")):
        assert await busy(person, person.calendar, start, end) == []
        assert await found(person, person.calendar, start, end) == []
