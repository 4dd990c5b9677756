"""Every kind of user against every way to ask for what is another's: no answer tells more than the policy.

What a person may do not at all is asked for twice, of something that exists and of something that does not: the
answers must be alike. What is secret has a mark in it that must never come back.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import pytest
import pytest_asyncio

from server.domain.actors import Actor
from server.services.sharing import Sharing
from server.storage.access import Access
from server.storage.directory import PrincipalChange, RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import Served, make_person
from tests.integration.dav.multistatus import dav
from tests.integration.dav.person import Person, event, xml

ACTOR = Actor(None, "test")
CAUSE = ACTOR.cause
MARK = "Zq7secret"
CARD = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{MARK}\r\nFN:{MARK}\r\nN:;{MARK};;;\r\nEND:VCARD\r\n"
WINDOW = '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/>'
DATA = "<D:prop><D:getetag/><C:calendar-data/></D:prop>"
CARDS = "<D:prop><D:getetag/><A:address-data/></D:prop>"

READING = frozenset({"delegate-read", "delegate-write", "sharee-read", "sharee-write", "member", "acl-read"})
"""Users who read the calendar that is shared."""
WRITING = frozenset({"delegate-write", "sharee-write"})
DELEGATES = frozenset({"delegate-read", "delegate-write"})
BUSY = READING | {"sharee-free-busy", "acl-free-busy"}
USERS = tuple(sorted(BUSY | {"acl-bind", "stranger"}))


@dataclass
class World:
    """Somebody's homes, and everybody who asks for what is in them."""

    owner: Person
    users: dict[str, Person]
    served: Served

    @property
    def shared(self) -> str:
        return f"{self.owner.home}shared/"

    @property
    def hidden(self) -> str:
        return f"{self.owner.home}hidden/"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def world(served: Served) -> AsyncIterator[World]:
    owner = await make_person(served)
    users = {name: await make_person(served, f"matrix-{name}") for name in USERS}
    group = await make_person(served, "matrix-group", kind="group")
    directory = PostgresDirectory(served.storage.database)
    access: Access = PostgresAccess(served.storage)
    sharing = Sharing(served.storage, directory, access)
    await directory.write_relations(
        [
            RelationChange(group.id, frozenset({users["member"].id})),
            RelationChange(
                owner.id,
                delegates=frozenset({(users["delegate-read"].id, "read"), (users["delegate-write"].id, "write")}),
            ),
        ],
        CAUSE,
    )
    for name in ("shared", "hidden"):
        await owner.http("MKCALENDAR", f"{owner.home}{name}/")
        await owner.has(f"{owner.home}{name}/1.ics", event(f"{MARK}-{name}", MARK))
    await owner.set(f"{owner.home}hidden/", f"<D:displayname>{MARK}</D:displayname>")
    await owner.has(f"{owner.book}1.vcf", CARD)
    place = f"{owner.name}/shared"
    await sharing.share(ACTOR, place, users["sharee-read"].name, "read")
    await sharing.share(ACTOR, place, users["sharee-write"].name, "write")
    await sharing.share(ACTOR, place, users["sharee-free-busy"].name, "free-busy")
    await sharing.share(ACTOR, place, group.name, "read")
    aces = "".join(
        f"<D:ace><D:principal><D:href>{users[name].principal}</D:href></D:principal>"
        f"<D:grant><D:privilege><{privilege}/></D:privilege></D:grant></D:ace>"
        for name, privilege in (("acl-read", "D:read"), ("acl-free-busy", "C:read-free-busy"), ("acl-bind", "D:bind"))
    )
    assert (await owner.http("ACL", f"{owner.home}shared/", xml("D:acl", aces))).status == 200
    yield World(owner, users, served)
    for person in (owner, group, *users.values()):
        person.http.close()


REPORTS: Mapping[str, str] = {
    "C:calendar-query": f"{DATA}<C:filter><C:comp-filter name='VCALENDAR'/></C:filter>",
    "C:calendar-multiget": f"{DATA}<D:href>{{path}}</D:href>",
    "A:addressbook-query": f"{CARDS}<A:filter/>",
    "A:addressbook-multiget": f"{CARDS}<D:href>{{path}}</D:href>",
    "C:free-busy-query": WINDOW,
    "D:sync-collection": "<D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>",
    "D:acl-principal-prop-set": "<D:prop><D:displayname/></D:prop>",
    "D:principal-match": "<D:principal-property><D:owner/></D:principal-property>",
    "D:expand-property": '<D:property name="displayname"/>',
    "X:unknown": "",
}
METHODS = (
    "OPTIONS",
    "GET",
    "HEAD",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "POST",
    "DELETE",
    "MKCOL",
    "MKCALENDAR",
    "COPY",
    "MOVE",
    "LOCK",
    "PATCH",
    *(f"REPORT {name}" for name in REPORTS),
)
PROPPATCH = xml("D:propertyupdate", "<D:set><D:prop><X:note>1</X:note></D:prop></D:set>")
SEE = '<D:property name="see" namespace="http://example.com/ns/"><D:property name="displayname"/></D:property>'
PROPFIND = xml("D:propfind", "<D:allprop/><D:include><D:acl/><D:displayname/></D:include>")


