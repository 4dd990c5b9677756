"""RFC 6352: CardDAV."""

from __future__ import annotations

import pytest

from tests.integration.dav.client import Reply
from tests.integration.dav.multistatus import CARDDAV, carddav, dav, example, hrefs_in, read_propstats
from tests.integration.dav.person import Person, card, xml

DATA = carddav("address-data")

CARDS = {
    "v102.vcf": ("34222-232@example.com", "Cyrus Daboo", ("NICKNAME:me", "EMAIL:daboo@example.com")),
    "v104.vcf": ("34222-23222@example.com", "Oliver Daboo", ("NICKNAME:oliver", "EMAIL:oliver@example.com")),
    "v105.vcf": ("34222-5@example.com", "David Boo", ("EMAIL:DABOO2@example.com", "NOTE:me")),
    "v106.vcf": ("34222-6@example.com", "Simon Perreault", ("NICKNAME:men", "TEL;TYPE=WORK:+1-418-656-9254")),
}
SELECTED = """<D:prop>
       <D:getetag/>
       <C:address-data>
         <C:prop name="VERSION"/>
         <C:prop name="UID"/>
         <C:prop name="NICKNAME"/>
         <C:prop name="EMAIL"/>
         <C:prop name="FN"/>
       </C:address-data>
     </D:prop>"""


@pytest.fixture
async def book(person: Person) -> str:
    """The address book of the examples."""
    for name, (uid, full, lines) in CARDS.items():
        await person.has(person.book + name, card(uid, full, *lines, "ORG:Example"))
    return person.book


async def ask(person: Person, path: str, body: str, **headers: str) -> Reply:
    headers = {"Depth": "1", "Content_Type": 'text/xml; charset="utf-8"'} | headers
    return await person.http("REPORT", path, f'<?xml version="1.0" encoding="utf-8" ?>{body}', **headers)


def query(filters: str, prop: str = "<D:prop><D:getetag/></D:prop>", limit: str = "") -> str:
    return f'<C:addressbook-query xmlns:D="DAV:" xmlns:C="{CARDDAV}">{prop}{filters}{limit}</C:addressbook-query>'


async def shown(person: Person, *names: str) -> dict[str, dict[int, dict[str, str]]]:
    """What the selection of the examples gives of these cards."""
    found = {}
    for name in names:
        uid, full, lines = CARDS[name]
        asked = [line for line in lines if line.startswith(("NICKNAME", "EMAIL"))]
        text = "\n".join(["BEGIN:VCARD", "VERSION:3.0", f"UID:{uid}", f"FN:{full}", *asked, "END:VCARD"])
        etag = (await person.http("HEAD", person.book + name)).etag
        found[person.book + name] = {200: {dav("getetag"): etag, DATA: text}}
    return found


async def test_6_1_1_options(person: Person) -> None:
    for path in (person.books, person.book):
        assert {"access-control", "addressbook"} <= set((await person.http("OPTIONS", path)).headers["DAV"].split(", "))
    assert "extended-mkcol" in (await person.http("OPTIONS", person.books)).headers["DAV"]


async def test_6_2_properties_of_every_address_book(person: Person) -> None:
    names = ("supported-address-data", "max-resource-size", "supported-collation-set")
    found = (await person.propfind(person.book, *(f"A:{name}" for name in names), "D:resourcetype")).only
    collation = carddav("supported-collation")
    assert found.props == {
        200: {
            # cards of 4.0 are kept as sent, but nothing converts into it
            carddav(
                "supported-address-data"
            ): f"<{carddav('address-data-type')} content-type='text/vcard' version='3.0'></>",
            carddav("max-resource-size"): "10485760",
            carddav("supported-collation-set"): "".join(
                f"<{collation}>{name}</>" for name in ("i;ascii-casemap", "i;octet", "i;unicode-casemap")
            ),
            dav("resourcetype"): f"<{dav('collection')}></><{carddav('addressbook')}></>",
        }
    }
    everything = (await person.http("PROPFIND", person.book, xml("D:propfind", "<D:allprop/>"), Depth="0")).multistatus
    assert not any(name.startswith(f"{{{CARDDAV}}}") for name in everything.only.found)


async def test_6_2_1_description(person: Person) -> None:
    value = '<A:addressbook-description xml:lang="fr-CA">Adresses de Oliver Daboo</A:addressbook-description>'
    assert set((await person.set(person.book, value)).props) == {200}
    assert await person.prop(person.book, "A:addressbook-description") == "Adresses de Oliver Daboo"


