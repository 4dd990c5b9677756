"""The ACL method and what it gives (RFC 3744 §5, §8): on calendars and address books, for people and groups."""

from __future__ import annotations

import pytest

from server.domain.changes import Cause
from server.storage.directory import RelationChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, event, xml

CAUSE = Cause(None, "test")


def href(person: Person) -> str:
    return f"<D:href>{person.principal}</D:href>"


def ace(principal: str, *privileges: str, verb: str = "grant", more: str = "") -> str:
    inner = "".join(f"<D:privilege><{name}/></D:privilege>" for name in privileges)
    return f"<D:ace><D:principal>{principal}</D:principal><D:{verb}>{inner}</D:{verb}>{more}</D:ace>"


async def acl(person: Person, path: str, *aces: str) -> Reply:
    return await person.http("ACL", path, xml("D:acl", "".join(aces)))


async def privileges(person: Person, path: str) -> str:
    return await person.prop(path, "D:current-user-privilege-set")


async def test_what_is_granted_opens_one_calendar_and_no_more(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert (await acl(person, person.calendar, ace(href(other), "D:read"))).status == 200
    assert (await other.http("GET", f"{person.calendar}1.ics")).status == 200
    assert (await other.http("GET", f"{person.calendar}none.ics")).status == 404
    assert (await other.names(person.calendar)) == [f"{person.calendar}1.ics"]
    (await other.put(f"{person.calendar}2.ics", event("2"))).refused(403, dav("need-privileges"))
    (await other.put(f"{person.calendar}1.ics", event("1"))).refused(403, dav("need-privileges"))
    (await other.http("DELETE", f"{person.calendar}1.ics")).refused(403, dav("need-privileges"))
    (await other.http("DELETE", person.calendar)).refused(403, dav("need-privileges"))
    for path in (person.home, person.tasks, f"{person.home}none/", f"{person.home}inbox/", person.books):
        for method in ("GET", "PROPFIND", "OPTIONS", "DELETE", "MKCALENDAR"):
            (await other.http(method, path, Depth="1")).refused(403, dav("need-privileges"))


async def test_a_grant_ends_with_the_list(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await acl(person, person.book, ace(href(other), "D:all"))
    assert (await other.http("PROPFIND", person.book, Depth="0")).status == 207
    await acl(person, person.book)
    (await other.http("PROPFIND", person.book, Depth="0")).refused(403, dav("need-privileges"))


async def test_binding_without_reading_shows_nothing(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await acl(person, person.calendar, ace(href(other), "D:bind"))
    assert (await other.put(f"{person.calendar}new.ics", event("new"))).status == 201
    for name in ("new.ics", "none.ics", ""):
        for method in ("GET", "PROPFIND", "DELETE"):
            (await other.http(method, person.calendar + name)).refused(403, dav("need-privileges"))


async def test_binding_without_reading_is_a_success_even_where_the_text_is_asked_for(
    person: Person, new_person: NewPerson
) -> None:
    """The preference for a representation is ignored where the text may not be read (RFC 8144 §2.2)."""
    other = await new_person()
    await acl(person, person.calendar, ace(href(other), "D:bind"))
    wanted = {"Prefer": "return=representation", "Content_Type": "text/calendar"}
    await other.has(f"{other.calendar}1.ics", event("copied"))
    for method, path, body, more in (
        ("PUT", f"{person.calendar}put.ics", event("put"), {}),
        ("POST", f"{person.calendar};add-member", event("post"), {}),
        ("COPY", f"{other.calendar}1.ics", "", {"Destination": f"{person.calendar}copied.ics"}),
    ):
        reply = await other.http(method, path, body, **wanted, **more)
        assert (reply.status, reply.body) == (201, b"")
        assert "Preference-Applied" not in reply.headers
    assert len(await person.names(person.calendar)) == 3


async def test_write_content_alone_changes_what_is_there(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await person.has(f"{person.calendar}1.ics", event("1"))
    await other.has(f"{other.calendar}1.ics", event("1", "Copied"))
    await acl(person, person.calendar, ace(href(other), "D:write-content"))
    path = f"{person.calendar}1.ics"
    assert (await other.put(path, event("1", "Changed"))).status == 204
    assert (await person.http("GET", path)).text == event("1", "Changed")
    for reply in (
        await other.put(f"{person.calendar}new.ics", event("new")),
        await other.http("COPY", f"{other.calendar}1.ics", Destination=path),
        await other.http("COPY", f"{other.calendar}1.ics", Destination=f"{person.calendar}new.ics"),
        await other.http("MOVE", f"{other.calendar}1.ics", Destination=path),
        await other.http("GET", path),
        await other.http("DELETE", path),
        await other.proppatch(person.calendar, "<D:set><D:prop><X:note>1</X:note></D:prop></D:set>"),
    ):
        reply.refused(403, dav("need-privileges"))


async def test_a_copy_over_a_member_writes_content_and_properties(person: Person, new_person: NewPerson) -> None:
    """RFC 3744 Appendix B."""
    other = await new_person()
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    await other.has(f"{other.calendar}1.ics", event("1", "Copied"))
    await acl(person, person.calendar, ace(href(other), "D:write-content", "D:write-properties"))
    assert (await other.http("COPY", f"{other.calendar}1.ics", Destination=path)).status == 204
    assert (await person.http("GET", path)).text == event("1", "Copied")


async def test_write_properties_alone_sets_properties(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await acl(person, person.calendar, ace(href(other), "D:write-properties"))
    assert set((await other.set(person.calendar, "<X:note>1</X:note>")).props) == {200}
    assert await person.prop(person.calendar, "X:note") == "1"
    (await other.http("PROPFIND", person.calendar, Depth="0")).refused(403, dav("need-privileges"))


async def test_groups_count_through_groups(person: Person, new_person: NewPerson, served: Served) -> None:
    other = await new_person()
    inner, outer = await new_person(kind="group"), await new_person(kind="group")
    directory = PostgresDirectory(served.storage.database)
    members = [RelationChange(inner.id, frozenset({other.id})), RelationChange(outer.id, frozenset({inner.id}))]
    await directory.write_relations(members, CAUSE)
    await acl(person, person.calendar, ace(href(outer), "D:read", "D:write"))
    assert (await other.put(f"{person.calendar}1.ics", event("1"))).status == 201
    await directory.write_relations([RelationChange(outer.id, frozenset())], CAUSE)
    (await other.http("GET", f"{person.calendar}1.ics")).refused(403, dav("need-privileges"))


async def test_a_denial_takes_only_from_the_list(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    deny = ace(href(other), "D:read", verb="deny")
    await acl(person, person.calendar, deny, ace("<D:authenticated/>", "D:read"))
    (await other.http("PROPFIND", person.calendar, Depth="0")).refused(403, dav("need-privileges"))
    delegate = f"<D:group-member-set>{href(other)}</D:group-member-set>"
    assert (await person.set(f"{person.principal}calendar-proxy-read/", delegate)).status_of(dav("group-member-set"))
    assert (await other.http("PROPFIND", person.calendar, Depth="0")).status == 207


async def test_free_busy_alone_gives_the_report_alone(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await person.has(f"{person.calendar}1.ics", event("1", "Secret"))
    await acl(person, person.calendar, ace(href(other), "C:read-free-busy"))
    window = '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/>'
    reply = await other.report(person.calendar, "C:free-busy-query", window)
    assert reply.status == 200
    assert "20260601T090000Z" in reply.text
    assert "Secret" not in reply.text
    for path in (f"{person.calendar}1.ics", f"{person.calendar}none.ics", person.home, person.tasks):
        (await other.report(path, "C:free-busy-query", window)).refused(403, dav("need-privileges"))
    (await other.http("PROPFIND", person.calendar, Depth="0")).refused(403, dav("need-privileges"))
    query = "<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name='VCALENDAR'/></C:filter>"
    (await other.report(person.calendar, "C:calendar-query", query)).refused(403, dav("need-privileges"))


async def test_the_property_shows_what_is_set_protected_and_inherited(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await person.has(f"{person.calendar}1.ics", event("1"))
    await acl(person, person.calendar, ace(href(other), "D:read"), ace("<D:all/>", "D:write", verb="deny"))
    shown = await person.prop(person.calendar, "D:acl")
    assert other.principal in shown
    assert shown.count(f"<{dav('protected')}>") == 3, "the owner, and two groups of delegates"
    assert shown.count(person.home) == 2, "delegates are those of the home"
    below = await person.prop(f"{person.calendar}1.ics", "D:acl")
    assert below.count(f"<{dav('href')}>{person.calendar}</>") == 2
    assert person.calendar in await person.prop(f"{person.calendar}1.ics", "D:inherited-acl-set")
    listed = await person.propfind(person.calendar, "D:acl", depth="1")
    assert listed[f"{person.calendar}1.ics"].found[dav("acl")] == below
    home = await person.propfind(person.home, "D:acl", depth="1")
    assert home[person.calendar].found[dav("acl")] == shown
    assert other.principal not in home[person.tasks].found[dav("acl")]


async def test_what_one_may_do_is_told_alike_everywhere(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await acl(person, person.calendar, ace(href(other), "D:write-acl"))
    delegate = f"<D:group-member-set>{href(other)}</D:group-member-set>"
    await person.set(f"{person.principal}calendar-proxy-read/", delegate)
    own = await privileges(other, person.calendar)
    assert dav("write-acl") in own
    listed = await other.propfind(person.home, "D:current-user-privilege-set", depth="1")
    assert listed[person.calendar].found[dav("current-user-privilege-set")] == own
    assert dav("write-acl") not in listed[person.tasks].found[dav("current-user-privilege-set")]
    assert dav("write-content") not in own


async def test_only_who_may_write_the_list_does(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await acl(person, person.calendar, ace(href(other), "D:read", "D:write"))
    (await acl(other, person.calendar, ace(href(other), "D:all"))).refused(403, dav("need-privileges"))
    await acl(person, person.calendar, ace(href(other), "D:write-acl"))
    assert (await acl(other, person.calendar, ace(href(other), "D:all"))).status == 200


@pytest.mark.parametrize("path", ["home", "books", "object", "principal"])
async def test_elsewhere_there_are_no_lists(person: Person, new_person: NewPerson, path: str) -> None:
    other = await new_person()
    places = {"home": person.home, "books": person.books, "principal": person.principal}
    for who in (person, other):
        reply = await acl(who, places.get(path, f"{person.calendar}1.ics"), ace("<D:all/>", "D:read"))
        assert reply.status == 405
        assert "ACL" not in reply.headers["Allow"]


@pytest.mark.parametrize(
    ("body", "precondition"),
    [
        (ace("<D:href>/principals/__uids__/nobody/</D:href>", "D:read"), "recognized-principal"),
        (ace("<D:href>mailto:x@example.com</D:href>", "D:read"), "recognized-principal"),
        (ace("<D:self/>", "D:read"), "allowed-principal"),
        (ace("<D:all/>", "X:fly"), "not-supported-privilege"),
        (ace("<D:all/>", "D:read", more="<D:protected/>"), "no-protected-ace-conflict"),
        (ace("<D:all/>", "D:read", more="<D:inherited><D:href>/</D:href></D:inherited>"), "no-inherited-ace-conflict"),
        (ace("<D:property><D:owner/></D:property>", "D:read", verb="deny"), "no-protected-ace-conflict"),
        (f"<D:ace><D:invert>{ace('<D:all/>', 'D:read')[7:-8]}</D:invert></D:ace>", "no-invert"),
        (ace("<D:all/>", "D:read") * 501, "limited-number-of-aces"),
    ],
)
async def test_preconditions(person: Person, body: str, precondition: str) -> None:
    before = await person.prop(person.calendar, "D:acl")
    (await acl(person, person.calendar, body)).refused(403, dav(precondition))
    assert await person.prop(person.calendar, "D:acl") == before


@pytest.mark.parametrize(
    "body",
    [
        "<D:ace/>",
        ace("", "D:read"),
        ace("<D:all/>"),
        "<D:ace><D:principal><D:all/></D:principal></D:ace>",
        ace("<D:all/><D:authenticated/>", "D:read"),
    ],
)
async def test_bodies_that_say_nothing(person: Person, body: str) -> None:
    assert (await acl(person, person.calendar, body)).status == 400


async def test_a_list_moves_the_calendars_token(person: Person) -> None:
    before = await person.prop(person.calendar, "D:sync-token")
    await acl(person, person.calendar, ace("<D:all/>", "D:read"))
    assert await person.prop(person.calendar, "D:sync-token") != before
    assert (await person.sync(person.calendar, before)).hrefs == []


async def test_principals_of_a_list(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    await acl(person, person.book, ace(href(other), "D:read"))
    found = (
        await person.report(person.book, "D:acl-principal-prop-set", "<D:prop><D:displayname/></D:prop>", "0")
    ).multistatus
    assert found[other.principal].found == {dav("displayname"): other.name.title()}
    assert person.principal in found.hrefs
    reply = await other.report(person.book, "D:acl-principal-prop-set", "<D:prop><D:displayname/></D:prop>", "0")
    reply.refused(403, dav("need-privileges"))


async def test_rfc6638_6_privileges_of_inbox_and_outbox(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    inbox, outbox = f"{person.home}inbox/", f"{person.home}outbox/"
    deliver, send = f"<{caldav('schedule-deliver')}", f"<{caldav('schedule-send')}"
    supported, own = "D:supported-privilege-set", "D:current-user-privilege-set"
    for path, there, elsewhere in ((inbox, deliver, send), (outbox, send, deliver)):
        for name in (supported, own):
            value = await person.prop(path, name)
            assert there in value
            assert elsewhere not in value
    for name in (supported, own):
        assert "schedule-" not in await person.prop(person.calendar, name)
    assert (
        await acl(person, inbox, ace(href(other), "D:read", "C:schedule-query-freebusy", verb="deny"))
    ).status == 200
    listed = await person.prop(inbox, "D:acl")
    assert listed.index("schedule-query-freebusy") < listed.index("schedule-deliver")
    assert (await acl(person, outbox, ace(href(other), "D:read", "C:schedule-send"))).status == 200
    held = await privileges(other, outbox)
    assert "schedule-send-freebusy" in held
    assert "schedule-deliver" not in held
    (await acl(person, outbox, ace(href(other), "C:schedule-deliver"))).refused(403, dav("not-supported-privilege"))
    (await acl(person, person.calendar, ace(href(other), "C:schedule-send"))).refused(
        403, dav("not-supported-privilege")
    )
    (await acl(other, outbox)).refused(403, dav("need-privileges"))
