"""Looking principals up: RFC 3744 §9.3–§9.5, calendarserver-principal-search, and expand-property."""

from __future__ import annotations

import pytest
import pytest_asyncio

from server.domain.changes import Cause
from server.storage.directory import PrincipalChange, RelationChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import calendarserver, dav, hrefs_in
from tests.integration.dav.person import Person

CAUSE = Cause(None, "test")
FOLDER = "/principals/"


@pytest_asyncio.fixture(loop_scope="session")
async def people(served: Served, new_person: NewPerson) -> dict[str, str]:
    """URLs by name of people whose names nobody else has."""
    directory = PostgresDirectory(served.storage.database)
    if not await directory.principals_known([], ["zoe"], []):
        changes = [
            PrincipalChange(None, f"s-{name}", kind, name, shown, addresses)  # type: ignore[arg-type]
            for name, kind, shown, addresses in (
                ("zoe", "individual", "Zoë Quartermain", ("zq@example.com",)),
                ("zack", "individual", "Zack Quarterly 100%_sure", ("z.q@example.com",)),
                ("zroom", "room", "Quarter Deck", ()),
                ("zgroup", "group", "Quartermasters", ()),
            )
        ]
        await directory.write_principals(changes, CAUSE)
    return {name: f"/principals/__uids__/s-{name}/" for name in ("zoe", "zack", "zroom", "zgroup")}


def search(name: str, match: str, how: str = "") -> str:
    return f"<D:property-search><D:prop><{name}/></D:prop><D:match {how}>{match}</D:match></D:property-search>"


async def found(person: Person, inner: str, attributes: str = "", path: str = FOLDER) -> list[str]:
    body = (
        f'<D:principal-property-search xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" '
        f'xmlns:S="http://calendarserver.org/ns/" {attributes}>{inner}<D:prop><D:displayname/></D:prop>'
        "</D:principal-property-search>"
    )
    return (await person.http("REPORT", path, body, Depth="0")).multistatus.hrefs


async def named(person: Person, people: dict[str, str], inner: str, attributes: str = "") -> set[str]:
    hrefs = await found(person, inner, attributes)
    return {name for name, href in people.items() if href in hrefs}


@pytest.mark.parametrize(
    ("inner", "attributes", "names"),
    [
        (search("D:displayname", "QUARTER"), "", {"zoe", "zack", "zroom", "zgroup"}),
        (search("D:displayname", "zoë q"), "", {"zoe"}),
        (search("D:displayname", "Quarter", 'match-type="starts-with"'), "", {"zroom", "zgroup"}),
        (search("D:displayname", "quarter deck", 'match-type="equals"'), "", {"zroom"}),
        (search("D:displayname", "quarter", 'caseless="no"'), "", set()),
        (search("D:displayname", "100%_s"), "", {"zack"}),
        (search("D:displayname", "1%s"), "", set()),
        (search("D:displayname", "quarter"), 'type="ROOM"', {"zroom"}),
        (search("D:displayname", "quarter"), 'type="INDIVIDUAL"', {"zoe", "zack"}),
        (search("S:first-name", "za", 'match-type="starts-with"'), "", {"zack"}),
        (search("S:last-name", "quarterm", 'match-type="starts-with"'), "", {"zoe"}),
        (search("S:email-address-set", "zq@"), "", {"zoe"}),
        (search("C:calendar-user-address-set", "mailto:ZQ@example.com"), "", {"zoe"}),
        (search("C:calendar-user-address-set", "/principals/__uids__/s-zack/"), "", {"zack"}),
        (search("C:calendar-user-address-set", "/principals/users/zack/"), "", {"zack"}),
        (search("C:calendar-user-address-set", "urn:x-uid:s-zoe"), "", {"zoe"}),
        (search("D:displayname", "quarter") + search("C:calendar-user-type", "ROOM"), "", {"zroom"}),
        (search("D:displayname", "zoë") + search("D:displayname", "deck"), "", set()),
        (search("D:displayname", "zoë") + search("D:displayname", "deck"), 'test="anyof"', {"zoe", "zroom"}),
        (search("D:getetag", "quarter"), "", set()),
    ],
)
async def test_property_search(
    person: Person, people: dict[str, str], inner: str, attributes: str, names: set[str]
) -> None:
    assert await named(person, people, inner, attributes) == names


