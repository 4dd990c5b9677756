"""RFC 4918 §9.2: PROPPATCH, and §4: dead properties of any XML value."""

from __future__ import annotations

import pytest
from lxml import etree

from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import apple, caldav, calendarserver, dav
from tests.integration.dav.person import Person, card, event, xml

Z = "http://ns.example.com/standards/z39.50/"
AUTHORS, OWNER = f"{{{Z}}}Authors", f"{{{Z}}}Copyright-Owner"
UPDATE = """<?xml version="1.0" encoding="utf-8" ?>
     <D:propertyupdate xmlns:D="DAV:"
             xmlns:Z="http://ns.example.com/standards/z39.50/">
       <D:set>
         <D:prop>
           <Z:Authors>
             <Z:Author>Jim Whitehead</Z:Author>
             <Z:Author>Roy Fielding</Z:Author>
           </Z:Authors>
         </D:prop>
       </D:set>
       <D:remove>
         <D:prop><Z:Copyright-Owner/></D:prop>
       </D:remove>
     </D:propertyupdate>"""


async def stored(person: Person, path: str, name: str) -> etree._Element:
    """The element of a property as it is answered."""
    space, _, local = name[1:].partition("}")
    body = xml("D:propfind", f'<D:prop><n:{local} xmlns:n="{space}"/></D:prop>')
    reply: Reply = await person.http("PROPFIND", path, body, Depth="0")
    (found,) = reply.xml.iter(name)
    return found


@pytest.mark.parametrize("where", ["object", "calendar", "home", "card", "book", "books", "inbox"])
async def test_9_2_2_set_and_remove(person: Person, where: str) -> None:
    await person.has(f"{person.calendar}bar.ics", event("1"))
    await person.has(f"{person.book}bar.vcf", card("1"))
    path = {
        "object": f"{person.calendar}bar.ics",
        "calendar": person.calendar,
        "home": person.home,
        "card": f"{person.book}bar.vcf",
        "book": person.book,
        "books": person.books,
        "inbox": f"{person.home}inbox/",
    }[where]
    await person.set(path, f'<Z:Copyright-Owner xmlns:Z="{Z}">Someone</Z:Copyright-Owner>')
    reply = await person.http("PROPPATCH", path, UPDATE, Content_Type='application/xml; charset="utf-8"')
    # here the owner may be removed, so both happen
    assert reply.multistatus[path].props == {200: {AUTHORS: "", OWNER: ""}}
    found = await person.propfind(path, f'n:Authors xmlns:n="{Z}"', f'n:Copyright-Owner xmlns:n="{Z}"')
    authors = "".join(f"<{{{Z}}}Author>{name}</>" for name in ("Jim Whitehead", "Roy Fielding"))
    assert found.only.props == {200: {AUTHORS: authors}, 404: {OWNER: ""}}


async def test_9_2_all_or_nothing(person: Person) -> None:
    body = UPDATE.replace("<Z:Copyright-Owner/>", "<D:getetag/>")
    found = (await person.http("PROPPATCH", person.calendar, body)).multistatus.only
    assert found.props == {424: {AUTHORS: ""}, 403: {dav("getetag"): ""}}
    assert found.errors == {dav("cannot-modify-protected-property")}
    assert (await person.propfind(person.calendar, f'n:Authors xmlns:n="{Z}"')).only.status_of(AUTHORS) == 404


async def test_9_2_instructions_happen_in_document_order(person: Person) -> None:
    one, two = ("<D:set><D:prop><X:p>1</X:p></D:prop></D:set>", "<D:set><D:prop><X:p>2</X:p></D:prop></D:set>")
    gone = "<D:remove><D:prop><X:p/></D:prop></D:remove>"
    for instructions, value in ((one + two, "2"), (two + one, "1"), (gone + one, "1"), (one + gone, None)):
        reply = await person.proppatch(person.calendar, instructions)
        assert reply.multistatus.only.props == {200: {"{http://example.com/ns/}p": ""}}
        found = (await person.propfind(person.calendar, "X:p")).only.found
        assert found.get("{http://example.com/ns/}p") == value


@pytest.mark.parametrize(
    "name",
    [
        "D:creationdate",
        "D:getcontentlength",
        "D:getcontenttype",
        "D:getetag",
        "D:getlastmodified",
        "D:resourcetype",
        "D:sync-token",
        "D:supported-report-set",
        "D:supported-live-property-set",
        "D:owner",
        "D:acl",
        "D:current-user-privilege-set",
        "D:current-user-principal",
        "D:quota-available-bytes",
        "D:quota-used-bytes",
        "D:resource-id",
        "D:add-member",
        "S:getctag",
        "C:supported-calendar-component-set",
        "C:supported-calendar-data",
        "C:max-resource-size",
        "C:min-date-time",
        "C:max-date-time",
        "C:max-attendees-per-instance",
        "C:supported-collation-set",
    ],
)
async def test_9_2_1_protected_properties(person: Person, name: str) -> None:
    before = await person.propfind(person.calendar, name)
    for instruction in (
        f"<D:set><D:prop><{name}>new</{name}></D:prop></D:set>",
        f"<D:remove><D:prop><{name}/></D:prop></D:remove>",
    ):
        found = (await person.proppatch(person.calendar, instruction)).multistatus.only
        assert set(found.props) == {403}
        assert found.errors == {dav("cannot-modify-protected-property")}
    assert (await person.propfind(person.calendar, name)).only.found.keys() == before.only.found.keys()