async def ask(person: Person, method: str, path: str, **headers: str) -> Reply:
    """A request that the method makes sense of."""
    if method.startswith("REPORT "):
        name = method.removeprefix("REPORT ")
        return await person.report(path, name, REPORTS[name].format(path=path), "0")
    if method == "PUT":
        return await person.put(path, CARD if path.startswith("/addressbooks") else event("new"), **headers)
    body = {"PROPPATCH": PROPPATCH, "PROPFIND": PROPFIND}.get(method, "")
    if method in ("COPY", "MOVE"):
        headers = {"Destination": f"{person.calendar}taken.ics"} | headers
    depth = {"Depth": "1"} if method == "PROPFIND" else {}
    return await person.http(method, path, body, **depth, **headers)


def told(reply: Reply, path: str) -> tuple[int, str]:
    """An answer without what was asked for itself."""
    text = re.sub(r"<D:href>[^<]*</D:href>", "", reply.text)
    return reply.status, text.replace(path, "")


def unseen(world: World, user: str) -> list[tuple[str, str]]:
    """Paths of what a user may not see, each with one of the same form that names nothing."""
    home, books = world.owner.home, world.owner.books
    pairs = [(f"{books}addressbook/", f"{books}none/"), (f"{books}addressbook/1.vcf", f"{books}addressbook/none.vcf")]
    if user not in DELEGATES:
        pairs += [
            (world.hidden, f"{home}none/"),
            (f"{world.hidden}1.ics", f"{home}none/1.ics"),
            (f"{world.hidden}1.ics", f"{world.hidden}none.ics"),
            (f"{home}inbox/", f"{home}none/"),
        ]
    if user not in READING:
        pairs += [(f"{world.shared}1.ics", f"{world.shared}none.ics")]
    return pairs


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("method", METHODS)
async def test_what_one_may_not_see_does_not_show(world: World, user: str, method: str) -> None:
    person = world.users[user]
    for there, nowhere in unseen(world, user):
        if user == "acl-bind" and there.startswith(world.shared) and method in ("PUT", "POST"):
            continue  # who may make members learns which names are taken
        if user in ("sharee-free-busy", "acl-free-busy") and method == "REPORT C:free-busy-query":
            assert (await ask(person, method, there)).status == 403
        first, second = await ask(person, method, there), await ask(person, method, nowhere)
        assert told(first, there) == told(second, nowhere), (there, first.body, second.body)
        if method != "HEAD":
            first.refused(403, dav("need-privileges"))
        assert first.status == 403
        assert MARK not in first.text
        assert set(first.headers) == set(second.headers)


@pytest.mark.parametrize("user", USERS)
async def test_what_one_may_see(world: World, user: str) -> None:
    person, reads = world.users[user], user in READING
    for method in ("GET", "PROPFIND", "REPORT C:calendar-query", "REPORT D:sync-collection"):
        assert ((await ask(person, method, world.shared)).status < 300) is reads, method
    assert ((await ask(person, "GET", f"{world.shared}1.ics")).status == 200) is reads
    assert ((await ask(person, "REPORT C:free-busy-query", world.shared)).status == 200) is (user in BUSY)
    assert ((await ask(person, "PROPFIND", world.owner.home)).status == 207) is (user in DELEGATES)
    assert ((await ask(person, "PROPPATCH", world.shared)).status == 207) is (user in WRITING)
    put = await person.put(f"{world.shared}{user}.ics", event(f"by-{user}"))
    assert (put.status == 201) is (user in WRITING or user == "acl-bind")
    assert ((await person.put(f"{world.shared}1.ics", event(f"{MARK}-shared", MARK))).status == 204) is (
        user in WRITING
    )
    deleted = await ask(person, "DELETE", f"{world.shared}{user}.ics")
    assert (deleted.status == 204) is (user in WRITING)
    assert (await ask(person, "REPORT D:acl-principal-prop-set", world.shared)).status == 403
    assert (await person.http("ACL", world.shared, xml("D:acl"))).status == 403
    for path in (world.owner.home, f"{world.shared}1.ics", f"{world.shared}none.ics"):
        assert (await person.http("ACL", path, xml("D:acl"))).status == 405


