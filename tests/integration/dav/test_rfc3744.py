"""RFC 3744: properties of principals and of access control; what the owner, an administrator and others may do."""

from __future__ import annotations

from server.domain.changes import Cause
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import caldav, dav, hrefs_in
from tests.integration.dav.person import Person, card, event

CAUSE = Cause(None, "test")


def privileges(value: str) -> set[str]:
    """The names in a list of DAV:privilege elements."""
    return {part.split("></>")[0] for part in value.split(f"<{dav('privilege')}><")[1:]}


async def test_4_properties_of_a_principal(person: Person) -> None:
    names = ("D:displayname", "D:resourcetype", "D:alternate-URI-set", "D:principal-URL", "D:group-member-set")
    found = (await person.propfind(person.principal, *names, "D:group-membership")).only
    assert set(found.props) == {200}
    assert found.found[dav("displayname")] == person.name.title()
    assert dav("principal") in found.found[dav("resourcetype")]
    assert hrefs_in(found.found[dav("principal-URL")]) == [person.principal]
    assert hrefs_in(found.found[dav("alternate-URI-set")]) == [f"/principals/users/{person.name}/"]
    assert found.found[dav("group-member-set")] == found.found[dav("group-membership")] == ""


async def test_4_every_form_of_a_principal_is_one(person: Person, new_person: NewPerson) -> None:
    for path in (f"/principals/users/{person.name}/", f"/principals/users/{person.name.upper()}"):
        assert hrefs_in(await person.prop(path, "D:principal-URL")) == [person.principal]
    room = await new_person(kind="room")
    assert hrefs_in(await person.prop(f"/principals/locations/{room.name}/", "D:principal-URL")) == [room.principal]
    assert (await person.http("PROPFIND", f"/principals/users/{room.name}/", Depth="0")).status == 404
    assert (await person.http("PROPFIND", f"/principals/groups/{person.name}/", Depth="0")).status == 404


