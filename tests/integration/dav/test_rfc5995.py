"""RFC 5995: DAV:add-member; RFC 5842 §3.1: DAV:resource-id."""

from __future__ import annotations

import re

from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import caldav, carddav, dav, hrefs_in
from tests.integration.dav.person import Person, card, event, xml


async def test_3_2_2_propfind(person: Person) -> None:
    body = """<?xml version="1.0" encoding="utf-8" ?>
   <propfind xmlns="DAV:">
     <prop>
       <add-member/>
     </prop>
   </propfind>"""
    for path in (person.calendar, person.book):
        reply = await person.http("PROPFIND", path, body, Depth="0", Content_Type='application/xml; charset="utf-8"')
        assert hrefs_in(reply.multistatus[path].found[dav("add-member")]) == [f"{path};add-member"]
    for path in (person.home, f"{person.home}inbox/", person.principal, "/"):
        assert (await person.propfind(path, "D:add-member")).only.status_of(dav("add-member")) == 404


async def test_3_2_1_not_in_allprop_but_among_the_live_properties(person: Person) -> None:
    everything = await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:allprop/>"), Depth="0")
    assert dav("add-member") not in everything.multistatus.only.found
    assert dav("add-member") in await person.prop(person.calendar, "D:supported-live-property-set")


async def test_3_4_example_operation(person: Person) -> None:
    for path, text, media, suffix in (
        (person.calendar, event("1"), "text/calendar", ".ics"),
        (person.book, card("1"), "text/vcard", ".vcf"),
    ):
        reply = await person.http("POST", f"{path};add-member", text, Content_Type=media, Slug="Sample Title")
        assert reply.status == 201
        location = reply.headers["Location"]
        assert location.startswith(path)
        assert location.endswith(suffix)
        assert await person.names(path) == [location]
        got = await person.http("GET", location)
        assert (got.text, got.etag) == (text, reply.etag)


async def test_4_2_clients_may_choose_names(person: Person) -> None:
    """allow-client-defined-uri always holds."""
    assert (await person.put(f"{person.calendar}new.txt", event("1"))).status == 201


async def test_3_refusals_are_those_of_put(person: Person, new_person: NewPerson) -> None:
    path = f"{person.calendar};add-member"
    (await person.http("POST", path, "text", Content_Type="text/plain")).refused(403, caldav("supported-calendar-data"))
    # a POST without a type is refused alike: a browser sends such from another site's page
    (await person.http("POST", path, event("1"), Content_Type="")).refused(403, caldav("supported-calendar-data"))
    (await person.http("POST", f"{person.book};add-member", card("1"), Content_Type="")).refused(
        403, carddav("supported-address-data")
    )
    assert await person.names(person.calendar) == await person.names(person.book) == []
    (await person.http("POST", path, "text", Content_Type="text/calendar")).refused(403, caldav("valid-calendar-data"))
    await person.has(f"{person.calendar}1.ics", event("1"))
    found = (await person.http("POST", path, event("1"), Content_Type="text/calendar")).refused(
        403, caldav("no-uid-conflict")
    )
    assert found is not None
    assert [item.text for item in found] == [f"{person.calendar}1.ics"]
    (await person.http("POST", f"{person.book};add-member", "x", Content_Type="text/vcard")).refused(
        403, carddav("valid-address-data")
    )
    (await person.http("POST", f"{person.home}no/;add-member", event("2"), Content_Type="text/calendar")).refused(409)
    # §5: it needs DAV:bind
    other = await new_person()
    reply = await person.http("POST", f"{other.calendar};add-member", event("2"), Content_Type="text/calendar")
    reply.refused(403, dav("need-privileges"))
    (await person.http("POST", f"{person.home}inbox/;add-member", event("2"), Content_Type="text/calendar")).refused(
        403
    )
    (await person.http("POST", person.calendar, event("2"), Content_Type="text/calendar")).refused(405)
    # nothing lies at that URL itself
    (await person.put(path, event("2"))).refused(405)
    assert await person.names(person.calendar) == [f"{person.calendar}1.ics"]


async def test_5842_3_1_resource_ids(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.calendar}2.ics", event("2"))
    paths = (
        person.home,
        person.calendar,
        person.tasks,
        f"{person.calendar}1.ics",
        f"{person.calendar}2.ics",
        person.book,
    )
    ids = [hrefs_in(await person.prop(path, "D:resource-id"))[0] for path in paths]
    assert len(set(ids)) == len(paths)
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", id_) for id_ in ids)
    by_name = person.calendar.replace(f"__uids__/{person.uid}", f"users/{person.name}")
    assert hrefs_in(await person.prop(by_name, "D:resource-id")) == [ids[1]]
    # it stays with a change, and is another for what is made anew
    await person.has(f"{person.calendar}1.ics", event("1", "Other"))
    assert hrefs_in(await person.prop(f"{person.calendar}1.ics", "D:resource-id")) == [ids[3]]
    await person.http("DELETE", f"{person.calendar}1.ics")
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert hrefs_in(await person.prop(f"{person.calendar}1.ics", "D:resource-id")) != [ids[3]]
    everything = await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:allprop/>"), Depth="1")
    for response in everything.multistatus.responses.values():
        assert dav("resource-id") not in response.found


async def test_rfc5842_3_1_principals_have_an_id(person: Person, new_person: NewPerson) -> None:
    other, group = await new_person(), await new_person(kind="group")
    paths = [each.principal for each in (person, other, group)]
    paths += [f"{person.principal}calendar-proxy-read/", f"{person.principal}calendar-proxy-write/", person.home]
    ids = [hrefs_in(await person.prop(path, "D:resource-id"))[0] for path in paths]
    assert len(set(ids)) == len(paths)
    assert hrefs_in(await person.prop(f"/principals/users/{person.name}/", "D:resource-id")) == ids[:1]
