"""Sharing: what was shared appears in other homes under names of its own, with properties and tokens of its own."""

from __future__ import annotations

import pytest

from server.domain.errors import BadRequest, NotFound
from server.services.sharing import Sharing
from server.storage.directory import RelationChange
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.upkeep.deleted import deleted_collections, restore_collection
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import apple, caldav, dav
from tests.integration.dav.person import Person, event
from tests.integration.dav.sharing import ACTOR, CAUSE, Share, eventually, shown


async def test_reading(person: Person, other: Person, share: Share) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await share(person, other, "read")
    (place,) = await shown(other)
    assert (await other.http("GET", f"{place}1.ics")).text == event("1")
    assert await other.prop(place, "D:displayname") == f"calendar ({person.name.title()})"
    (await other.put(f"{place}2.ics", event("2"))).refused(403, dav("need-privileges"))
    (await other.http("DELETE", f"{place}1.ics")).refused(403, dav("need-privileges"))
    held = await other.prop(place, "D:current-user-privilege-set")
    assert dav("read") in held
    assert dav("write-content") not in held
    assert (await other.http("GET", f"{person.calendar}1.ics")).status == 200, "by the owner's URL, too"
    (await other.http("GET", f"{person.tasks}1.ics")).refused(403, dav("need-privileges"))


async def test_writing(person: Person, other: Person, share: Share) -> None:
    await share(person, other, "write")
    (place,) = await shown(other)
    await other.has(f"{place}1.ics", event("1"))
    assert (await person.http("GET", f"{person.calendar}1.ics")).text == event("1")
    (await other.http("ACL", place, "<acl xmlns='DAV:'/>")).refused(403, dav("need-privileges"))
    assert (await other.http("DELETE", f"{place}1.ics")).status == 204
    assert not await person.exists(f"{person.calendar}1.ics")


async def test_free_busy_shows_nothing(person: Person, other: Person, share: Share) -> None:
    await person.has(f"{person.calendar}1.ics", event("1", "Secret"))
    await share(person, other, "free-busy")
    assert await shown(other) == []
    window = '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/>'
    reply = await other.report(person.calendar, "C:free-busy-query", window)
    assert "20260601T090000Z" in reply.text
    (await other.http("GET", f"{person.calendar}1.ics")).refused(403, dav("need-privileges"))


async def test_each_has_properties_of_their_own(person: Person, other: Person, share: Share) -> None:
    await person.set(person.calendar, "<I:calendar-color>#000001</I:calendar-color><D:displayname>Team</D:displayname>")
    await share(person, other, "read")
    (place,) = await shown(other)
    assert await other.prop(place, "D:displayname") == "Team"
    assert await other.prop(place, "I:calendar-color") == "#000001"
    token = await person.prop(person.calendar, "D:sync-token")
    home = await person.prop(person.home, "D:sync-token")
    mine = "<I:calendar-color>#000002</I:calendar-color><D:displayname>Theirs</D:displayname>"
    result = await other.set(place, mine)
    assert {dav("displayname"), apple("calendar-color")} == set(result.found)
    assert await other.prop(place, "I:calendar-color") == "#000002"
    assert await person.prop(person.calendar, "I:calendar-color") == "#000001"
    assert await person.prop(person.calendar, "D:sync-token") == token
    assert await person.prop(person.home, "D:sync-token") == home
    (await other.proppatch(place, "<D:set><D:prop><X:note>1</X:note></D:prop></D:set>")).refused(
        403, dav("need-privileges")
    )
    assert caldav("transparent") in await other.prop(place, "C:schedule-calendar-transp")
    assert caldav("opaque") in await person.prop(person.calendar, "C:schedule-calendar-transp")


async def test_sync_of_what_is_shared(person: Person, other: Person, share: Share) -> None:
    await share(person, other, "write")
    (place,) = await shown(other)
    token = (await other.sync(place)).token or ""
    home = (await other.sync(other.home)).token or ""
    await person.has(f"{person.calendar}1.ics", event("1"))
    changes = await other.sync(place, token)
    assert changes.hrefs == [f"{place}1.ics"]
    await eventually(lambda: _reports(other, home, place))
    infinite = await other.sync(other.home, level="infinite")
    assert infinite[place].status == 403
    assert infinite[place].errors == {dav("sync-traversal-supported")}
    assert f"{place}1.ics" not in infinite.hrefs
    await person.http("DELETE", f"{person.calendar}1.ics")
    assert (await other.sync(place, changes.token or ""))[f"{place}1.ics"].status == 404