async def test_6_3_1_1_mkcol(person: Person) -> None:
    path = f"{person.books}lisa/"
    body = """<?xml version="1.0" encoding="utf-8" ?>
   <D:mkcol xmlns:D="DAV:"
                 xmlns:C="urn:ietf:params:xml:ns:carddav">
     <D:set>
       <D:prop>
         <D:resourcetype>
           <D:collection/>
           <C:addressbook/>
         </D:resourcetype>
         <D:displayname>Lisa's Contacts</D:displayname>
         <C:addressbook-description xml:lang="en"
   >My primary address book.</C:addressbook-description>
       </D:prop>
     </D:set>
   </D:mkcol>"""
    reply = await person.http("MKCOL", path, body, Content_Type='text/xml; charset="utf-8"')
    assert reply.status == 201
    assert reply.headers["Cache-Control"] == "no-cache"
    assert reply.headers["Content-Type"].startswith("application/xml")
    assert reply.xml.tag == dav("mkcol-response")
    props, errors = read_propstats(reply.xml)
    named = (dav("resourcetype"), dav("displayname"), carddav("addressbook-description"))
    assert (props, errors) == ({200: dict.fromkeys(named, "")}, set())
    found = await person.propfind(path, "D:displayname", "A:addressbook-description")
    assert list(found.only.found.values()) == ["Lisa's Contacts", "My primary address book."]


async def test_6_3_2_put_of_a_new_card(person: Person) -> None:
    text = """BEGIN:VCARD
VERSION:3.0
FN:Cyrus Daboo
N:Daboo;Cyrus
ADR;TYPE=POSTAL:;2822 Email HQ;Suite 2821;RFCVille;PA;15213;USA
EMAIL;TYPE=INTERNET,PREF:cyrus@example.com
NICKNAME:me
NOTE:Example VCard.
ORG:Self Employed
TEL;TYPE=WORK,VOICE:412 605 0499
TEL;TYPE=FAX:412 605 0705
URL:http://www.example.com
UID:1234-5678-9000-1
END:VCARD
"""
    path = f"{person.book}newvcard.vcf"
    reply = await person.put(path, text, If_None_Match="*", Content_Type="text/vcard")
    assert (reply.status, reply.body) == (201, b"")
    got = await person.http("GET", path)
    assert (got.text, got.etag) == (text, reply.etag)
    (await person.put(path, text, If_None_Match="*", Content_Type="text/vcard")).refused(412)


async def test_6_3_2_3_etags(person: Person, book: str) -> None:
    found = await person.propfind(book, "D:getetag", depth="1")
    for name in CARDS:
        assert found[book + name].found[dav("getetag")] == (await person.http("GET", book + name)).etag


async def test_7_1_1_home_set_and_principal_address(person: Person, new_person) -> None:
    assert hrefs_in(await person.prop(person.principal, "A:addressbook-home-set")) == [person.books]
    room = await new_person(kind="room")
    found = await person.propfind(room.principal, "A:addressbook-home-set")
    assert found.only.status_of(carddav("addressbook-home-set")) == 404


async def test_8_6_3_nickname(person: Person, book: str) -> None:
    body = query(
        """<C:filter>
       <C:prop-filter name="NICKNAME">
         <C:text-match collation="i;unicode-casemap"
                       match-type="equals"
         >me</C:text-match>
       </C:prop-filter>
     </C:filter>""",
        SELECTED,
    )
    found = (await ask(person, book, body)).multistatus
    assert {href: response.props for href, response in found.responses.items()} == await shown(person, "v102.vcf")


async def test_8_6_4_full_name_or_email(person: Person, book: str) -> None:
    body = query(
        """<C:filter test="anyof">
       <C:prop-filter name="FN">
         <C:text-match collation="i;unicode-casemap"
                       match-type="contains"
         >daboo</C:text-match>
       </C:prop-filter>
       <C:prop-filter name="EMAIL">
         <C:text-match collation="i;unicode-casemap"
                       match-type="contains"
         >daboo</C:text-match>
       </C:prop-filter>
     </C:filter>""",
        SELECTED,
    )
    found = (await ask(person, book, body)).multistatus
    expected = await shown(person, "v102.vcf", "v104.vcf", "v105.vcf")
    assert {href: response.props for href, response in found.responses.items()} == expected
    found = (await ask(person, book, body.replace("anyof", "allof"))).multistatus
    assert found.hrefs == [f"{book}v102.vcf"]