async def test_folders_have_their_kind_and_form(person: Person, people: dict[str, str]) -> None:
    assert await found(person, search("D:displayname", "quarter"), path="/principals/users/") == [
        "/principals/users/zack/",
        "/principals/users/zoe/",
    ]
    assert await found(person, search("D:displayname", "quarter"), path=person.calendar) == []
    everywhere = search("D:displayname", "quarter d") + "<D:apply-to-principal-collection-set/>"
    assert await found(person, everywhere, path=person.calendar) == [people["zroom"]]


async def test_a_limit_is_told(person: Person, people: dict[str, str]) -> None:
    inner = search("D:displayname", "quarter") + "<S:limit><S:nresults>1</S:nresults></S:limit>"
    reply = await person.report(FOLDER, "D:principal-property-search", inner, "0")
    assert reply.multistatus.hrefs == [people["zack"], FOLDER]
    assert reply.multistatus[FOLDER].status == 507


async def test_the_parts_of_a_name_are_those_that_are_searched(person: Person, people: dict[str, str]) -> None:
    first, last = calendarserver("first-name"), calendarserver("last-name")
    shown = {}
    for name in ("zoe", "zack", "zgroup"):
        parts = (await person.propfind(people[name], "S:first-name", "S:last-name")).only
        shown[name] = (parts.found.get(first), parts.found.get(last))
    assert shown == {"zoe": ("Zoë", "Quartermain"), "zack": ("Zack", "100%_sure"), "zgroup": (None, None)}
    assert await person.prop(person.principal, "S:first-name") == person.name.title()


@pytest.mark.parametrize(
    ("tokens", "context", "names"),
    [
        (("quart",), "", {"zoe", "zack", "zroom", "zgroup"}),
        (("quart", "zo"), "", {"zoe"}),
        (("zq@ex",), "", {"zoe"}),
        (("uarter",), "", set()),
        (("quart",), "user", {"zoe", "zack"}),
        (("quart",), "location", {"zroom"}),
        (("quart",), "group", {"zgroup"}),
        (("quart",), "attendee", {"zoe", "zack", "zroom", "zgroup"}),
        (("ZOË",), "", {"zoe"}),
    ],
)
async def test_calendarserver_search(
    person: Person, people: dict[str, str], tokens: tuple[str, ...], context: str, names: set[str]
) -> None:
    inner = "".join(f"<S:search-token>{token}</S:search-token>" for token in tokens)
    kept = f' context="{context}"' if context else ""
    body = (
        f'<S:calendarserver-principal-search xmlns:S="http://calendarserver.org/ns/" xmlns:D="DAV:"{kept}>{inner}'
        "<D:prop><D:displayname/></D:prop></S:calendarserver-principal-search>"
    )
    hrefs = (await person.http("REPORT", FOLDER, body, Depth="0")).multistatus.hrefs
    assert {name for name, href in people.items() if href in hrefs} == names


async def test_calendarserver_search_needs_more_than_a_letter(person: Person) -> None:
    name = "S:calendarserver-principal-search"
    assert (await person.report(FOLDER, name, "<S:search-token>q</S:search-token>", "0")).status == 403
    assert (await person.report(FOLDER, name, "", "0")).status == 400
    options = await person.http("OPTIONS", FOLDER)
    assert "calendarserver-principal-search" in options.headers["DAV"]


async def test_what_can_be_searched(person: Person) -> None:
    reply = await person.report(FOLDER, "D:principal-search-property-set", "", "0")
    assert reply.status == 200
    shown = {str(item[0].tag) for item in reply.xml.iter(dav("prop"))}
    assert {dav("displayname"), calendarserver("email-address-set")} <= shown


