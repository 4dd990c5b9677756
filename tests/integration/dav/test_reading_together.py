"""What needs statements of its own is read for all that an answer lists at once, whatever report lists it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from server.domain.changes import Cause
from server.observe.costs import Costs
from server.storage.directory import RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson, Served
from tests.integration.dav.multistatus import Multistatus, dav
from tests.integration.dav.person import Person, card, event, xml
from tests.integration.dav.sharing import Share

CAUSE = Cause(None, "test")
OF_PRINCIPALS = (
    "<D:prop><D:displayname/><D:group-member-set/><D:group-membership/><S:calendar-proxy-read-for/>"
    "<S:calendar-proxy-write-for/><S:expanded-group-member-set/><S:expanded-group-membership/><D:acl/></D:prop>"
)
CALENDARSERVER = "http://calendarserver.org/ns/"


def asked(name: str, *inner: str, namespace: str = "DAV:") -> str:
    return f'<D:property name="{name}" namespace="{namespace}">{"".join(inner)}</D:property>'


EVERY_RELATION = (
    asked("displayname"),
    asked("group-member-set", asked("displayname"), asked("group-membership")),
    asked("group-membership", asked("displayname"), asked("group-member-set", asked("displayname"))),
    asked("calendar-proxy-read-for", asked("displayname"), namespace=CALENDARSERVER),
    asked("expanded-group-membership", asked("displayname"), namespace=CALENDARSERVER),
)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many statements there were since it was asked last."""
    counted = 0
    count = Costs.count

    def counting(self: Costs, seconds: float, rows: int) -> None:
        nonlocal counted
        counted += 1
        count(self, seconds, rows)

    def since() -> int:
        nonlocal counted
        found, counted = counted, 0
        return found

    monkeypatch.setattr(Costs, "count", counting)
    return since


async def crowd(served: Served, new_person: NewPerson, count: int) -> tuple[Person, list[Person]]:
    """A group and its members, each of whom is a delegate of another and shares a group with them."""
    directory, access = PostgresDirectory(served.storage.database), PostgresAccess(served.storage)
    members = [await new_person() for _ in range(count)]
    group, outer = await new_person(kind="group"), await new_person(kind="group")
    await directory.write_relations(
        [
            RelationChange(group.id, members=frozenset(each.id for each in members)),
            RelationChange(outer.id, members=frozenset({group.id, *(each.id for each in members)})),
        ],
        CAUSE,
    )
    for one, another in zip(members, [*members[1:], members[0]], strict=True):
        for rights in ("read", "write"):
            await access.set_delegates(one.id, rights, frozenset({another.id}), CAUSE)
    return group, members


async def expand(person: Person, group: Person, everybody: list[Person]) -> Reply:
    return await person.report(group.principal, "D:expand-property", asked("group-member-set", *EVERY_RELATION), "0")


async def search(person: Person, group: Person, everybody: list[Person]) -> Reply:
    inner = "".join(
        "<D:property-search><D:prop><D:displayname/></D:prop>"
        f"<D:match match-type='equals'>{each.name.title()}</D:match></D:property-search>"
        for each in everybody
    )
    body = xml("D:principal-property-search", inner + OF_PRINCIPALS).replace("-search ", '-search test="anyof" ', 1)
    return await person.http("REPORT", "/principals/", body, Depth="0")


async def listed(person: Person, group: Person, everybody: list[Person]) -> Reply:
    return await person.report(person.calendar, "D:acl-principal-prop-set", OF_PRINCIPALS, "0")


async def matching(person: Person, group: Person, everybody: list[Person]) -> Reply:
    return await person.report("/principals/", "D:principal-match", f"<D:self/>{OF_PRINCIPALS}", "0")


async def calendarserver(person: Person, group: Person, everybody: list[Person]) -> Reply:
    inner = f"<S:search-token>{group.name[:6]}</S:search-token>{OF_PRINCIPALS}"
    body = xml("S:calendarserver-principal-search", inner).replace("-search ", '-search context="user" ', 1)
    return await person.http("REPORT", "/principals/", body, Depth="0")


