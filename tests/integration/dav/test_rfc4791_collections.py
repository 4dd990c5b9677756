"""RFC 4791 §5.2 and §5.3.1: calendars, their properties and MKCALENDAR; §4.2: what they may hold."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.dav.client import Client
from tests.integration.dav.conftest import Serve
from tests.integration.dav.multistatus import apple, caldav, calendarserver, dav, hrefs_in
from tests.integration.dav.person import Person, calendar, card, event, task, xml

TIMEZONE = """BEGIN:VCALENDAR
PRODID:-//Example Corp.//CalDAV Client//EN
VERSION:2.0
BEGIN:VTIMEZONE
TZID:US-Eastern
LAST-MODIFIED:19870101T000000Z
BEGIN:STANDARD
DTSTART:19671029T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
TZNAME:Eastern Standard Time (US & Canada)
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19870405T020000
RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=4
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
TZNAME:Eastern Daylight Time (US & Canada)
END:DAYLIGHT
END:VTIMEZONE
END:VCALENDAR
"""


async def test_5_1_1_options(person: Person) -> None:
    for path in (person.home, person.calendar):
        assert "calendar-access" in (await person.http("OPTIONS", path)).headers["DAV"].split(", ")


async def test_5_3_1_2_mkcalendar(person: Person) -> None:
    path = f"{person.home}events/"
    body = f"""<?xml version="1.0" encoding="utf-8" ?>
   <C:mkcalendar xmlns:D="DAV:"
                 xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:set>
       <D:prop>
         <D:displayname>Lisa's Events</D:displayname>
         <C:calendar-description xml:lang="en"
   >Calendar restricted to events.</C:calendar-description>
         <C:supported-calendar-component-set>
           <C:comp name="VEVENT"/>
         </C:supported-calendar-component-set>
         <C:calendar-timezone><![CDATA[{TIMEZONE}]]></C:calendar-timezone>
       </D:prop>
     </D:set>
   </C:mkcalendar>"""
    reply = await person.http("MKCALENDAR", path, body, Content_Type='application/xml; charset="utf-8"')
    assert reply.status == 201
    assert reply.headers["Cache-Control"] == "no-cache"
    names = ("D:displayname", "C:calendar-description", "C:supported-calendar-component-set", "C:calendar-timezone")
    found = (await person.propfind(path, *names, "D:resourcetype")).only
    assert found.props == {
        200: {
            dav("displayname"): "Lisa's Events",
            caldav("calendar-description"): "Calendar restricted to events.",
            caldav("supported-calendar-component-set"): f"<{caldav('comp')} name='VEVENT'></>",
            caldav("calendar-timezone"): TIMEZONE.strip(),
            dav("resourcetype"): f"<{dav('collection')}></><{caldav('calendar')}></>",
        }
    }
    (await person.put(f"{path}t.ics", task("1"))).refused(403, caldav("supported-calendar-component"))
    await person.has(f"{path}e.ics", event("1"))


async def test_5_3_1_without_a_body(person: Person) -> None:
    path = f"{person.home}events/"
    reply = await person.http("MKCALENDAR", path)
    assert (reply.status, reply.body, reply.headers["Cache-Control"]) == (201, b"", "no-cache")
    (await person.http("MKCALENDAR", path)).refused(403, dav("resource-must-be-null"))


async def test_5_3_1_there_may_be_nothing_at_the_url(person: Person) -> None:
    """§1.3: 403 with the precondition, whatever is there and whatever the body asks for."""
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.book}1.vcf", card("1"))
    protected = xml("C:mkcalendar", "<D:set><D:prop><D:getetag>1</D:getetag></D:prop></D:set>")
    for path in (
        person.calendar,
        f"{person.calendar}1.ics",
        f"{person.home}inbox/",
        f"{person.home}outbox/",
        person.home,
        person.book,
        f"{person.book}1.vcf",
        person.books,
        person.principal,
        "/calendars/",
        "/",
    ):
        for body in ("", protected, xml("X:other"), "<broken"):
            (await person.http("MKCALENDAR", path, body)).refused(403, dav("resource-must-be-null"))
    assert (await person.http("MKCOL", person.calendar)).status == 405


async def test_5_3_1_who_loses_a_race_is_told_the_same(person: Person) -> None:
    clients = [Client(person.http.port, person.http.headers) for _ in range(6)]
    for number in range(5):
        path = f"{person.home}race{number}/"
        replies = await asyncio.gather(*(client("MKCALENDAR", path) for client in clients))
        assert sorted(reply.status for reply in replies) == [201, 403, 403, 403, 403, 403]
        for reply in replies:
            if reply.status == 403:
                reply.refused(403, dav("resource-must-be-null"))
    for client in clients:
        client.close()


@pytest.mark.parametrize("method", ["MKCALENDAR", "MKCOL"])
async def test_5_2_3_without_a_component_set_a_calendar_takes_all(person: Person, method: str) -> None:
    path = f"{person.home}all/"
    kind = "<D:set><D:prop><D:resourcetype><D:collection/><C:calendar/></D:resourcetype></D:prop></D:set>"
    assert (await person.http(method, path, xml("D:mkcol", kind) if method == "MKCOL" else "")).status == 201
    value = await person.prop(path, "C:supported-calendar-component-set")
    assert all(f"name='{name}'" in value for name in ("VEVENT", "VTODO", "VJOURNAL", "VAVAILABILITY"))
    assert (await person.put(f"{path}1.ics", event("1"))).status == 201
    assert (await person.put(f"{path}2.ics", task("2"))).status == 201
    journal = calendar("BEGIN:VJOURNAL", "UID:3", "DTSTAMP:20260101T000000Z", "SUMMARY:Notes", "END:VJOURNAL")
    assert (await person.put(f"{path}3.ics", journal)).status == 201
    # the calendars that everybody begins with stay lists of one kind
    (await person.put(f"{person.calendar}2.ics", task("2"))).refused(403, caldav("supported-calendar-component"))
    (await person.put(f"{person.tasks}1.ics", event("1"))).refused(403, caldav("supported-calendar-component"))


async def test_what_a_home_offers_is_in_caldavs_namespace(person: Person) -> None:
    value = await person.prop(person.home, "C:supported-calendar-component-sets")
    assert value.count(f"<{caldav('supported-calendar-component-set')}") >= 3
    found = await person.propfind(person.home, "S:supported-calendar-component-sets")
    assert 404 in found.only.props


async def test_5_3_1_1_what_cannot_be_set_leaves_nothing(person: Person) -> None:
    path = f"{person.home}events/"
    body = xml(
        "C:mkcalendar", "<D:set><D:prop><D:displayname>N</D:displayname><D:getetag>1</D:getetag></D:prop></D:set>"
    )
    found = (await person.http("MKCALENDAR", path, body)).multistatus[path]
    assert found.props == {403: {dav("getetag"): ""}, 424: {dav("displayname"): ""}}
    assert not await person.exists(path)
    body = xml("C:mkcalendar", "<D:set><D:prop><C:calendar-timezone>no</C:calendar-timezone></D:prop></D:set>")
    found = (await person.http("MKCALENDAR", path, body)).multistatus[path]
    assert found.status_of(caldav("calendar-timezone")) == 403
    assert found.errors == {caldav("valid-calendar-data")}
    assert not await person.exists(path)


@pytest.mark.parametrize(
    "text",
    ["", "text", event("1"), TIMEZONE.replace("END:VTIMEZONE\n", ""), TIMEZONE.replace("TZID:US-Eastern\n", "")],
)
async def test_5_2_2_a_timezone_is_one_valid_vtimezone(person: Person, text: str) -> None:
    found = await person.set(person.calendar, f"<C:calendar-timezone><![CDATA[{text}]]></C:calendar-timezone>")
    assert found.status_of(caldav("calendar-timezone")) == 403
    assert found.errors == {caldav("valid-calendar-data")}
    assert (await person.propfind(person.calendar, "C:calendar-timezone")).only.status_of(
        caldav("calendar-timezone")
    ) == 404


async def test_5_2_2_a_timezone_can_be_set_and_removed(person: Person) -> None:
    found = await person.set(person.calendar, f"<C:calendar-timezone><![CDATA[{TIMEZONE}]]></C:calendar-timezone>")
    assert set(found.props) == {200}
    assert await person.prop(person.calendar, "C:calendar-timezone") == TIMEZONE.strip()
    await person.proppatch(person.calendar, "<D:remove><D:prop><C:calendar-timezone/></D:prop></D:remove>")
    assert 404 in (await person.propfind(person.calendar, "C:calendar-timezone")).only.props


async def test_5_2_2_a_timezone_needs_neither_version_nor_prodid(person: Person) -> None:
    bare = "\n".join(line for line in TIMEZONE.splitlines() if not line.startswith(("VERSION", "PRODID")))
    assert "VERSION" not in bare
    found = await person.set(person.calendar, f"<C:calendar-timezone><![CDATA[{bare}]]></C:calendar-timezone>")
    assert set(found.props) == {200}
    assert await person.prop(person.calendar, "C:calendar-timezone") == bare.strip()
    window = '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/>'
    inner = (
        "<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name='VCALENDAR'><C:comp-filter name='VEVENT'>"
        f"{window}</C:comp-filter></C:comp-filter></C:filter><C:timezone><![CDATA[{bare}]]></C:timezone>"
    )
    await person.has(f"{person.calendar}1.ics", event("1"))
    found = (await person.report(person.calendar, "C:calendar-query", inner)).multistatus
    assert found.hrefs == [f"{person.calendar}1.ics"]


async def test_5_2_properties_of_every_calendar(person: Person) -> None:
    found = (
        await person.propfind(
            person.calendar,
            "C:supported-calendar-component-set",
            "C:supported-calendar-data",
            "C:max-resource-size",
            "C:min-date-time",
            "C:max-date-time",
            "C:max-attendees-per-instance",
            "C:supported-collation-set",
            "C:max-instances",
        )
    ).only
    comp, data, collation = caldav("comp"), caldav("calendar-data"), caldav("supported-collation")
    assert found.props == {
        200: {
            caldav("supported-calendar-component-set"): f"<{comp} name='VEVENT'></>",
            caldav("supported-calendar-data"): f"<{data} content-type='text/calendar' version='2.0'></>",
            caldav("max-resource-size"): "10485760",
            caldav("min-date-time"): "00010101T000000Z",
            caldav("max-date-time"): "99991231T235959Z",
            caldav("max-attendees-per-instance"): "2000",
            caldav("supported-collation-set"): "".join(
                f"<{collation}>{name}</>" for name in ("i;ascii-casemap", "i;octet", "i;unicode-casemap")
            ),
        },
        404: {caldav("max-instances"): ""},
    }


async def test_5_2_3_the_component_set_is_chosen_at_creation(person: Person) -> None:
    path = f"{person.home}both/"
    components = '<C:comp name="VTODO"/><C:comp name="vjournal"/>'
    prop = f"<C:supported-calendar-component-set>{components}</C:supported-calendar-component-set>"
    assert (
        await person.http("MKCALENDAR", path, xml("C:mkcalendar", f"<D:set><D:prop>{prop}</D:prop></D:set>"))
    ).status == 201
    value = await person.prop(path, "C:supported-calendar-component-set")
    assert value == f"<{caldav('comp')} name='VJOURNAL'></><{caldav('comp')} name='VTODO'></>"
    await person.has(f"{path}t.ics", task("1"))
    (await person.put(f"{path}e.ics", event("2"))).refused(403, caldav("supported-calendar-component"))
    assert (await person.set(path, prop)).errors == {dav("cannot-modify-protected-property")}


async def test_4_1_one_uid_and_one_kind_of_component(person: Person) -> None:
    one, two = event("1").split("\r\n")[3:-2], event("2").split("\r\n")[3:-2]
    (await person.put(f"{person.calendar}1.ics", calendar(*one, *two))).refused(
        403, caldav("valid-calendar-object-resource")
    )
    todo = task("1").split("\r\n")[3:-2]
    (await person.put(f"{person.calendar}1.ics", calendar(*one, *todo))).refused(
        403, caldav("valid-calendar-object-resource")
    )
    override = [*one[:4], "RECURRENCE-ID:20260602T090000Z", *one[4:]]
    await person.has(f"{person.calendar}1.ics", calendar(*one[:-1], "RRULE:FREQ=DAILY;COUNT=3", one[-1], *override))


async def test_6_2_principals_lead_to_homes(person: Person) -> None:
    found = (
        await person.propfind(
            person.principal,
            "C:calendar-home-set",
            "A:addressbook-home-set",
            "C:calendar-user-address-set",
            "C:schedule-inbox-URL",
            "C:schedule-outbox-URL",
        )
    ).only
    assert set(found.props) == {200}
    values = {name.partition("}")[2]: hrefs_in(value) for name, value in found.found.items()}
    assert values["calendar-home-set"] == [person.home]
    assert values["addressbook-home-set"] == [person.books]
    assert values["schedule-inbox-URL"] == [f"{person.home}inbox/"]
    assert values["schedule-outbox-URL"] == [f"{person.home}outbox/"]
    assert f"mailto:{person.name}@example.com" in values["calendar-user-address-set"]
    assert person.principal in values["calendar-user-address-set"]


async def test_calendarserver_ctag_moves_with_everything_below(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    tags = [(await person.prop(person.home, "S:getctag"), await person.prop(person.calendar, "S:getctag"))]
    steps = (
        lambda: person.put(path, event("1")),
        lambda: person.put(path, event("1", "Other")),
        lambda: person.set(path, "<X:p>1</X:p>"),
        lambda: person.set(person.calendar, "<D:displayname>Name</D:displayname>"),
        lambda: person.http("DELETE", path),
    )
    for step in steps:
        await step()
        tags.append((await person.prop(person.home, "S:getctag"), await person.prop(person.calendar, "S:getctag")))
    assert all(len(set(column)) == len(steps) + 1 for column in zip(*tags, strict=True))
    before = await person.prop(person.home, "S:getctag")
    quiet = await person.prop(person.calendar, "S:getctag")
    await person.has(f"{person.tasks}1.ics", task("1"))
    assert await person.prop(person.home, "S:getctag") != before
    assert await person.prop(person.calendar, "S:getctag") == quiet
    before = await person.prop(person.home, "S:getctag")
    await person.http("MKCALENDAR", f"{person.home}new/")
    assert await person.prop(person.home, "S:getctag") != before
    before = await person.prop(person.home, "S:getctag")
    await person.http("DELETE", f"{person.home}new/")
    assert await person.prop(person.home, "S:getctag") != before


async def test_apple_colour_and_order(person: Person) -> None:
    for name, value in (("calendar-color", "#FF2968FF"), ("calendar-order", "7")):
        assert set((await person.set(person.calendar, f"<I:{name}>{value}</I:{name}>")).props) == {200}
        assert (await person.propfind(person.calendar, f"I:{name}")).only.found == {apple(name): value}
    everything = (
        await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:allprop/>"), Depth="0")
    ).multistatus
    assert apple("calendar-color") not in everything.only.found


async def test_subscribed_collections_keep_the_address(person: Person) -> None:
    """calendarserver: a calendar that apps read from elsewhere, kept here for all of a person's devices."""
    path = f"{person.home}holidays/"
    body = xml(
        "D:mkcol",
        "<D:set><D:prop><D:resourcetype><D:collection/><S:subscribed/></D:resourcetype>"
        "<D:displayname>Holidays</D:displayname><I:calendar-color>#00FF00</I:calendar-color>"
        "<S:source><D:href>webcal://example.com/holidays.ics</D:href></S:source></D:prop></D:set>",
    )
    assert (await person.http("MKCOL", path, body)).status == 201
    found = (await person.propfind(path, "D:resourcetype", "S:source", "D:displayname", "I:calendar-color")).only
    assert found.props == {
        200: {
            dav("resourcetype"): "".join(sorted((f"<{dav('collection')}></>", f"<{calendarserver('subscribed')}></>"))),
            calendarserver("source"): f"<{dav('href')}>webcal://example.com/holidays.ics</>",
            dav("displayname"): "Holidays",
            apple("calendar-color"): "#00FF00",
        }
    }
    # it has no members of its own
    (await person.put(f"{path}1.ics", event("1"))).refused(403, dav("need-privileges"))
    await person.set(path, "<S:source><D:href>https://example.com/other.ics</D:href></S:source>")
    assert hrefs_in(await person.prop(path, "S:source")) == ["https://example.com/other.ics"]
    assert (await person.http("DELETE", path)).status == 204