async def _reports(person: Person, token: str, href: str) -> bool:
    return href in (await person.sync(person.home, token)).hrefs


async def test_rights_that_change_are_a_new_incarnation(person: Person, other: Person, share: Share) -> None:
    await share(person, other, "read")
    (place,) = await shown(other)
    token = (await other.sync(place)).token
    await share(person, other, "write")
    assert await shown(other) == [place]
    await other.has(f"{place}1.ics", event("1"))
    body = f"<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level><D:prop/>"
    (await other.report(place, "D:sync-collection", body, "0")).refused(403, dav("valid-sync-token"))


async def test_the_end(person: Person, other: Person, share: Share) -> None:
    await share(person, other, "write")
    (place,) = await shown(other)
    home = (await other.sync(other.home)).token or ""
    await share(person, other, None)
    assert await shown(other) == []
    assert (await other.sync(other.home, home))[place].status == 404
    assert not await other.exists(place)
    (await other.http("PROPFIND", person.calendar, Depth="0")).refused(403, dav("need-privileges"))
    await share(person, other, "read")
    assert await shown(other) == [place]


async def test_a_sharee_takes_it_out_of_their_home(person: Person, other: Person, share: Share) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    await share(person, other, "read")
    (place,) = await shown(other)
    assert (await other.http("DELETE", place)).status == 204
    assert await shown(other) == []
    assert await person.exists(f"{person.calendar}1.ics")
    (await other.http("GET", f"{person.calendar}1.ics")).refused(403, dav("need-privileges"))


async def test_a_sharee_gives_it_another_name(person: Person, other: Person, share: Share) -> None:
    await share(person, other, "read")
    (place,) = await shown(other)
    assert (await other.http("MOVE", place, Destination=f"{other.home}mine/")).status == 201
    assert await shown(other) == [f"{other.home}mine/"]
    await share(person, other, "write")
    assert await shown(other) == [f"{other.home}mine/"]


async def test_groups(person: Person, other: Person, new_person: NewPerson, share: Share, served: Served) -> None:
    third, inner, outer = await new_person(), await new_person(kind="group"), await new_person(kind="group")
    directory = PostgresDirectory(served.storage.database)
    await directory.write_relations(
        [RelationChange(inner.id, frozenset({other.id, person.id})), RelationChange(outer.id, frozenset({inner.id}))],
        CAUSE,
    )
    await share(person, outer, "read")
    (place,) = await shown(other)
    assert await shown(person) == []
    assert await shown(third) == []
    await directory.write_relations([RelationChange(inner.id, frozenset({other.id, third.id}))], CAUSE)
    await eventually(lambda: shown(third))
    await other.http("DELETE", place)
    await directory.write_relations([RelationChange(inner.id, frozenset({other.id}))], CAUSE)

    async def gone() -> bool:
        return await shown(third) == []

    await eventually(gone)
    assert await shown(other) == [], "who has declined is not asked again"


async def test_a_calendar_that_is_deleted_disappears(person: Person, other: Person, share: Share) -> None:
    await person.http("MKCALENDAR", f"{person.home}team/")
    await share(person, other, "read", "team")
    (place,) = await shown(other)
    home = (await other.sync(other.home)).token or ""
    assert (await person.http("DELETE", f"{person.home}team/")).status == 204
    assert await shown(other) == []
    await eventually(lambda: _reports(other, home, place))
    assert (await other.sync(other.home, home))[place].status == 404


async def test_address_books(person: Person, other: Person, share: Share) -> None:
    card = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:c1\r\nFN:Ann\r\nN:;Ann;;;\r\nEND:VCARD\r\n"
    await share(person, other, "write", "addressbook")
    (place,) = await shown(other, other.books)
    await other.has(f"{place}1.vcf", card)
    assert (await person.http("GET", f"{person.book}1.vcf")).text == card
    assert (await other.http("DELETE", other.book)).status == 204
    assert other.book in await other.names(other.books), "a home keeps an address book of its own"