async def test_8_6_5_truncated_results(person: Person, book: str) -> None:
    daboo = """<C:filter test="anyof">
       <C:prop-filter name="EMAIL">
         <C:text-match collation="i;unicode-casemap"
                       match-type="contains"
         >example</C:text-match>
       </C:prop-filter>
     </C:filter>"""
    limit = """<C:limit>
       <C:nresults>2</C:nresults>
     </C:limit>"""
    found = (await ask(person, book, query(daboo, limit=limit))).multistatus
    etags = [(await person.http("HEAD", f"{book}{name}")).etag for name in ("v102.vcf", "v104.vcf")]
    assert found == example(f"""
   <D:multistatus xmlns:D="DAV:"
                  xmlns:C="urn:ietf:params:xml:ns:carddav">
     <D:response>
       <D:href>{book}</D:href>
       <D:status>HTTP/1.1 507 Insufficient Storage</D:status>
       <D:error><D:number-of-matches-within-limits/></D:error>
       <D:responsedescription xml:lang="en">
         Only two matching records were returned
       </D:responsedescription>
     </D:response>
     <D:response>
       <D:href>{book}v102.vcf</D:href>
       <D:propstat>
         <D:prop>
           <D:getetag>{etags[0]}</D:getetag>
         </D:prop>
         <D:status>HTTP/1.1 200 OK</D:status>
       </D:propstat>
     </D:response>
     <D:response>
       <D:href>{book}v104.vcf</D:href>
       <D:propstat>
         <D:prop>
           <D:getetag>{etags[1]}</D:getetag>
         </D:prop>
         <D:status>HTTP/1.1 200 OK</D:status>
       </D:propstat>
     </D:response>
   </D:multistatus>""")
    enough = (await ask(person, book, query(daboo, limit=limit.replace("2", "3")))).multistatus
    assert enough.hrefs == [f"{book}{name}" for name in ("v102.vcf", "v104.vcf", "v105.vcf")]


async def test_8_7_1_multiget(person: Person, book: str) -> None:
    body = f"""
   <C:addressbook-multiget xmlns:D="DAV:"
                        xmlns:C="urn:ietf:params:xml:ns:carddav">
     {SELECTED}
     <D:href>{book}v102.vcf</D:href>
     <D:href>{book}vcf1.vcf</D:href>
   </C:addressbook-multiget>"""
    found = (await ask(person, book, body)).multistatus
    assert found.hrefs == [f"{book}v102.vcf", f"{book}vcf1.vcf"]
    assert found[f"{book}v102.vcf"].props == (await shown(person, "v102.vcf"))[f"{book}v102.vcf"]
    assert found[f"{book}vcf1.vcf"].status == 404


async def test_8_7_2_multiget_in_a_version_that_is_not_to_be_had(person: Person, book: str) -> None:
    await person.has(f"{book}four.vcf", card("four").replace("VERSION:3.0", "VERSION:4.0"))
    body = f"""
   <C:addressbook-multiget xmlns:D="DAV:"
                        xmlns:C="urn:ietf:params:xml:ns:carddav">
     <D:prop>
       <D:getetag/>
       <C:address-data content-type='text/vcard' version='4.0'/>
     </D:prop>
     <D:href>{book}v102.vcf</D:href>
     <D:href>{book}four.vcf</D:href>
   </C:addressbook-multiget>"""
    found = (await ask(person, book, body)).multistatus
    refused = found[f"{book}v102.vcf"]
    assert (refused.status, refused.errors) == (415, {carddav("supported-address-data-conversion")})
    assert "VERSION:4.0" in found[f"{book}four.vcf"].found[DATA]


@pytest.mark.parametrize("report", ["addressbook-multiget", "addressbook-query"])
async def test_8_6_preconditions_of_address_data(person: Person, book: str, report: str) -> None:
    for attributes in ("content-type='text/plain'", "content-type='text/vcard' version='9.9'"):
        inner = f"<D:prop><A:address-data {attributes}/></D:prop><A:filter/><D:href>{book}v102.vcf</D:href>"
        (await person.report(book, f"A:{report}", inner)).refused(403, carddav("supported-address-data"))


async def test_8_6_preconditions_of_filters(person: Person, book: str) -> None:
    one = '<C:filter><C:prop-filter name="FN">{}</C:prop-filter></C:filter>'.format
    reply = await ask(person, book, query(one('<C:text-match collation="i;no-such">x</C:text-match>')))
    reply.refused(403, carddav("supported-collation"))
    reply = await ask(person, book, query(one('<E:near xmlns:E="http://example.com/ns/"/>')))
    found = reply.refused(403, carddav("supported-filter"))
    assert found is not None
    assert [(item.tag, item.get("name")) for item in found] == [(carddav("prop-filter"), "FN")]
    for wrong in (one('<C:text-match match-type="like">x</C:text-match>'), "<C:filter><C:prop-filter/></C:filter>", ""):
        assert (await ask(person, book, query(wrong))).status in (400, 403)
    for limit in ("x", "-1", ""):
        body = query("<C:filter/>", limit=f"<C:limit><C:nresults>{limit}</C:nresults></C:limit>")
        (await ask(person, book, body)).refused(400)


