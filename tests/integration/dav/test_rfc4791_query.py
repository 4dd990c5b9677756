"""RFC 4791 §7.8 calendar-query (filters that do not ask for times), §7.9 calendar-multiget, §9.6 partial retrieval."""

from __future__ import annotations

import pytest

from tests.integration.dav.client import Reply
from tests.integration.dav.multistatus import caldav, dav, example, meaning
from tests.integration.dav.person import Person, calendar, event, task, xml
from tests.integration.dav.rfc4791_appendix_b import OBJECTS

DATA = caldav("calendar-data")


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


def query(condition: str, prop: str = "<D:getetag/><C:calendar-data/>") -> str:
    """A calendar-query as the examples print it."""
    return f"""<?xml version="1.0" encoding="utf-8" ?>
   <C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:prop xmlns:D="DAV:">
       {prop}
     </D:prop>
     <C:filter>
       <C:comp-filter name="VCALENDAR">
         {condition}
       </C:comp-filter>
     </C:filter>
   </C:calendar-query>"""


async def ask(person: Person, work: str, body: str) -> Reply:
    return await person.http("REPORT", work, body, Depth="1", Content_Type='application/xml; charset="utf-8"')


async def assert_found(person: Person, work: str, condition: str, *names: str) -> None:
    """Holds the answer against what the RFC prints: the objects, whole, with their ETags."""
    found = (await ask(person, work, query(condition))).multistatus
    assert sorted(found.hrefs) == [f"{work}{name}" for name in names]
    for name in names:
        assert found[work + name].props == {
            200: {
                dav("getetag"): (await person.http("HEAD", work + name)).etag,
                DATA: OBJECTS[name].replace("\r\n", "\n").strip(),
            }
        }


async def test_appendix_b_everything(person: Person, work: str) -> None:
    await assert_found(person, work, "", *OBJECTS)


async def test_7_8_6_event_by_uid(person: Person, work: str) -> None:
    condition = """<C:comp-filter name="VEVENT">
           <C:prop-filter name="UID">
             <C:text-match collation="i;octet"
             >DC6C50A017428C5216A2F1CD@example.com</C:text-match>
           </C:prop-filter>
         </C:comp-filter>"""
    await assert_found(person, work, condition, "abcd3.ics")


async def test_7_8_7_events_by_partstat(person: Person, work: str) -> None:
    condition = """<C:comp-filter name="VEVENT">
           <C:prop-filter name="ATTENDEE">
             <C:text-match collation="i;ascii-casemap"
              >mailto:lisa@example.com</C:text-match>
             <C:param-filter name="PARTSTAT">
               <C:text-match collation="i;ascii-casemap"
                >NEEDS-ACTION</C:text-match>
             </C:param-filter>
           </C:prop-filter>
         </C:comp-filter>"""
    await assert_found(person, work, condition, "abcd3.ics")
    # both conditions are to hold of one property
    await assert_found(person, work, condition.replace("lisa@", "cyrus@"))


async def test_7_8_8_events_only(person: Person, work: str) -> None:
    await assert_found(person, work, '<C:comp-filter name="VEVENT"/>', "abcd1.ics", "abcd2.ics", "abcd3.ics")


async def test_7_8_9_all_pending_to_dos(person: Person, work: str) -> None:
    condition = """<C:comp-filter name="VTODO">
           <C:prop-filter name="COMPLETED">
             <C:is-not-defined/>
           </C:prop-filter>
           <C:prop-filter name="STATUS">
             <C:text-match
                negate-condition="yes">CANCELLED</C:text-match>
           </C:prop-filter>
         </C:comp-filter>"""
    await assert_found(person, work, condition, "abcd4.ics", "abcd5.ics")


async def test_7_8_10_any_property_can_be_asked_for(person: Person, work: str) -> None:
    """The server of the RFC refuses this one; here all properties can be queried."""
    condition = """<C:comp-filter name="VEVENT">
           <C:prop-filter name="X-ABC-GUID">
             <C:text-match>ABC</C:text-match>
           </C:prop-filter>
         </C:comp-filter>"""
    await assert_found(person, work, condition)
    await person.has(f"{work}guid.ics", event("guid", "x", "X-ABC-GUID:zabcd"))
    assert (await ask(person, work, query(condition))).multistatus.hrefs == [f"{work}guid.ics"]