async def test_9_2_of_what_is_not_there_is_404(person: Person) -> None:
    assert (await person.http("PROPPATCH", f"{person.calendar}no.ics", UPDATE)).status == 404


async def test_9_2_is_not_possible_on_fixed_resources_and_strangers_things(
    person: Person, new_person: NewPerson
) -> None:
    other = await new_person()
    for path in ("/", "/principals/", "/calendars/", other.principal, other.home, other.calendar):
        (await person.http("PROPPATCH", path, UPDATE)).refused(403, dav("need-privileges"))


async def test_14_19_the_body_is_a_propertyupdate(person: Person) -> None:
    for body in ("", xml("D:propfind", "<D:allprop/>"), xml("D:propertyupdate"), "text"):
        (await person.http("PROPPATCH", person.calendar, body)).refused(400)


async def test_4_3_1_a_property_with_mixed_content(person: Person) -> None:
    body = """<?xml version="1.0" encoding="utf-8" ?>
     <D:propertyupdate xmlns:D="DAV:"><D:set>
     <D:prop xml:lang="en" xmlns:D="DAV:">
       <x:author xmlns:x='http://example.com/ns'>
         <x:name>Jane Doe</x:name>
         <!-- Jane's contact info -->
         <x:uri type='email'
                added='2005-11-26'>mailto:jane.doe@example.com</x:uri>
         <x:uri type='web'
                added='2005-11-27'>http://www.example.com</x:uri>
         <x:notes xmlns:h='http://www.w3.org/1999/xhtml'>
           Jane has been working way <h:em>too</h:em> long on the
           long-awaited revision of <![CDATA[<RFC2518>]]>.
         </x:notes>
       </x:author>
     </D:prop></D:set></D:propertyupdate>"""
    answered = etree.fromstring("""
     <D:prop xmlns:D='DAV:'><x:author
             xml:lang='en'
             xmlns:x='http://example.com/ns'
             xmlns:h='http://www.w3.org/1999/xhtml'>
         <x:name>Jane Doe</x:name>
         <!-- Jane's contact info -->
         <x:uri   added="2005-11-26" type="email"
           >mailto:jane.doe@example.com</x:uri>
         <x:uri   added="2005-11-27" type="web"
           >http://www.example.com</x:uri>
         <x:notes>
           Jane has been working way <h:em>too</h:em> long on the
           long-awaited revision of &lt;RFC2518&gt;.
         </x:notes>
       </x:author>
     </D:prop>""")
    assert (await person.http("PROPPATCH", person.calendar, body)).multistatus.only.props.keys() == {200}
    found = await stored(person, person.calendar, "{http://example.com/ns}author")
    assert etree.tostring(found, method="c14n", exclusive=True, with_comments=False, with_tail=False) == etree.tostring(
        answered[0], method="c14n", exclusive=True, with_comments=False, with_tail=False
    )


VALUES = {
    "nothing": "",
    "text": "plain text",
    "space": "  two  spaces \n\t and a line ",
    "escaped": "&lt;b&gt; &amp;amp; &quot; ]]&gt;",
    "cdata": "<![CDATA[<a> & b]]>",
    "carriage return": "one&#13;\ntwo",
    "unicode": "暦 \U0001f4c5 é &#x1F600;",
    "nested": "<a><b><c>deep</c></b></a>",
    "mixed": "before <b>bold <i>and</i> more</b> after",
    "other namespace": '<q:a xmlns:q="urn:q" q:attribute="1" plain="2"/>',
    "default namespace": '<a xmlns="urn:q"><b xmlns="urn:r"/><c xmlns=""/></a>',
    "same prefix twice": '<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:2" p:x="1"/></p:a>',
    "language": '<a xml:lang="de">Wort</a>',
    "whitespace kept": '<a xml:space="preserve">  </a>',
    "attribute": '<a x="&quot;&lt;&amp;&#10;&#9;\'"/>',
    "instruction and comment": "<a/><?target data?><!-- comment --><b/>",
    "DAV elements": "<D:href>/x/</D:href><D:status>HTTP/1.1 200 OK</D:status>",
}