async def test_rfc6638_9_2_the_default_calendar_is_one_that_exists(person: Person, serve: Serve) -> None:
    """It follows the calendar that was chosen, and is another when that is gone."""
    inbox, name = f"{person.home}inbox/", "C:schedule-default-calendar-URL"

    async def default() -> list[str]:
        (alone,) = (await person.propfind(inbox, name)).responses.values()
        listed = (await person.propfind(person.home, name, depth="1"))[inbox]
        synced = (await person.sync(person.home, level="1", props=f"<{name}/>"))[inbox]
        named = await person.http("PROPFIND", person.home, xml("D:propfind", "<D:propname/>"), Depth="1")
        property_ = caldav("schedule-default-calendar-URL")
        assert alone.props == listed.props == synced.props
        assert (property_ in named.multistatus[inbox].found) is (property_ in alone.found)
        return hrefs_in(alone.found.get(property_, ""))

    async def choose(path: str) -> set[int]:
        href = f"<D:href>{path}</D:href>"
        return set((await person.set(inbox, f"<{name}>{href}</{name}>")).props)

    assert await default() == [person.calendar]
    assert (await person.http("MKCALENDAR", f"{person.home}new%20one/")).status == 201
    assert await choose(f"{person.home}new%20one/") == {200}
    assert await default() == [f"{person.home}new%20one/"]
    assert (await person.http("MOVE", f"{person.home}new%20one/", Destination=f"{person.home}moved/")).status == 201
    assert await default() == [f"{person.home}moved/"]
    async with serve({"network.external_url": "http://127.0.0.1/dav"}) as served:
        client = served.client(Remote_User=person.name)
        found = await client("PROPFIND", inbox, xml("D:propfind", f"<D:prop><{name}/></D:prop>"), Depth="0")
        assert f"<D:href>/dav{person.home}moved/</D:href>" in found.text
        client.close()
    for path in (person.tasks, person.book, f"{person.home}none/", inbox):
        assert await choose(path) == {403}
    needed = caldav("default-calendar-needed")
    (await person.http("DELETE", f"{person.home}moved/")).refused(403, needed)
    # Nor is it deleted by what takes its name (RFC 4918 §9.8.4, §9.9.3).
    for method in ("COPY", "MOVE"):
        (await person.http(method, person.calendar, Destination=f"{person.home}moved/")).refused(403, needed)
    assert (await person.http("DELETE", person.calendar)).status == 204
    assert (await person.http("MKCALENDAR", f"{person.home}newer/")).status == 201
    assert await choose(f"{person.home}newer/") == {200}
    assert (await person.http("DELETE", f"{person.home}moved/")).status == 204
    assert await default() == [f"{person.home}newer/"]
    (await person.http("DELETE", f"{person.home}newer/")).refused(403, needed)


async def test_the_default_calendar_for_tasks_is_one_that_exists(person: Person) -> None:
    """Apple's property beside that of RFC 6638 §9.2; the calendar of tasks can be deleted."""
    inbox, name = f"{person.home}inbox/", "S:schedule-default-tasks-URL"

    async def choose(path: str) -> set[int]:
        return set((await person.set(inbox, f"<{name}><D:href>{path}</D:href></{name}>")).props)

    assert hrefs_in(await person.prop(inbox, name)) == [person.tasks]
    assert await choose(person.calendar) == {403}
    assert (await person.http("MKCALENDAR", f"{person.home}both/")).status == 201
    assert await choose(f"{person.home}both/") == {200}
    assert hrefs_in(await person.prop(inbox, name)) == [f"{person.home}both/"]
    assert (await person.http("DELETE", f"{person.home}both/")).status == 204
    assert hrefs_in(await person.prop(inbox, name)) == [person.tasks]