async def test_7_8_10_what_cannot_be_asked_for_is_named(person: Person, work: str) -> None:
    condition = """<C:comp-filter name="VEVENT">
           <C:prop-filter name="X-ABC-GUID"><E:like xmlns:E="http://example.com/ns/">ABC</E:like></C:prop-filter>
         </C:comp-filter>"""
    found = (await ask(person, work, query(condition))).refused(403, caldav("supported-filter"))
    assert found is not None
    assert [(item.tag, item.get("name")) for item in found] == [(caldav("prop-filter"), "X-ABC-GUID")]


@pytest.mark.parametrize(
    ("condition", "precondition"),
    [
        ("<C:prop-filter/>", "valid-filter"),
        ('<C:comp-filter name="VEVENT"><C:comp-filter/></C:comp-filter>', "valid-filter"),
        ('<C:comp-filter name="VEVENT"><C:time-range/></C:comp-filter>', "valid-filter"),
        ('<C:comp-filter name="VEVENT"><C:time-range start="20060101"/></C:comp-filter>', "valid-filter"),
        (
            '<C:comp-filter name="VEVENT"><C:prop-filter name="UID">'
            '<C:text-match collation="i;no-such">1</C:text-match></C:prop-filter></C:comp-filter>',
            "supported-collation",
        ),
    ],
)
async def test_7_8_preconditions(person: Person, work: str, condition: str, precondition: str) -> None:
    reply = await ask(person, work, query(condition))
    assert reply.status in (400, 403)
    assert reply.precondition.tag == caldav(precondition)


async def test_7_8_preconditions_of_calendar_data(person: Person, work: str) -> None:
    for attributes in ('content-type="text/plain"', 'version="3.0"', 'content-type="application/calendar+json"'):
        body = query("", f"<C:calendar-data {attributes}/>")
        (await ask(person, work, body)).refused(403, caldav("supported-calendar-data"))
    body = query("", '<C:calendar-data content-type="text/calendar" version="2.0"/>')
    assert (await ask(person, work, body)).status == 207


async def test_7_8_what_a_query_can_ask_for(person: Person, work: str) -> None:
    event_filter = '<C:comp-filter name="VEVENT">{}</C:comp-filter>'.format
    for condition, names in (
        ('<C:comp-filter name="VEVENT"><C:is-not-defined/></C:comp-filter>', "45678"),
        ('<C:comp-filter name="VTODO"><C:comp-filter name="VALARM"/></C:comp-filter>', "45"),
        (
            '<C:comp-filter name="VTODO"><C:comp-filter name="VALARM"><C:is-not-defined/></C:comp-filter>'
            "</C:comp-filter>",
            "67",
        ),
        ('<C:comp-filter name="VJOURNAL"/>', ""),
        ('<C:comp-filter name="VFREEBUSY"/>', "8"),
        ('<C:comp-filter name="VTIMEZONE"/>', "123"),
        ('<C:prop-filter name="VERSION"><C:text-match>2.0</C:text-match></C:prop-filter>', "12345678"),
        ('<C:prop-filter name="METHOD"/>', ""),
        (event_filter('<C:prop-filter name="RRULE"/>'), "2"),
        (event_filter('<C:prop-filter name="DESCRIPTION"/>'), "1"),
        (event_filter('<C:prop-filter name="SUMMARY"><C:text-match>EVENT #</C:text-match></C:prop-filter>'), "123"),
        (
            event_filter(
                '<C:prop-filter name="SUMMARY"><C:text-match collation="i;octet">EVENT #</C:text-match></C:prop-filter>'
            ),
            "",
        ),
        (event_filter('<C:prop-filter name="SUMMARY"><C:text-match>bis</C:text-match></C:prop-filter>'), "2"),
        (
            event_filter(
                '<C:prop-filter name="ATTENDEE"><C:param-filter name="ROLE"><C:is-not-defined/></C:param-filter>'
                "</C:prop-filter>"
            ),
            "3",
        ),
        (event_filter('<C:prop-filter name="ORGANIZER"><C:is-not-defined/></C:prop-filter>'), "12"),
    ):
        found = (await ask(person, work, query(condition, "<D:getetag/>"))).multistatus
        assert found.hrefs == [f"{work}abcd{number}.ics" for number in names], condition