@pytest.mark.parametrize("where", ["object", "calendar", "home"])
@pytest.mark.parametrize("value", VALUES)
async def test_4_3_dead_properties_of_any_xml_value(person: Person, value: str, where: str) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    path = {"object": f"{person.calendar}1.ics", "calendar": person.calendar, "home": person.home}[where]
    body = xml("D:propertyupdate", f"<D:set><D:prop><X:p>{VALUES[value]}</X:p></D:prop></D:set>")
    assert (await person.http("PROPPATCH", path, body)).multistatus.only.props.keys() == {200}
    sent = next(etree.fromstring(body.encode(), etree.XMLParser(remove_comments=True, remove_pis=True)).iter("{*}p"))
    found = await stored(person, path, "{http://example.com/ns/}p")
    assert canonical(found) == canonical(sent)
    if where == "object":
        listed = await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:prop><X:p/></D:prop>"), Depth="1")
        (member,) = [item for item in listed.xml if item.findtext(dav("href")) == path]
        assert canonical(next(member.iter("{http://example.com/ns/}p"))) == canonical(sent)


def canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_tail=False)


@pytest.mark.parametrize(
    "element",
    [
        '<p xmlns="">none</p>',
        '<p xmlns="urn:a:b:c">1</p>',
        '<p xmlns="http://example.com/?a=1&amp;b=%3C">1</p>',
        '<é xmlns="http://example.com/">1</é>',
        '<long-name.with_all-1 xmlns="DAV:">1</long-name.with_all-1>',
        '<displayname xmlns="urn:not-dav">1</displayname>',
    ],
)
async def test_4_4_names_of_any_namespace(person: Person, element: str) -> None:
    assert (await person.set(person.calendar, element)).props.keys() == {200}
    name = element.partition(">")[0][1:]
    found = await person.http("PROPFIND", person.calendar, xml("D:propfind", f"<D:prop><{name}/></D:prop>"), Depth="0")
    (value,) = found.multistatus.only.found.values()
    assert value == "".join(etree.fromstring(element).itertext())
    everything = await person.http("PROPFIND", person.calendar, xml("D:propfind", "<D:allprop/>"), Depth="0")
    assert etree.fromstring(element).tag in everything.multistatus.only.found


async def test_4_3_the_language_in_scope_is_kept(person: Person) -> None:
    body = xml(
        "D:propertyupdate",
        '<D:set xml:lang="en"><D:prop xml:lang="ja"><X:p>暦</X:p><X:q xml:lang="fr">mot</X:q></D:prop></D:set>'
        '<D:set xml:lang="en"><D:prop><D:displayname>Word</D:displayname></D:prop></D:set>',
    )
    assert (await person.http("PROPPATCH", person.calendar, body)).multistatus.only.props.keys() == {200}
    language = "{http://www.w3.org/XML/1998/namespace}lang"
    assert (await stored(person, person.calendar, "{http://example.com/ns/}p")).get(language) == "ja"
    assert (await stored(person, person.calendar, "{http://example.com/ns/}q")).get(language) == "fr"
    assert (await stored(person, person.calendar, dav("displayname"))).get(language) == "en"


async def test_9_2_1_a_value_that_is_too_large_is_507(person: Person) -> None:
    found = await person.set(person.calendar, f"<X:p>{'x' * 300_000}</X:p><X:q>1</X:q>")
    assert {status: set(props) for status, props in found.props.items()} == {
        507: {"{http://example.com/ns/}p"},
        424: {"{http://example.com/ns/}q"},
    }
    assert (await person.propfind(person.calendar, "X:q")).only.status_of("{http://example.com/ns/}q") == 404


async def test_9_2_the_number_of_properties_is_bounded(person: Person) -> None:
    for path in (person.calendar, person.home):
        for start in range(0, 400, 50):
            props = "".join(f"<X:p{number}>1</X:p{number}>" for number in range(start, start + 50))
            reply = await person.proppatch(path, f"<D:set><D:prop>{props}</D:prop></D:set>")
            assert reply.status in (207, 507)
        everything = await person.http("PROPFIND", path, xml("D:propfind", "<D:allprop/>"), Depth="0")
        assert 50 <= sum("example.com" in name for name in everything.multistatus.only.found) <= 200


async def test_9_2_1_values_that_do_not_fit_the_property_are_409(person: Person) -> None:
    for element, name in (
        ("<I:calendar-order>first</I:calendar-order>", apple("calendar-order")),
        ("<C:schedule-calendar-transp><X:no/></C:schedule-calendar-transp>", caldav("schedule-calendar-transp")),
        ("<S:source/>", calendarserver("source")),
    ):
        assert (await person.set(person.calendar, element)).status_of(name) == 409


async def test_9_2_etags_of_members_do_not_move_with_dead_properties(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    etag = await person.has(path, event("1"))
    await person.set(path, "<X:p>1</X:p>")
    assert (await person.http("GET", path)).etag == etag
    # PUT does not affect them (RFC 4918 §9.7.1)
    await person.has(path, event("1", "Other"))
    assert await person.prop(path, "X:p") == "1"


async def test_9_2_honours_if_match(person: Person) -> None:
    path = f"{person.calendar}1.ics"
    etag = await person.has(path, event("1"))
    (await person.http("PROPPATCH", path, UPDATE, If_Match='"other"')).refused(412)
    assert (await person.http("PROPPATCH", path, UPDATE, If_Match=etag)).status == 207