async def test_5_1_1_owner(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    for path in (person.home, person.calendar, f"{person.calendar}1.ics", person.book, f"{person.home}inbox/"):
        assert hrefs_in(await person.prop(path, "D:owner")) == [person.principal]


async def test_5_1_2_an_attempt_to_set_owner(person: Person) -> None:
    found = await person.set(
        person.calendar, "<D:owner><D:href>http://www.example.com/acl/users/gstein</D:href></D:owner>"
    )
    assert found.props == {403: {dav("owner"): ""}}
    assert found.errors == {dav("cannot-modify-protected-property")}


async def test_5_3_1_supported_privileges_are_a_tree(person: Person) -> None:
    value = await person.prop(person.calendar, "D:supported-privilege-set")
    assert privileges(value) == {
        caldav("read-free-busy"),
        *map(dav, ("all", "read", "write", "write-properties", "write-content", "bind", "unbind", "unlock")),
        *map(dav, ("read-acl", "write-acl", "read-current-user-privilege-set")),
    }
    assert caldav("read-free-busy") not in await person.prop(person.book, "D:supported-privilege-set")


async def test_5_4_1_what_the_owner_may(person: Person) -> None:
    await person.has(f"{person.calendar}1.ics", event("1"))
    for path in (person.home, person.calendar, f"{person.calendar}1.ics", person.book):
        mine = privileges(await person.prop(path, "D:current-user-privilege-set"))
        assert {dav("all"), dav("read"), dav("write"), dav("bind"), dav("unbind"), dav("read-acl")} <= mine
    fixed = privileges(await person.prop("/", "D:current-user-privilege-set"))
    assert fixed == {dav("read"), dav("read-current-user-privilege-set")}


async def test_5_4_every_privilege_shown_is_supported(person: Person) -> None:
    await person.has(f"{person.book}1.vcf", card("1"))
    for path in ("/", person.principal, person.home, person.calendar, person.book, f"{person.book}1.vcf"):
        supported = privileges(await person.prop(path, "D:supported-privilege-set"))
        assert privileges(await person.prop(path, "D:current-user-privilege-set")) <= supported


async def test_5_5_5_the_acl_names_the_owner_and_administrators(person: Person, new_person: NewPerson) -> None:
    admin = await new_person(roles=frozenset({"admin"}))
    for path in (person.calendar, person.book):
        value = await person.prop(path, "D:acl")
        assert {person.principal, admin.principal} <= set(hrefs_in(value))
        assert dav("protected") in value
    reply = await person.propfind("/", "D:acl")
    assert reply.only.status_of(dav("acl")) == 403
    assert dav("authenticated") in await admin.prop("/", "D:acl")


async def test_5_6_5_and_5_8_1(person: Person) -> None:
    assert await person.prop(person.calendar, "D:acl-restrictions") == f"<{dav('no-invert')}></>"
    for path in ("/", person.principal, person.calendar):
        assert hrefs_in(await person.prop(path, "D:principal-collection-set")) == ["/principals/"]


async def test_5_9_all_of_them_at_once(person: Person) -> None:
    names = ("owner", "supported-privilege-set", "current-user-privilege-set", "acl")
    found = await person.propfind(person.calendar, *(f"D:{name}" for name in names))
    assert set(found.only.found) == {dav(name) for name in names}


async def test_7_1_1_strangers_are_refused_with_need_privileges(person: Person, new_person: NewPerson) -> None:
    """In another's home every path answers 403, whether there is something or not."""
    other = await new_person()
    await other.has(f"{other.calendar}1.ics", event("1"))
    for path in (
        other.home,
        other.calendar,
        f"{other.calendar}1.ics",
        f"{other.calendar}no.ics",
        f"{other.home}no/",
        other.book,
    ):
        for method, body in (
            ("GET", ""),
            ("HEAD", ""),
            ("OPTIONS", ""),
            ("PROPFIND", ""),
            ("PUT", event("2")),
            ("DELETE", ""),
            ("MKCALENDAR", ""),
            ("REPORT", '<D:sync-collection xmlns:D="DAV:"/>'),
            ("PROPPATCH", '<D:propertyupdate xmlns:D="DAV:"/>'),
        ):
            reply = await person.http(method, path, body, Depth="0")
            assert reply.status == 403, (method, path)
            if method != "HEAD":
                found = reply.refused(403, dav("need-privileges"))
                assert found is not None
                (resource,) = found
                assert [item.tag for item in resource] == [dav("href"), dav("privilege")]
                assert len(resource[1]) == 1
    assert await other.names(other.calendar) == [f"{other.calendar}1.ics"]


async def test_7_1_1_the_refusal_names_the_resource_that_lacks_the_privilege(
    person: Person, new_person: NewPerson
) -> None:
    """Members are bound to their collection, and collections to the home: Appendix B."""
    other = await new_person()
    await other.has(f"{other.calendar}1.ics", event("1"))
    await person.has(f"{person.calendar}1.ics", event("1"))
    refused = [
        (await person.put(f"{other.calendar}2.ics", event("2")), other.calendar, "bind"),
        (await person.http("POST", f"{other.calendar};add-member", event("2")), other.calendar, "bind"),
        (await person.http("DELETE", f"{other.calendar}1.ics"), other.calendar, "unbind"),
        (await person.http("DELETE", other.calendar), other.home, "unbind"),
        (await person.http("MKCALENDAR", f"{other.home}new/"), other.home, "bind"),
        (await person.http("DELETE", other.home), other.home, "unbind"),
        (await person.http("GET", f"{other.calendar}1.ics"), f"{other.calendar}1.ics", "read"),
    ]
    for method in ("COPY", "MOVE"):
        reply = await person.http(method, f"{person.calendar}1.ics", Destination=f"{other.calendar}2.ics")
        refused.append((reply, other.calendar, "bind"))
    # the same with DAV:read alone
    whom, read = f"<principal><href>{person.principal}</href></principal>", "<privilege><read/></privilege>"
    granted = f"<acl xmlns='DAV:'><ace>{whom}<grant>{read}</grant></ace></acl>"
    assert (await other.http("ACL", other.calendar, granted)).status == 200
    path = f"{other.calendar}1.ics"
    refused += [
        (await person.put(path, event("1", "Changed")), path, "write-content"),
        (await person.http("COPY", f"{person.calendar}1.ics", Destination=path), path, "write-content"),
        (await person.put(f"{other.calendar}2.ics", event("2")), other.calendar, "bind"),
        (await person.http("DELETE", path), other.calendar, "unbind"),
    ]
    for number, (reply, href, privilege) in enumerate(refused):
        found = reply.refused(403, dav("need-privileges"))
        assert found is not None
        ((named, lacking),) = found
        assert (named.text, lacking[0].tag) == (href, dav(privilege)), number


async def test_administrators_read_and_change_everything(person: Person, new_person: NewPerson) -> None:
    admin = await new_person(roles=frozenset({"admin"}))
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert await admin.names(person.calendar) == [f"{person.calendar}1.ics"]
    assert (await admin.put(f"{person.calendar}2.ics", event("2"))).status == 201
    assert (await admin.http("DELETE", f"{person.calendar}1.ics")).status == 204
    assert dav("all") in await admin.prop(person.calendar, "D:current-user-privilege-set")


async def test_everybody_sees_principals(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    found = await person.propfind(other.principal, "D:displayname", "C:calendar-home-set")
    assert set(found.only.props) == {200}


async def test_9_2_principals_of_a_list_are_described_as_elsewhere(person: Person, new_person: NewPerson) -> None:
    """Administrators, groups and members, too, with all that is known of them."""
    admin = await new_person(roles=frozenset({"admin"}))
    asked = ("D:displayname", "D:getetag", "C:calendar-user-address-set", "S:email-address-set", "D:principal-URL")
    prop = f"<D:prop>{''.join(f'<{name}/>' for name in asked)}</D:prop>"
    listed = (await person.report(person.calendar, "D:acl-principal-prop-set", prop, "0")).multistatus
    for each in (person, admin):
        alone = (await person.propfind(each.principal, *asked)).only
        assert f"mailto:{each.name}@example.com" in alone.found[caldav("calendar-user-address-set")]
        assert listed[each.principal].found == alone.found


async def test_the_tag_of_a_principal_is_that_of_its_page(person: Person, served: Served) -> None:
    """It moves with the name that is shown, and tells nothing of ids or passwords."""
    directory = PostgresDirectory(served.storage.database)
    before = await person.http("GET", person.principal)
    assert str(person.id) not in before.etag.strip('"').split("-")
    await directory.write_principals([PrincipalChange(person.id, password_hash="$argon2id$x")], CAUSE)
    assert (await person.http("GET", person.principal, If_None_Match=before.etag)).status == 304
    await directory.write_principals([PrincipalChange(person.id, display_name="Another Name")], CAUSE)
    after = await person.http("GET", person.principal, If_None_Match=before.etag)
    assert (after.status, "Another Name" in after.text) == (200, True)
    assert await person.prop(person.principal, "D:getetag") == after.etag
    # the page of a home does not show the name, and so needs no other tag
    home = await person.http("GET", person.home)
    await directory.write_principals([PrincipalChange(person.id, display_name="Third Name")], CAUSE)
    again = await person.http("GET", person.home)
    assert (again.etag, again.body) == (home.etag, home.body)