async def test_7_8_depth_and_scope(person: Person, work: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    body = query('<C:comp-filter name="VEVENT"/>', "<D:getetag/>")
    assert (await person.http("REPORT", work, body, Depth="0")).multistatus.hrefs == []
    for depth in ("1", "infinity", ""):
        assert len((await person.http("REPORT", work, body, Depth=depth)).multistatus.hrefs) == 3
    assert (await person.http("REPORT", f"{work}abcd1.ics", body, Depth="0")).multistatus.hrefs == [f"{work}abcd1.ics"]
    assert (await person.http("REPORT", f"{work}abcd4.ics", body, Depth="0")).multistatus.hrefs == []
    assert (await person.http("REPORT", person.home, body, Depth="1")).multistatus.hrefs == []
    everything = (await person.http("REPORT", person.home, body, Depth="infinity")).multistatus.hrefs
    assert sorted(everything) == [f"{person.calendar}1.ics", *(f"{work}abcd{number}.ics" for number in "123")]
    for path in (person.principal, person.book, "/"):
        (await person.http("REPORT", path, body, Depth="1")).refused(403, dav("supported-report"))


async def test_7_8_properties_that_are_missing_are_404(person: Person, work: str) -> None:
    body = query('<C:comp-filter name="VFREEBUSY"/>', "<D:getetag/><D:no-such/><C:calendar-data/>")
    found = (await ask(person, work, body)).multistatus[f"{work}abcd8.ics"]
    assert set(found.props) == {200, 404}
    assert found.status_of(dav("no-such")) == 404


async def test_7_8_without_prop_and_with_allprop_and_propname(person: Person, work: str) -> None:
    condition = '<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VFREEBUSY"/></C:comp-filter></C:filter>'
    for asked in ("", "<D:allprop/>", "<D:propname/>"):
        reply = await person.report(work, "C:calendar-query", asked + condition)
        assert dav("getetag") in reply.multistatus.only.found
    (await person.report(work, "C:calendar-query", "<D:prop><D:getetag/></D:prop>")).refused(
        403, caldav("valid-filter")
    )


async def test_7_9_1_multiget(person: Person, work: str) -> None:
    body = f"""<?xml version="1.0" encoding="utf-8" ?>
   <C:calendar-multiget xmlns:D="DAV:"
                    xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:prop>
       <D:getetag/>
       <C:calendar-data/>
     </D:prop>
     <D:href>{work}abcd1.ics</D:href>
     <D:href>{work}mtg1.ics</D:href>
   </C:calendar-multiget>"""
    reply = await person.http("REPORT", work, body, Content_Type='application/xml; charset="utf-8"')
    etag = (await person.http("HEAD", f"{work}abcd1.ics")).etag
    assert reply.multistatus == example(f"""
   <D:multistatus xmlns:D="DAV:"
                  xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:response>
       <D:href>http://cal.example.com{work}abcd1.ics</D:href>
       <D:propstat>
         <D:prop>
           <D:getetag>{etag}</D:getetag>
           <C:calendar-data>{OBJECTS["abcd1.ics"]}</C:calendar-data>
         </D:prop>
         <D:status>HTTP/1.1 200 OK</D:status>
       </D:propstat>
     </D:response>
     <D:response>
       <D:href>http://cal.example.com{work}mtg1.ics</D:href>
       <D:status>HTTP/1.1 404 Not Found</D:status>
     </D:response>
   </D:multistatus>""")


async def test_7_9_calendar_data_is_byte_by_byte_what_get_gives(person: Person) -> None:
    text = event("1", "a < b & c > d ]]> \u2028 暦", "DESCRIPTION:trailing \t", "X-P: ")
    await person.has(f"{person.calendar}1.ics", text)
    reply = await person.report(
        person.calendar,
        "C:calendar-multiget",
        f"<D:prop><C:calendar-data/></D:prop><D:href>{person.calendar}1.ics</D:href>",
    )
    (data,) = reply.xml.iter(DATA)
    assert data.text == text


async def test_7_9_hrefs_in_every_form(person: Person) -> None:
    await person.has(f"{person.calendar}a%20b.ics", event("1"))
    by_name = f"/calendars/users/{person.name}/calendar/"
    forms = [
        f"{person.calendar}a%20b.ics",
        f"{by_name}a%20b.ics",
        f"http://calendar.example.com{person.calendar}a%20b.ics",
    ]
    for collection in (person.calendar, by_name, person.home):
        for href in forms:
            body = f"<D:prop><D:getetag/></D:prop><D:href>{href}</D:href>"
            found = (await person.report(collection, "C:calendar-multiget", body)).multistatus
            assert set(found.only.props) == {200}
            assert found.hrefs == [href.replace("http://calendar.example.com", "")]
    # other spellings of it are understood
    for href in (f"{person.calendar}%61 b.ics", f"  {person.calendar}a%20b.ics\n"):
        body = f"<D:prop><D:getetag/></D:prop><D:href>{href}</D:href>"
        found = (await person.report(person.calendar, "C:calendar-multiget", body)).multistatus
        assert found.hrefs == [f"{person.calendar}a%20b.ics"]


async def test_7_9_hrefs_elsewhere_are_404(person: Person, new_person) -> None:
    other = await new_person()
    await other.has(f"{other.calendar}1.ics", event("1"))
    await person.has(f"{person.tasks}1.ics", task("1"))
    hrefs = [
        f"{other.calendar}1.ics",
        person.calendar,
        person.home,
        f"{person.tasks}1.ics",
        f"{person.book}1.vcf",
        "/",
        "http://[",
        "nonsense",
        "/calendars/%ff/a/b/c",
        "../../x",
        "",
    ]
    inner = "".join(f"<D:href>{href}</D:href>" for href in hrefs)
    reply = await person.report(person.calendar, "C:calendar-multiget", f"<D:prop><C:calendar-data/></D:prop>{inner}")
    assert reply.status == 207
    assert {item.findtext(dav("status")) for item in reply.xml} == {"HTTP/1.1 404 Not Found"}
    assert len(reply.xml) == len(hrefs)


async def test_7_9_of_one_object_and_of_a_home(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.tasks}2.ics", task("2"))
    both = "".join(f"<D:href>{path}</D:href>" for path in (f"{person.calendar}1.ics", f"{person.tasks}2.ics"))
    asked = f"<D:prop><D:getetag/></D:prop>{both}"
    statuses = {}
    for path in (f"{person.calendar}1.ics", person.calendar, person.home):
        found = (await person.report(path, "C:calendar-multiget", asked)).multistatus
        statuses[path] = [response.status or 200 for response in found.responses.values()]
    assert list(statuses.values()) == [[200, 404], [200, 404], [200, 200]]
    (await person.report(person.calendar, "C:calendar-multiget", "<D:prop><D:getetag/></D:prop>")).refused(400)


async def test_7_9_the_number_of_hrefs_is_bounded(person: Person) -> None:
    inner = "".join(f"<D:href>/calendars/{number}</D:href>" for number in range(20_001))
    reply = await person.report(person.calendar, "C:calendar-multiget", f"<D:prop/>{inner}")
    reply.refused(403, dav("number-of-matches-within-limits"))


async def test_9_6_partial_retrieval(person: Person, work: str) -> None:
    """The selection of §7.8.1, without its times."""
    data = """<C:calendar-data>
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
       </C:calendar-data>"""
    found = (await ask(person, work, query('<C:comp-filter name="VEVENT"/>', data))).multistatus
    lines = found[f"{work}abcd3.ics"].found[DATA].split("\n")
    assert "VERSION:2.0" in lines
    assert not any(line.startswith(("PRODID", "DTSTAMP", "ATTENDEE", "ORGANIZER")) for line in lines)
    assert lines[-7:] == [
        "BEGIN:VEVENT",
        "DTSTART;TZID=US/Eastern:20060104T100000",
        "DURATION:PT1H",
        "SUMMARY:Event #3",
        "UID:DC6C50A017428C5216A2F1CD@example.com",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    assert "BEGIN:VTIMEZONE" in lines


async def data_of(person: Person, path: str, data: str) -> str:
    """The calendar-data of one object in a calendar-multiget and, the same, in a calendar-query."""
    collection = path[: path.rindex("/") + 1]
    multiget = await person.report(collection, "C:calendar-multiget", f"<D:prop>{data}</D:prop><D:href>{path}</D:href>")
    text = multiget.multistatus.only.found[DATA]
    queried = (await ask(person, collection, query("", data))).multistatus
    assert queried[path].found[DATA] == text
    return text


async def test_9_6_1_an_empty_comp_is_the_whole_component(person: Person) -> None:
    alarm = ("BEGIN:VALARM", "TRIGGER:-PT1M", "ACTION:AUDIO", "END:VALARM")
    path = f"{person.calendar}1.ics"
    text = event("1", "a", *alarm)
    await person.has(path, text)
    whole = text.replace("\r\n", "\n").strip()
    inner = whole[whole.index("BEGIN:VEVENT") : whole.index("END:VCALENDAR")]
    calendar_data = '<C:calendar-data><C:comp name="VCALENDAR">{}</C:comp>{}</C:calendar-data>'.format
    expand = '<C:expand start="20000101T000000Z" end="20500101T000000Z"/>'
    for selection, expected in (
        ("", whole),
        ("<C:allprop/><C:allcomp/>", whole),
        ('<C:allprop/><C:comp name="VEVENT"/>', whole),
        ('<C:comp name="VEVENT"/>', f"BEGIN:VCALENDAR\n{inner}END:VCALENDAR"),
        ("<C:allcomp/>", f"BEGIN:VCALENDAR\n{inner}END:VCALENDAR"),
        ('<C:prop name="VERSION"/>', "BEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR"),
        (
            '<C:comp name="VEVENT"><C:prop name="SUMMARY"/></C:comp>',
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:a\nEND:VEVENT\nEND:VCALENDAR",
        ),
        (
            '<C:comp name="VEVENT"><C:prop name="SUMMARY"/><C:comp name="VALARM"/></C:comp>',
            "\n".join(("BEGIN:VCALENDAR", "BEGIN:VEVENT", "SUMMARY:a", *alarm, "END:VEVENT", "END:VCALENDAR")),
        ),
    ):
        assert await data_of(person, path, calendar_data(selection, "")) == expected, selection
    expanded = await data_of(person, path, f"<C:calendar-data>{expand}</C:calendar-data>")
    assert "BEGIN:VEVENT" in expanded
    assert await data_of(person, path, calendar_data("", expand)) == expanded
    limited = expand.replace("C:expand", "C:limit-recurrence-set")
    assert await data_of(person, path, calendar_data("", limited)) == whole


async def test_9_6_5_an_instance_keeps_its_recurrence_id(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1", "a", "RRULE:FREQ=DAILY;COUNT=2"))
    data = (
        '<C:calendar-data><C:comp name="VCALENDAR"><C:comp name="VEVENT"><C:prop name="SUMMARY"/></C:comp></C:comp>'
        '<C:expand start="20000101T000000Z" end="20500101T000000Z"/></C:calendar-data>'
    )
    names = [line.partition(":")[0] for line in (await data_of(person, path, data)).split("\n")]
    instance = ["BEGIN", "RECURRENCE-ID", "SUMMARY", "END"]
    assert names == ["BEGIN", *instance, *instance, "END"]


async def test_9_6_novalue_and_allcomp(person: Person) -> None:
    await person.has(
        f"{person.calendar}1.ics", event("1", "secret", "BEGIN:VALARM", "TRIGGER:-PT1M", "ACTION:AUDIO", "END:VALARM")
    )
    data = (
        '<C:calendar-data><C:comp name="VCALENDAR"><C:allprop/><C:comp name="VEVENT">'
        '<C:prop name="SUMMARY" novalue="yes"/><C:allcomp/></C:comp></C:comp></C:calendar-data>'
    )
    reply = await person.report(
        person.calendar, "C:calendar-multiget", f"<D:prop>{data}</D:prop><D:href>{person.calendar}1.ics</D:href>"
    )
    text = reply.multistatus.only.found[DATA]
    assert text == (
        calendar(
            "BEGIN:VEVENT", "SUMMARY:", "BEGIN:VALARM", "TRIGGER:-PT1M", "ACTION:AUDIO", "END:VALARM", "END:VEVENT"
        )
        .replace("\r\n", "\n")
        .strip()
    )


async def test_reports_that_are_not_offered(person: Person) -> None:
    """RFC 3253 §3.6."""
    for root in ("X:no-such-report", "D:version-tree", "A:addressbook-query"):
        (await person.report(person.calendar, root, "")).refused(403, dav("supported-report"))
    (await person.http("REPORT", person.calendar)).refused(400)
    (await person.report(person.calendar, "D:sync-collection", "<D:sync-level>5</D:sync-level>")).refused(400)


async def test_supported_report_set_names_what_works(person: Person) -> None:
    """RFC 3253 §3.1.5: each of them answers something else than supported-report."""
    for path in (person.principal, person.home, person.calendar, f"{person.home}inbox/", person.books, person.book):
        reply = await person.http(
            "PROPFIND", path, xml("D:propfind", "<D:prop><D:supported-report-set/></D:prop>"), Depth="0"
        )
        reports = [item[0] for item in reply.xml.iter(dav("report"))]
        for report in reports:
            space, _, local = report.tag[1:].partition("}")
            answer = await person.http("REPORT", path, f'<r:{local} xmlns:r="{space}"/>', Depth="1")
            assert answer.status < 500
            assert dav("supported-report") not in answer.text, meaning(report)