@pytest.mark.parametrize("report", [expand, search, listed, matching, calendarserver], ids=lambda each: each.__name__)
async def test_principals(
    served: Served,
    new_person: NewPerson,
    statements: Callable[[], int],
    share: Share,
    report: Callable[..., Awaitable[Reply]],
) -> None:
    needed = []
    for count in (2, 9):
        group, members = await crowd(served, new_person, count)
        person = members[0]
        for each in members[1:]:
            await share(person, each, "read")
        await person.http("OPTIONS", person.home)
        await report(person, group, members)
        statements()
        reply = await report(person, group, members)
        needed.append(statements())
        assert reply.status == 207
        names = members if report not in (matching, calendarserver) else members[:1]
        assert all(each.name.title() in reply.text for each in names)
    assert 1 < needed[0] == needed[1] <= 20


async def test_an_expansion_is_bounded(served: Served, new_person: NewPerson) -> None:
    group, members = await crowd(served, new_person, 9)
    deep = asked("displayname")
    for _ in range(8):
        deep = asked("group-member-set", asked("group-membership", deep))
    reply = await members[0].report(group.principal, "D:expand-property", deep, "0")
    reply.refused(507, dav("number-of-matches-within-limits"))


def acls(reply: Multistatus, hrefs: list[str]) -> dict[str, str]:
    return {href: reply[href].found[dav("acl")] for href in hrefs}


@pytest.mark.parametrize("kind", ["calendar", "addressbook"])
async def test_access_control_lists_in_every_report(
    person: Person, other: Person, share: Share, statements: Callable[[], int], kind: str
) -> None:
    path, home, text, space = (
        (person.calendar, person.home, event, "C") if kind == "calendar" else (person.book, person.books, card, "A")
    )
    if kind == "calendar":
        await share(person, other, "read")
    hrefs = [f"{path}{number}.{'ics' if kind == 'calendar' else 'vcf'}" for number in range(5)]
    for number, href in enumerate(hrefs):
        await person.has(href, text(str(number)))
    expected = acls(await person.propfind(path, "D:acl", depth="1"), hrefs)
    assert person.principal in expected[hrefs[0]]
    assert (other.principal in expected[hrefs[0]]) == (kind == "calendar")
    prop = "<D:prop><D:getetag/><D:acl/></D:prop>"
    every = '<C:filter><C:comp-filter name="VCALENDAR"/></C:filter>' if kind == "calendar" else "<A:filter/>"
    gets = "".join(f"<D:href>{href}</D:href>" for href in hrefs)
    multiget, query = f"{space}:{kind}-multiget", f"{space}:{kind}-query"
    for where in (path, home):
        depth = "1" if where == path else "infinity"
        level = "1" if where == path else "infinite"
        statements()
        assert acls((await person.report(where, multiget, prop + gets)).multistatus, hrefs) == expected
        assert statements() <= 5
        assert acls((await person.report(where, query, prop + every, depth)).multistatus, hrefs) == expected
        assert acls(await person.sync(where, level=level, props="<D:acl/>"), hrefs) == expected
        limited = await person.sync(where, level=level, limit=100, props="<D:acl/>")
        assert acls(limited, hrefs) == expected
    of_collection = (await person.propfind(path, "D:acl")).only.found[dav("acl")]
    assert (await person.sync(home, props="<D:acl/>"))[path].found[dav("acl")] == of_collection


async def test_who_may_not_read_the_list_does_not_in_reports(person: Person, other: Person, share: Share) -> None:
    await share(person, other, "read")
    await person.has(f"{person.calendar}1.ics", event("1"))
    reply = await other.sync(person.calendar, props="<D:acl/><D:getetag/>")
    member = reply[f"{person.calendar}1.ics"]
    assert dav("acl") not in member.found
    assert dav("getetag") in member.found
