"""RFC 5689: extended MKCOL; with RFC 4918 §9.3: MKCOL, of which only calendars and address books come."""

from __future__ import annotations

import pytest

from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import caldav, calendarserver, carddav, dav, read_propstats
from tests.integration.dav.person import Person, card, event, xml

LOCATION = {
    "calendars": caldav("calendar-collection-location-ok"),
    "addressbooks": carddav("addressbook-collection-location-ok"),
}


def outcome(reply: Reply, root: str) -> dict[int, set[str]]:
    """Names of properties by status."""
    assert reply.headers["Content-Type"].startswith("application/xml")
    assert reply.xml.tag == root
    props, _ = read_propstats(reply.xml)
    return {status: set(group) for status, group in props.items()}


def mkcol(types: str, props: str = "") -> str:
    return xml(
        "D:mkcol",
        f"<D:set><D:prop><D:resourcetype><D:collection/>{types}</D:resourcetype>{props}</D:prop></D:set>",
    )


async def test_3_1_1_options_name_it_on_every_resource_that_takes_it(person: Person) -> None:
    for path in (person.home, person.books):
        reply = await person.http("OPTIONS", path)
        assert "extended-mkcol" in reply.headers["DAV"].split(", ")
        assert "MKCOL" in reply.headers["Allow"].split(", ")


async def test_3_4_success(person: Person) -> None:
    body = """<?xml version="1.0" encoding="utf-8" ?>
   <D:mkcol xmlns:D="DAV:"
                 xmlns:E="urn:ietf:params:xml:ns:caldav">
     <D:set>
       <D:prop>
         <D:resourcetype>
           <D:collection/>
           <E:calendar/>
         </D:resourcetype>
         <D:displayname>Special Resource</D:displayname>
       </D:prop>
     </D:set>
   </D:mkcol>"""
    path = f"{person.home}special/"
    reply = await person.http("MKCOL", path, body, Content_Type='application/xml; charset="utf-8"')
    assert reply.status == 201
    assert reply.headers["Cache-Control"] == "no-cache"
    assert await person.prop(path, "D:displayname") == "Special Resource"
    assert await person.prop(path, "D:resourcetype") == f"<{dav('collection')}></><{caldav('calendar')}></>"


async def test_3_5_an_unknown_type_is_refused(person: Person) -> None:
    body = """<?xml version="1.0" encoding="utf-8" ?>
   <D:mkcol xmlns:D="DAV:"
                 xmlns:E="http://example.com/ns/">
     <D:set>
       <D:prop>
         <D:resourcetype>
           <D:collection/>
           <E:special-resource/>
         </D:resourcetype>
         <D:displayname>Special Resource</D:displayname>
       </D:prop>
     </D:set>
   </D:mkcol>"""
    path = f"{person.home}special/"
    reply = await person.http("MKCOL", path, body, Content_Type='application/xml; charset="utf-8"')
    assert reply.status == 403
    assert outcome(reply, dav("mkcol-response")) == {403: {dav("resourcetype")}, 424: {dav("displayname")}}
    _, errors = read_propstats(reply.xml)
    assert errors == {dav("valid-resourcetype")}
    assert not await person.exists(path)