async def test_principal_match(person: Person, new_person: NewPerson, served: Served) -> None:
    other, group = await new_person(), await new_person(kind="group")
    directory = PostgresDirectory(served.storage.database)
    await directory.write_relations([RelationChange(group.id, frozenset({person.id}))], CAUSE)
    members = f"<D:group-member-set><D:href>{group.principal}</D:href></D:group-member-set>"
    await other.set(f"{other.principal}calendar-proxy-write/", members)
    own = (await person.report(FOLDER, "D:principal-match", "<D:self/>", "0")).multistatus.hrefs
    assert set(own) == {person.principal, group.principal, f"{other.principal}calendar-proxy-write/"}
    shown = (await person.report("/principals/groups/", "D:principal-match", "<D:self/>", "0")).multistatus.hrefs
    assert shown == [f"/principals/groups/{group.name}/"]
    inner = "<D:principal-property><D:owner/></D:principal-property>"
    assert person.calendar in (await person.report(person.home, "D:principal-match", inner, "0")).multistatus.hrefs
    assert (await other.report(person.home, "D:principal-match", inner, "0")).status == 403
    writes_for = await person.prop(person.principal, "S:calendar-proxy-write-for")
    assert hrefs_in(writes_for) == [other.principal]
    assert hrefs_in(await person.prop(person.principal, "S:calendar-proxy-read-for")) == []


def asked(name: str, *inner: str, namespace: str = "DAV:") -> str:
    return f'<D:property name="{name}" namespace="{namespace}">{"".join(inner)}</D:property>'


async def test_expand_property(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await person.set(person.home, f"<X:see><D:href>{person.calendar}</D:href><D:href>{other.calendar}</D:href></X:see>")
    inner = asked(
        "see", asked("resourcetype"), asked("owner", asked("displayname")), namespace="http://example.com/ns/"
    )
    reply = await person.report(person.home, "D:expand-property", inner, "0")
    assert reply.status == 207
    (see,) = reply.xml.iter("{http://example.com/ns/}see")
    (own, foreign) = see.findall(dav("response"))
    assert own.findtext(dav("href")) == person.calendar
    (owner,) = own.iter(dav("owner"))
    assert [item.text for item in owner.iter(dav("displayname"))] == [person.name.title()]
    assert foreign.findtext(dav("status")) == "HTTP/1.1 403 Forbidden"
    assert not list(foreign.iter(dav("prop")))


async def test_expand_property_of_what_leads_nowhere(person: Person) -> None:
    await person.set(
        person.home, "<X:see><D:href>mailto:x@example.com</D:href><D:href>/calendars/users/nobody/</D:href></X:see>"
    )
    inner = asked("see", asked("displayname"), namespace="http://example.com/ns/")
    reply = await person.report(person.home, "D:expand-property", inner, "0")
    assert [item.text for item in reply.xml.iter(dav("status"))].count("HTTP/1.1 404 Not Found") == 2
    assert (await person.report(person.home, "D:expand-property", '<D:property name="a b"/>', "0")).status == 400
    assert (await person.report(person.home, "D:expand-property", asked("owner") * 201, "0")).status == 400


async def test_delegates_are_set_by_their_principal_alone(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    members = f"<D:group-member-set><D:href>{other.principal}</D:href></D:group-member-set>"
    path = f"{person.principal}calendar-proxy-write/"
    body = f"<D:set><D:prop>{members}</D:prop></D:set>"
    (await other.proppatch(path, body)).refused(403, dav("need-privileges"))
    (await person.proppatch(path, "<D:set><D:prop><X:note/></D:prop></D:set>")).refused(403, dav("need-privileges"))
    nobody = "<D:group-member-set><D:href>/principals/users/nobody/</D:href></D:group-member-set>"
    assert (await person.set(path, nobody)).status_of(dav("group-member-set")) == 403
    itself = f"<D:group-member-set><D:href>{person.principal}</D:href></D:group-member-set>"
    assert (await person.set(path, itself)).status_of(dav("group-member-set")) == 403
    assert (await person.set(path, members)).status_of(dav("group-member-set")) == 200
    assert hrefs_in(await person.prop(path, "D:group-member-set")) == [other.principal]
    listed = await person.propfind(person.principal, "D:group-member-set", "D:resourcetype", depth="1")
    assert hrefs_in(listed[path].found[dav("group-member-set")]) == [other.principal]
    assert hrefs_in(listed[f"{person.principal}calendar-proxy-read/"].found[dav("group-member-set")]) == []
    assert hrefs_in(await other.prop(other.principal, "D:group-membership")) == [path]
    assert (await other.http("MKCALENDAR", f"{person.home}made/")).status == 201
    (await other.http("GET", person.book)).refused(403, dav("need-privileges"))
