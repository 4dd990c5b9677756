"""RFC 4918 §9.1: PROPFIND."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest

from tests.integration.dav.multistatus import caldav, calendarserver, dav, example
from tests.integration.dav.person import Person, card, event, xml

BOX = "http://ns.example.com/boxschema/"
BIGBOX, AUTHOR = f"{{{BOX}}}bigbox", f"{{{BOX}}}author"

SET_BOXES = f"""
<R:bigbox xmlns:R="{BOX}"><R:BoxType>Box type A</R:BoxType></R:bigbox>
<R:author xmlns:R="{BOX}"><R:Name>J.J. Johnson</R:Name></R:author>
"""


async def test_9_1_3_named_properties(person: Person) -> None:
    path = f"{person.calendar}file"
    await person.has(path, event("1"))
    await person.set(path, SET_BOXES)
    body = """<?xml version="1.0" encoding="utf-8" ?>
     <D:propfind xmlns:D="DAV:">
       <D:prop xmlns:R="http://ns.example.com/boxschema/">
         <R:bigbox/>
         <R:author/>
         <R:DingALing/>
         <R:Random/>
       </D:prop>
     </D:propfind>"""
    reply = await person.http("PROPFIND", path, body, Content_Type='application/xml; charset="utf-8"')
    # nothing is hidden from a person in their own things: what the RFC's server forbids is missing here
    assert reply.multistatus == example(f"""
     <D:multistatus xmlns:D="DAV:">
       <D:response xmlns:R="http://ns.example.com/boxschema/">
         <D:href>http://www.example.com{path}</D:href>
         <D:propstat>
           <D:prop>
             <R:bigbox>
               <R:BoxType>Box type A</R:BoxType>
             </R:bigbox>
             <R:author>
               <R:Name>J.J. Johnson</R:Name>
             </R:author>
           </D:prop>
           <D:status>HTTP/1.1 200 OK</D:status>
         </D:propstat>
         <D:propstat>
           <D:prop><R:DingALing/><R:Random/></D:prop>
           <D:status>HTTP/1.1 404 Not Found</D:status>
         </D:propstat>
       </D:response>
     </D:multistatus>""")


async def test_9_1_4_propname(person: Person) -> None:
    await person.set(person.calendar, SET_BOXES)
    await person.has(f"{person.calendar}front.ics", event("1"))
    await person.set(f"{person.calendar}front.ics", SET_BOXES.splitlines()[1])
    body = """<?xml version="1.0" encoding="utf-8" ?>
     <propfind xmlns="DAV:">
       <propname/>
     </propfind>"""
    # the default depth is infinity, which is not offered
    (await person.http("PROPFIND", person.calendar, body)).refused(403, dav("propfind-finite-depth"))
    found = (await person.http("PROPFIND", person.calendar, body, Depth="1")).multistatus
    assert found.hrefs == [person.calendar, f"{person.calendar}front.ics"]
    container, front = found.responses.values()
    assert set(container.props) == set(front.props) == {200}
    assert {BIGBOX, AUTHOR, dav("creationdate"), dav("displayname"), dav("resourcetype")} <= set(container.found)
    assert {BIGBOX} | {
        dav(name)
        for name in ("creationdate", "getcontentlength", "getcontenttype", "getetag", "getlastmodified", "resourcetype")
    } <= set(front.found)
    assert AUTHOR not in front.found
    assert not any([*container.found.values(), *front.found.values()]), "propname gives names without values"
    assert dav("supportedlock") not in container.found, "locks are not offered"


async def test_9_1_4_every_property_that_propname_names_can_be_asked_for(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await person.has(f"{person.book}1.vcf", card("1"))
    paths = ["/", "/principals/", "/calendars/", person.principal, person.home, person.calendar, person.tasks]
    paths += [f"{person.home}{name}/" for name in ("inbox", "outbox", "notification")]
    paths += [person.books, person.book, f"{person.calendar}1.ics", f"{person.book}1.vcf"]
    for path in paths:
        named = (await person.http("PROPFIND", path, xml("D:propfind", "<D:propname/>"), Depth="0")).multistatus.only
        asked = "".join(f'<p xmlns="{name[1:].partition("}")[0]}"/>' for name in named.found)
        for name in named.found:
            asked = asked.replace("<p ", f"<{name.partition('}')[2]} ", 1)
        body = xml("D:propfind", f"<D:prop>{asked}</D:prop>")
        found = (await person.http("PROPFIND", path, body, Depth="0")).multistatus.only
        # that a fixed resource has an access control list may be known, who stands on it is the administrators' matter
        hidden = {dav("acl")} if path in ("/", "/principals/", "/calendars/", person.principal) else set()
        assert set(found.found) | hidden == set(named.found), path
        assert set(found.props) <= {200, 403}, path


async def test_9_1_5_allprop_has_dead_properties_and_those_of_the_rfc(person: Person) -> None:
    await person.set(person.calendar, SET_BOXES.replace("J.J. Johnson", "Hadrian"))
    await person.set(person.calendar, "<D:displayname>Example collection</D:displayname>")
    etag = await person.has(f"{person.calendar}front.ics", event("1"))
    await person.set(f"{person.calendar}front.ics", SET_BOXES.splitlines()[1].replace("type A", "type B"))
    body = """<?xml version="1.0" encoding="utf-8" ?>
     <D:propfind xmlns:D="DAV:">
       <D:allprop/>
     </D:propfind>"""
    found = (await person.http("PROPFIND", person.calendar, body, Depth="1")).multistatus
    container, front = found.responses.values()
    assert set(container.props) == set(front.props) == {200}
    assert container.found[BIGBOX] == f"<{{{BOX}}}BoxType>Box type A</>"
    assert container.found[AUTHOR] == f"<{{{BOX}}}Name>Hadrian</>"
    assert container.found[dav("displayname")] == "Example collection"
    assert container.found[dav("resourcetype")] == f"<{dav('collection')}></><{caldav('calendar')}></>"
    assert set(container.found) - {BIGBOX, AUTHOR} <= {
        dav(name)
        for name in ("creationdate", "displayname", "getcontenttype", "getetag", "getlastmodified", "resourcetype")
    }
    assert front.found[BIGBOX] == f"<{{{BOX}}}BoxType>Box type B</>"
    assert front.found[dav("getetag")] == etag
    assert front.found[dav("getcontentlength")] == str(len(event("1").encode()))
    assert front.found[dav("resourcetype")] == ""
    assert set(front.found) == {BIGBOX} | {
        dav(name)
        for name in ("creationdate", "getcontentlength", "getcontenttype", "getetag", "getlastmodified", "resourcetype")
    }


async def test_9_1_no_body_is_allprop(person: Person) -> None:
    everything = await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:allprop/>"), Depth="0")
    nothing = await person.http("PROPFIND", person.calendar, Depth="0")
    assert nothing.multistatus == everything.multistatus


async def test_9_1_6_allprop_with_include(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    body = """<?xml version="1.0" encoding="utf-8" ?>
     <D:propfind xmlns:D="DAV:">
       <D:allprop/>
       <D:include>
         <D:supported-live-property-set/>
         <D:supported-report-set/>
       </D:include>
     </D:propfind>"""
    found = (await person.http("PROPFIND", person.calendar, body, Depth="1")).multistatus
    own, member = found.responses.values()
    for response in (own, member):
        assert {dav("supported-live-property-set"), dav("supported-report-set"), dav("getetag")} <= set(response.found)
    assert dav("sync-collection") in own.found[dav("supported-report-set")]
    assert dav("getetag") in member.found[dav("supported-live-property-set")]


@pytest.mark.parametrize("depth", ["infinity", "Infinity", ""])
async def test_9_1_1_infinite_depth_is_refused_on_collections(person: Person, depth: str) -> None:
    for path in ("/", "/principals/", person.principal, person.home, person.calendar, person.books, person.book):
        (await person.http("PROPFIND", path, Depth=depth)).refused(403, dav("propfind-finite-depth"))


async def test_9_1_infinite_depth_of_a_member_is_the_member(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    for depth in ("0", "1", "infinity", ""):
        assert (await person.http("PROPFIND", path, Depth=depth)).multistatus.hrefs == [path]


async def test_9_1_of_what_is_not_there_is_404(person: Person) -> None:
    for path in (f"{person.calendar}no.ics", f"{person.home}no/", f"{person.book}no.vcf", "/calendars/users/nobody/"):
        assert (await person.http("PROPFIND", path, Depth="0")).status == 404


async def test_9_1_depth_1_lists_children_alone(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    below = ("calendar", "inbox", "notification", "outbox", "tasks")
    assert sorted(await person.names(person.home)) == [f"{person.home}{name}/" for name in below]
    assert await person.names(person.calendar) == [f"{person.calendar}1.ics"]
    assert await person.names("/") == ["/addressbooks/", "/calendars/", "/principals/"]
    assert (await person.propfind(person.home, "D:resourcetype", depth="0")).hrefs == [person.home]


async def test_9_1_5_allprop_of_a_home_leaves_out_what_other_standards_define(person: Person) -> None:
    found = (await person.http("PROPFIND", person.home, xml("D:propfind", "<D:allprop/>"), Depth="1")).multistatus
    for response in found.responses.values():
        for name in (dav("acl"), dav("sync-token"), calendarserver("getctag"), caldav("calendar-timezone")):
            assert name not in response.found


async def test_9_1_an_empty_prop_gives_an_empty_propstat(person: Person) -> None:
    found = (await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:prop/>"), Depth="0")).multistatus
    assert found.only.props == {200: {}}


async def test_9_1_a_property_asked_for_twice_is_there_once(person: Person) -> None:
    found = await person.propfind(person.calendar, "D:getetag", "D:getetag", "X:no", "X:no", depth="1")
    assert set(found[person.calendar].props[404]) == {"{http://example.com/ns/}no"}


async def test_8_3_1_urls_are_percent_encoded(person: Person) -> None:
    await person.has(f"{person.calendar}a%20test", event("1"))
    await person.has(f"{person.calendar}caf%C3%A9&%3Cb%3E.ics", event("2"))
    # what needs no encoding loses it
    await person.has(f"{person.calendar}%61bc~.ics", event("3"))
    assert await person.names(person.calendar) == [
        f"{person.calendar}a%20test",
        f"{person.calendar}abc~.ics",
        f"{person.calendar}caf%C3%A9&%3Cb%3E.ics",
    ] or await person.names(person.calendar) == [
        f"{person.calendar}a%20test",
        f"{person.calendar}abc~.ics",
        f"{person.calendar}caf%C3%A9%26%3Cb%3E.ics",
    ]
    for href in await person.names(person.calendar):
        assert await person.exists(href)


async def test_15_properties_of_each_kind_have_the_syntax_of_the_rfc(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    found = await person.propfind(
        person.calendar, "D:creationdate", "D:getlastmodified", "D:getetag", "D:getcontenttype", depth="1"
    )
    for response in found.responses.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", response.found[dav("creationdate")])
        assert response.found[dav("getlastmodified")].endswith(" GMT")
        assert parsedate_to_datetime(response.found[dav("getlastmodified")])
        assert re.fullmatch(r'"[^"]+"', response.found[dav("getetag")]), "a strong ETag"
    assert found[f"{person.calendar}1.ics"].found[dav("getcontenttype")].startswith("text/calendar")


async def test_a_3_allprop_with_propname_is_400(person: Person) -> None:
    body = """<?xml version="1.0" encoding="utf-8" ?>
      <D:propfind xmlns:D="DAV:">
       <D:allprop/>
       <D:propname/>
      </D:propfind>"""
    (await person.http("PROPFIND", person.calendar, body, Depth="0")).refused(400)


async def test_a_4_an_unknown_element_alone_is_400(person: Person) -> None:
    body = """<?xml version="1.0" encoding="utf-8" ?>
      <D:propfind xmlns:D="DAV:"
      xmlns:E="http://www.example.com/standards/props/">
       <E:expired-props/>
      </D:propfind>"""
    (await person.http("PROPFIND", person.calendar, body, Depth="0")).refused(400)


async def test_a_4_an_unknown_element_beside_a_known_one_is_ignored(person: Person) -> None:
    body = """<?xml version="1.0" encoding="utf-8" ?>
      <D:propfind xmlns:D="DAV:"
                  xmlns:E="http://www.example.com/standards/props/">
       <D:propname/>
       <E:leave-out>*boss*</E:leave-out>
      </D:propfind>"""
    plain = await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:propname/>"), Depth="0")
    assert (await person.http("PROPFIND", person.calendar, body, Depth="0")).multistatus == plain.multistatus