async def test_4_1_1_mkcol_does_what_mkcalendar_does(person: Person) -> None:
    mkcalendar = """<?xml version="1.0" encoding="utf-8" ?>
   <C:mkcalendar xmlns:D="DAV:"
                 xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:set>
       <D:prop>
         <D:displayname>Lisa's Events</D:displayname>
       </D:prop>
     </D:set>
   </C:mkcalendar>"""
    reply = await person.http("MKCALENDAR", f"{person.home}events/", mkcalendar)
    assert reply.status == 201
    assert reply.headers["Cache-Control"] == "no-cache"
    assert outcome(reply, caldav("mkcalendar-response")) == {200: {dav("displayname")}}
    extended = """<?xml version="1.0" encoding="utf-8" ?>
   <D:mkcol xmlns:D="DAV:"
            xmlns:C="urn:ietf:params:xml:ns:caldav">
     <D:set>
       <D:prop>
         <D:resourcetype>
           <D:collection/>
           <C:calendar/>
         </D:resourcetype>
         <D:displayname>Lisa's Events</D:displayname>
       </D:prop>
     </D:set>
   </D:mkcol>"""
    reply = await person.http("MKCOL", f"{person.home}events2/", extended)
    assert reply.status == 201
    assert reply.headers["Cache-Control"] == "no-cache"
    assert outcome(reply, dav("mkcol-response")) == {200: {dav("resourcetype"), dav("displayname")}}
    asked = ("D:displayname", "D:resourcetype", "C:supported-calendar-component-set", "D:supported-report-set")
    one, two = [await person.propfind(f"{person.home}{name}/", *asked) for name in ("events", "events2")]
    assert one.only == two.only


async def test_3_a_property_that_cannot_be_set_leaves_nothing(person: Person) -> None:
    path = f"{person.home}new/"
    for props, failed in (
        ("<D:getetag>x</D:getetag>", dav("getetag")),
        ("<C:calendar-timezone>none</C:calendar-timezone>", caldav("calendar-timezone")),
        (
            '<C:supported-calendar-component-set><C:comp name="VNONE"/></C:supported-calendar-component-set>',
            caldav("supported-calendar-component-set"),
        ),
        (f"<X:p>{'x' * 300_000}</X:p>", "{http://example.com/ns/}p"),
    ):
        body = mkcol("<C:calendar/>", f"<D:displayname>Name</D:displayname>{props}")
        reply = await person.http("MKCOL", path, body)
        assert 400 <= reply.status < 500 or reply.status == 507
        found = outcome(reply, dav("mkcol-response"))
        assert found.pop(424) == {dav("resourcetype"), dav("displayname")}
        assert list(found.values()) == [{failed}]
        assert not await person.exists(path)
        assert path not in await person.names(person.home)
    token = (await person.sync(person.home)).token
    await person.http("MKCOL", path, body)
    assert (await person.sync(person.home)).token == token, "what failed took no revision"


async def test_3_minimal_gives_no_body(person: Person) -> None:
    body = mkcol("<C:calendar/>", "<D:displayname>Name</D:displayname>")
    reply = await person.http("MKCOL", f"{person.home}new/", body, Prefer="return=minimal")
    assert (reply.status, reply.body) == (201, b"")


@pytest.mark.parametrize("tree", ["calendars", "addressbooks"])
async def test_rfc4918_9_3_plain_mkcol_is_refused(person: Person, tree: str) -> None:
    """Only calendars and address books can be made."""
    home = person.home if tree == "calendars" else person.books
    (await person.http("MKCOL", f"{home}xfiles/")).refused(403, dav("valid-resourcetype"))
    reply = await person.http("MKCOL", f"{home}xfiles/", mkcol(""))
    assert reply.status == 403
    assert read_propstats(reply.xml)[1] == {dav("valid-resourcetype")}
    assert not await person.exists(f"{home}xfiles/")


@pytest.mark.parametrize("tree", ["calendars", "addressbooks"])
async def test_rfc4918_9_3_nested_collections_are_refused(person: Person, tree: str) -> None:
    parent = person.calendar if tree == "calendars" else person.book
    kind = "<C:calendar/>" if tree == "calendars" else "<A:addressbook/>"
    for body in ("", mkcol(kind), mkcol("")):
        (await person.http("MKCOL", f"{parent}nested/", body)).refused(403, LOCATION[tree])
    if tree == "calendars":
        (await person.http("MKCALENDAR", f"{parent}nested/")).refused(403, LOCATION[tree])
    assert await person.names(parent) == []


