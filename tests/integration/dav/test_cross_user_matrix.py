"""Every kind of user against every way to ask for what is another's: no answer tells more than the policy.

What a person may do not at all is asked for twice, of something that exists and of something that does not: the
answers must be alike. What is secret has a mark in it that must never come back.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from urllib.parse import quote

import pytest
import pytest_asyncio

from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import Served, make_person
from tests.integration.dav.cross_user import CARD, DELEGATES, MARK, MAY, READING, USERS, World, open_world
from tests.integration.dav.multistatus import dav
from tests.integration.dav.person import Person, event, xml
from tests.integration.dav.sharing import CAUSE

WINDOW = '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/>'
DATA = "<D:prop><D:getetag/><C:calendar-data/></D:prop>"
CARDS = "<D:prop><D:getetag/><A:address-data/></D:prop>"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def world(served: Served) -> AsyncIterator[World]:
    async with open_world(served) as found:
        yield found


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


HTTP: Mapping[str, Callable[[Person, World, str], Awaitable[Reply]]] = {
    "read the calendar": lambda person, world, _: ask(person, "PROPFIND", world.shared),
    "read an event": lambda person, world, _: ask(person, "GET", f"{world.shared}1.ics"),
    "read when its owner is busy": lambda person, world, _: ask(person, "REPORT C:free-busy-query", world.shared),
    "read the home": lambda person, world, _: ask(person, "PROPFIND", world.owner.home),
    "set properties of the calendar": lambda person, world, _: ask(person, "PROPPATCH", world.shared),
    "create an event": lambda person, world, user: person.put(f"{world.shared}{user}-new.ics", event(f"by-{user}")),
    "replace an event": lambda person, world, _: person.put(f"{world.shared}1.ics", event(f"{MARK}-shared", MARK)),
    "set properties of an event": lambda person, world, _: ask(person, "PROPPATCH", f"{world.shared}1.ics"),
    "copy an event": lambda person, world, user: ask(
        person, "COPY", f"{world.shared}1.ics", Destination=f"{person.calendar}copy.ics"
    ),
    "delete an event": lambda person, world, user: ask(person, "DELETE", f"{world.shared}{user}.ics"),
    "read the access control list": lambda person, world, _: ask(
        person, "REPORT D:acl-principal-prop-set", world.shared
    ),
    "set the access control list": lambda person, world, _: person.http("ACL", world.shared, xml("D:acl")),
    "set the delegates": lambda person, world, _: person.proppatch(
        f"{world.owner.principal}calendar-proxy-read/",
        "<D:set><D:prop><D:group-member-set/></D:prop></D:set>",
    ),
    "create a calendar": lambda person, world, user: person.http("MKCALENDAR", f"{world.owner.home}of-{user}/"),
    "rename a calendar": lambda person, world, user: ask(
        person, "MOVE", f"{world.owner.home}{user}/", Destination=f"{world.owner.home}{user}-renamed/"
    ),
    "delete a calendar": lambda person, world, user: ask(person, "DELETE", f"{world.owner.home}{user}/"),
}
"""The requests by which each thing is done; sharing has none."""


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("what", MAY)
async def test_who_may_do_what(world: World, user: str, what: str) -> None:
    if what not in HTTP:
        assert what == "share the calendar"
        return
    await world.owner.put(f"{world.shared}{user}.ics", event(f"for-{user}"))
    if what in ("rename a calendar", "delete a calendar"):
        await world.owner.http(
            "MKCALENDAR", f"{world.owner.home}{user}/"
        )  # unless it is there, since nobody could delete it
    reply = await HTTP[what](world.users[user], world, user)
    assert (reply.status < 300) is (user in MAY[what]), reply.text
    assert reply.status < 300 or reply.status == 403


@pytest.mark.parametrize("user", USERS)
async def test_what_one_may_see(world: World, user: str) -> None:
    person, reads = world.users[user], user in READING
    for method in ("GET", "PROPFIND", "REPORT C:calendar-query", "REPORT D:sync-collection"):
        assert ((await ask(person, method, world.shared)).status < 300) is reads, method
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