def disguises(world: World, path: str) -> list[str]:
    """Other spellings of a path."""
    by_name = path.replace(f"__uids__/{world.owner.uid}", f"users/{world.owner.name}")
    whole = f"http://127.0.0.1:{world.served.port}"
    return [
        by_name,
        by_name.replace(world.owner.name, world.owner.name.upper()),
        "/" + "/".join("".join(f"%{ord(letter):02x}" for letter in part) for part in path.strip("/").split("/")),
        path.replace("/", "//"),
        path.replace("hidden", "%68idden"),
        f"/calendars/./{path.removeprefix('/calendars/')}",
        f"/principals/../{path.lstrip('/')}",
        path.replace("/hidden", "/shared/../hidden"),
        path.replace("/hidden", "/shared/%2e%2e/hidden"),
        path.replace("/hidden", "%2fhidden"),
        path.replace("/hidden/", "/hidden%2f"),
        f"{path}?x=1",
        f"{path}%00",
        path.upper(),
        whole + path,
        whole + by_name,
        f"{path.rstrip('/')}/.",
        f"{path.rstrip('/')};x=1",
    ]


@pytest.mark.parametrize("user", [name for name in USERS if name not in DELEGATES])
@pytest.mark.parametrize("method", ["GET", "PROPFIND", "REPORT C:calendar-query", "REPORT D:sync-collection"])
async def test_disguised_paths_lead_nowhere_else(world: World, user: str, method: str) -> None:
    person = world.users[user]
    for target in (world.hidden, f"{world.hidden}1.ics"):
        for path in disguises(world, target):
            reply = await ask(person, method, path)
            assert 400 <= reply.status < 500, (path, reply.status)
            assert MARK not in reply.text


@pytest.mark.parametrize("user", USERS)
async def test_references_in_bodies_and_headers(world: World, user: str) -> None:
    """Hrefs, Destination and If lead to what a person may not see as little as paths do."""
    person = world.users[user]
    await person.has(f"{person.calendar}own.ics", event("own"))
    for there, nowhere in unseen(world, user):
        for href in (there, *disguises(world, there)):
            escaped = quote(href, safe="/:%?=;.") if " " in href else href
            body = f"{DATA}<D:href>{escaped}</D:href>"
            reply = await person.report(person.calendar, "C:calendar-multiget", body)
            assert MARK not in reply.text
            await person.set(person.home, f"<X:see><D:href>{escaped}</D:href></X:see>")
            assert MARK not in (await person.report(person.home, "D:expand-property", SEE, "0")).text
        if user == "acl-bind" and there.startswith(world.shared):
            continue
        answers = []
        for path in (there, nowhere):
            copied = await person.http("COPY", f"{person.calendar}own.ics", Destination=path)
            kept = await person.http("COPY", f"{person.calendar}own.ics", Destination=path, Overwrite="F")
            etag = f"<{path}> ([{chr(34)}{'0' * 32}{chr(34)}])"
            conditional = await person.http("GET", f"{person.calendar}own.ics", If=etag)
            answers.append([told(reply, path) for reply in (copied, kept, conditional)])
            assert copied.status == kept.status == 403
        assert answers[0] == answers[1]


async def test_who_is_not_signed_in_or_disabled_sees_nothing(world: World) -> None:
    person = await make_person(world.served)
    directory = PostgresDirectory(world.served.storage.database)
    await directory.write_principals([PrincipalChange(person.id, disabled=True)], CAUSE)
    anonymous = Person(world.served.client(), 0, "", "nobody")
    for who in (person, anonymous):
        for method in METHODS:
            for path in (world.shared, f"{world.hidden}1.ics", f"{world.hidden}none.ics", world.owner.principal, "/"):
                reply = await ask(who, method, path)
                assert reply.status in (401, 403), (method, path, reply.status)
                assert MARK not in reply.text
        who.http.close()


@pytest.mark.parametrize("user", USERS)
async def test_nothing_is_found_by_searching(world: World, user: str) -> None:
    """Reports on what is one's own, and on principals, know nothing of what is another's."""
    person = world.users[user]
    for path, name in (
        (person.home, "C:calendar-query"),
        (person.home, "D:sync-collection"),
        (person.home, "D:principal-match"),
    ):
        inner = REPORTS[name].format(path=path)
        reply = await person.report(path, name, inner, "infinity")
        assert f"{MARK}-hidden" not in reply.text
        assert "hidden" not in reply.text
    found = await person.report("/principals/", "D:principal-match", "<D:self/>", "0")
    delegated = f"{world.owner.principal}calendar-proxy-"
    assert any(href.startswith(delegated) for href in found.multistatus.hrefs) is (user in DELEGATES)