async def test_rfc4918_9_3_1_status_codes(person: Person, new_person: NewPerson) -> None:
    calendar, book = mkcol("<C:calendar/>"), mkcol("<A:addressbook/>")
    # 405: there is something already
    for path, body in ((person.calendar, calendar), (person.book, book), (f"{person.home}inbox/", calendar)):
        (await person.http("MKCOL", path, body)).refused(405, dav("resource-must-be-null"))
    # 409: an ancestor is missing
    for method, body in (("MKCOL", calendar), ("MKCALENDAR", "")):
        (await person.http(method, f"{person.home}no/new/", body)).refused(409)
    # 415: a body that is not understood
    (await person.http("MKCOL", f"{person.home}new/", xml("X:other"))).refused(415)
    (await person.http("MKCALENDAR", f"{person.home}new/", xml("X:other"))).refused(415)
    # 403: not there
    (await person.http("MKCALENDAR", f"{person.books}new/")).refused(403, LOCATION["calendars"])
    (await person.http("MKCOL", f"{person.books}new/", calendar)).refused(403, LOCATION["calendars"])
    (await person.http("MKCOL", f"{person.home}new/", book)).refused(403, LOCATION["addressbooks"])
    for path in ("/new/", "/calendars/new/", "/principals/users/new/", "/elsewhere/a/b/c/"):
        (await person.http("MKCALENDAR", path)).refused(403, LOCATION["calendars"])
    other = await new_person()
    (await person.http("MKCALENDAR", f"{other.home}new/")).refused(403, dav("need-privileges"))
    assert not await person.exists(f"{person.home}new/")


async def test_rfc4918_9_3_conditions_hold(person: Person) -> None:
    path = f"{person.home}new/"
    (await person.http("MKCALENDAR", path, If_Match="*")).refused(412)
    (await person.http("MKCALENDAR", path, If="(<urn:none>)")).refused(412)
    assert (await person.http("MKCALENDAR", path, If_None_Match="*")).status == 201


async def test_a_home_holds_a_bounded_number_of_collections(person: Person, serve) -> None:
    async with serve({"limits.max_collections": 10}) as small:
        client = small.client(Remote_User=person.name)
        statuses = [(await client("MKCALENDAR", f"{person.home}c{number}/")).status for number in range(9)]
        assert statuses == [201] * 7 + [403] * 2
        (await client("MKCALENDAR", f"{person.home}c9/")).refused(403, calendarserver("max-collections"))
        # inbox, calendar and tasks count, what nobody made does not
        assert len(await person.names(person.home)) == 10 + 2
        client.close()


async def test_names_of_collections_are_kept_as_chosen(person: Person) -> None:
    for name in ("with%20space", "caf%C3%A9", "a+b@c", "%E6%9A%A6", "x" * 200):
        assert (await person.http("MKCALENDAR", f"{person.home}{name}/")).status == 201
        assert f"{person.home}{name}/" in await person.names(person.home)
        await person.has(f"{person.home}{name}/1.ics", event("1"))
        assert (await person.http("DELETE", f"{person.home}{name}/")).status == 204


async def test_the_last_address_book_is_made_anew(person: Person) -> None:
    await person.has(f"{person.book}1.vcf", card("1"))
    id_ = await person.prop(person.book, "D:resource-id")
    token = await person.prop(person.book, "D:sync-token")
    assert (await person.http("MKCOL", f"{person.books}second/", mkcol("<A:addressbook/>"))).status == 201
    assert (await person.http("DELETE", f"{person.books}second/")).status == 204
    assert await person.names(person.books) == [person.book]
    assert (await person.http("DELETE", person.book)).status == 204
    assert await person.names(person.books) == [person.book]
    assert await person.names(person.book) == []
    assert await person.prop(person.book, "D:resource-id") != id_
    body = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop/>"
    (await person.report(person.book, "D:sync-collection", body, "0")).refused(403, dav("valid-sync-token"))