async def test_delegates_of_a_sharee(person: Person, other: Person, new_person: NewPerson, share: Share) -> None:
    third = await new_person()
    await share(person, other, "read")
    (place,) = await shown(other)
    members = f"<D:group-member-set><D:href>{third.principal}</D:href></D:group-member-set>"
    await other.set(f"{other.principal}calendar-proxy-write/", members)
    assert (await third.http("PROPFIND", place, Depth="0")).status == 207
    (await third.put(f"{place}1.ics", event("1"))).refused(403, dav("need-privileges"))
    (await third.http("PROPFIND", person.calendar, Depth="0")).refused(403, dav("need-privileges"))


async def test_what_cannot_be_shared(person: Person, other: Person, sharing: Sharing, share: Share) -> None:
    with pytest.raises(NotFound):
        await share(person, other, "read", "none")
    with pytest.raises(NotFound):
        await share(person, other, None)
    with pytest.raises(BadRequest):
        await share(person, person, "read")
    with pytest.raises(BadRequest):
        await share(person, other, "read", "inbox")
    with pytest.raises(BadRequest):
        await share(person, other, "free-busy", "addressbook")
    await share(person, other, "read")
    (place,) = await shown(other)
    with pytest.raises(BadRequest):
        await sharing.share(ACTOR, f"{other.name}/{place.rstrip('/').rpartition('/')[2]}", person.name, "read")
    assert [(item.whom.name, item.rights) for item in await sharing.shares(ACTOR, f"{person.name}/calendar")] == [
        (other.name, "read")
    ]


@pytest.mark.parametrize("heard", [False, True], ids=["before sharees' homes have heard", "after that"])
async def test_a_calendar_that_is_restored_is_shared_again(
    person: Person, other: Person, new_person: NewPerson, share: Share, served: Served, heard: bool
) -> None:
    reader = await new_person()
    await person.http("MKCALENDAR", f"{person.home}team/")
    await person.has(f"{person.home}team/1.ics", event("1"))
    await share(person, other, "write", "team")
    await share(person, reader, "read", "team")
    (place,) = await shown(other)
    await other.set(place, "<D:displayname>Our team</D:displayname>")
    before = (await other.sync(place)).token or ""
    assert (await person.http("DELETE", f"{person.home}team/")).status == 204
    assert await shown(other) == []
    (deleted,) = await deleted_collections(served.storage.database, person.id, 30)

    async def unbound() -> bool:
        sql = "select count(*) from binding where collection_id = $1 and deleted_revision is null"
        return not await served.storage.database.fetchval(sql, deleted.id)

    if heard:
        await eventually(unbound)

    async def incarnations() -> set[tuple[int, int]]:
        sql = "select home_id, incarnation from binding where collection_id = $1 and home_id <> collection_home_id"
        return {(row[0], row[1]) for row in await served.storage.database.fetch(sql, deleted.id)}

    home = (await other.sync(other.home)).token or ""
    bindings = await incarnations()
    await restore_collection(served.storage.database, deleted, "team", 30, CAUSE)
    await eventually(lambda: _reports(other, home, place))
    await eventually(lambda: shown(other))
    assert await shown(other) == [place], "under the name that it had"
    # Where they are not to have heard, they have all the same if this machine is slow.
    heard = heard or await incarnations() != bindings
    assert await other.prop(place, "D:displayname") == "Our team"
    await other.has(f"{place}2.ics", event("2"))
    body = f"<D:sync-token>{before}</D:sync-token><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>"
    reply = await other.report(place, "D:sync-collection", body, "0")
    if heard:
        reply.refused(403, dav("valid-sync-token"))
    else:
        assert reply.multistatus.hrefs == [f"{place}2.ics"], "it has lost nothing"
    assert (await other.sync(place)).hrefs == [f"{place}1.ics", f"{place}2.ics"]
    await eventually(lambda: shown(reader))
    (again,) = await shown(reader)
    assert (await reader.http("GET", f"{again}2.ics")).status == 200
    (await reader.put(f"{again}3.ics", event("3"))).refused(403, dav("need-privileges"))