def one_filter(name: str, condition: str) -> str:
    return f'<C:filter><C:prop-filter name="{name}">{condition}</C:prop-filter></C:filter>'


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("<C:filter/>", "2 4 5 6"),
        ('<C:filter><C:prop-filter name="TEL"/></C:filter>', "6"),
        ('<C:filter><C:prop-filter name="NICKNAME"><C:is-not-defined/></C:prop-filter></C:filter>', "5"),
        ('<C:filter><C:prop-filter name="nickname"><C:text-match>ME</C:text-match></C:prop-filter></C:filter>', "2 6"),
        (
            one_filter("FN", '<C:text-match match-type="starts-with">o</C:text-match>'),
            "4",
        ),
        (
            one_filter("FN", '<C:text-match match-type="ends-with">Boo</C:text-match>'),
            "2 4 5",
        ),
        (
            one_filter("FN", '<C:text-match negate-condition="yes">boo</C:text-match>'),
            "6",
        ),
        (
            one_filter("FN", '<C:text-match collation="i;octet">boo</C:text-match>'),
            "2 4",
        ),
        (
            '<C:filter><C:prop-filter name="TEL"><C:param-filter name="TYPE"><C:text-match>work</C:text-match>'
            "</C:param-filter></C:prop-filter></C:filter>",
            "6",
        ),
        (
            '<C:filter><C:prop-filter name="TEL"><C:param-filter name="TYPE"><C:is-not-defined/></C:param-filter>'
            "</C:prop-filter></C:filter>",
            "",
        ),
        (
            '<C:filter test="allof"><C:prop-filter name="FN" test="allof"><C:text-match>d</C:text-match>'
            '<C:text-match>boo</C:text-match></C:prop-filter><C:prop-filter name="NOTE"/></C:filter>',
            "5",
        ),
    ],
)
async def test_10_5_filters(person: Person, book: str, condition: str, names: str) -> None:
    found = (await ask(person, book, query(condition))).multistatus
    assert found.hrefs == [f"{book}v10{number}.vcf" for number in names.split()]


async def test_10_4_the_whole_card_is_what_get_gives(person: Person) -> None:
    text = "\ufeff" + card("1", "Zoë <&>", "NOTE:a\\nb ]]>", "PHOTO;BASE64:\n  AAAA").replace("\r\n", "\n")
    await person.has(f"{person.book}1.vcf", text)
    for data in ("<A:address-data/>", "<A:address-data><A:allprop/></A:address-data>"):
        for name, more in (
            ("addressbook-query", "<A:filter/>"),
            ("addressbook-multiget", f"<D:href>{person.book}1.vcf</D:href>"),
        ):
            reply = await person.report(person.book, f"A:{name}", f"<D:prop>{data}</D:prop>{more}")
            assert [item.text for item in reply.xml.iter(DATA)] == [text]


async def test_8_6_depth_and_scope(person: Person, book: str) -> None:
    body = query("<C:filter/>")
    assert (await ask(person, book, body, Depth="0")).multistatus.hrefs == []
    assert len((await ask(person, book, body, Depth="")).multistatus.hrefs) == 4
    assert (await ask(person, f"{book}v102.vcf", body, Depth="0")).multistatus.hrefs == [f"{book}v102.vcf"]
    assert (await ask(person, person.books, body, Depth="1")).multistatus.hrefs == []
    assert len((await ask(person, person.books, body, Depth="infinity")).multistatus.hrefs) == 4
    (await ask(person, person.calendar, body)).refused(403, dav("supported-report"))


async def test_5_1_groups_are_cards_like_others(person: Person) -> None:
    group = card("group", "Friends", "X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:1")
    await person.has(f"{person.book}group.vcf", group)
    assert (await person.http("GET", f"{person.book}group.vcf")).text == group
    condition = one_filter("X-ADDRESSBOOKSERVER-KIND", '<C:text-match match-type="equals">group</C:text-match>')
    assert (await ask(person, person.book, query(condition))).multistatus.hrefs == [f"{person.book}group.vcf"]


async def test_6_3_2_1_a_card_of_2_1_is_kept_as_sent(person: Person) -> None:
    text = card("old", "Ä Name").replace("VERSION:3.0", "VERSION:2.1").replace("FN:", "FN;CHARSET=UTF-8:")
    path = f"{person.book}old.vcf"
    etag = await person.has(path, text)
    got = await person.http("GET", path)
    assert (got.text, got.etag) == (text, etag)
    assert got.headers["Content-Type"].startswith("text/vcard")


@pytest.mark.parametrize("version", ["3.0", "4.0"])
async def test_5_1_1_accept_chooses_no_version(person: Person, version: str) -> None:
    text, path = card("1").replace("VERSION:3.0", f"VERSION:{version}"), f"{person.book}1.vcf"
    await person.has(path, text)
    for accept in ("text/vcard; version=4.0", "text/vcard; version=3.0", "image/png", "*/*"):
        got = await person.http("GET", path, Accept=accept)
        assert (got.status, got.text) == (200, text)
