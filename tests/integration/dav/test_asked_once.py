"""A request looks each resource up once, and asks the policy once about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from server.auth import policy
from server.observe.log import request_id
from tests.integration.dav.client import Reply
from tests.integration.dav.person import Person, card, event, xml
from tests.integration.dav.sharing import Share
from tests.integration.dav.statements import Statements

DECISIONS = (
    "on_fixed",
    "on_principal",
    "on_home",
    "on_collection",
    "may_keep_view",
    "may_keep_own_parts",
)
"""Everything that the policy decides; `sees_as_sharee` says which view is read."""
FIND = xml("D:propfind", "<D:prop><D:displayname/><D:current-user-privilege-set/></D:prop>")

Send = Callable[[Person, Person], Awaitable[Reply]]
CASES: dict[str, tuple[Send, int, int]] = {
    "GET": (lambda owner, _: owner.http("GET", f"{owner.calendar}1.ics"), 1, 1),
    "PROPFIND": (lambda owner, _: owner.http("PROPFIND", owner.calendar, FIND, Depth="0"), 1, 1),
    "PUT of a new event": (lambda owner, _: owner.put(f"{owner.calendar}new.ics", event("new")), 2, 1),
    "PUT over an event": (lambda owner, _: owner.put(f"{owner.calendar}1.ics", event("1", "Changed")), 2, 1),
    "PUT of a card": (lambda owner, _: owner.put(f"{owner.book}new.vcf", card("new")), 2, 1),
    "PUT of a delegate": (lambda owner, other: other.put(f"{owner.calendar}new.ics", event("new")), 2, 1),
    "POST": (
        lambda owner, _: owner.http("POST", f"{owner.calendar};add-member", event("new"), Content_Type="text/calendar"),
        2,
        1,
    ),
    "DELETE of an event": (lambda owner, _: owner.http("DELETE", f"{owner.calendar}1.ics"), 2, 1),
    "PROPPATCH of an event": (
        lambda owner, _: owner.proppatch(f"{owner.calendar}1.ics", "<D:set><D:prop><X:a>1</X:a></D:prop></D:set>"),
        2,
        1,
    ),
    "MKCALENDAR": (lambda owner, _: owner.http("MKCALENDAR", f"{owner.home}new/"), 2, 1),
    "COPY of an event": (
        lambda owner, _: owner.http("COPY", f"{owner.calendar}1.ics", Destination=f"{owner.home}second/new.ics"),
        3,
        2,
    ),
}
"""A request of the owner or of their delegate; how many statements it needs, and how many decisions of the policy."""


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each request asked the policy, by the request's id."""
    counts: Counter[str] = Counter()
    for name in DECISIONS:
        original = getattr(policy, name)

        def counted(*args: object, original=original):
            counts[request_id.get()] += 1
            return original(*args)

        monkeypatch.setattr(policy, name, counted)
    return counts


@pytest.mark.parametrize("name", CASES)
async def test_nothing_is_looked_up_or_decided_twice(
    person: Person,
    other: Person,
    monkeypatch: pytest.MonkeyPatch,
    decisions: Counter[str],
    name: str,
) -> None:
    send, statements, asked = CASES[name]
    await person.has(f"{person.calendar}1.ics", event("1"))
    assert (await person.http("MKCALENDAR", f"{person.home}second/")).status == 201
    members = f"<D:group-member-set><D:href>{other.principal}</D:href></D:group-member-set>"
    delegates = f"{person.principal}calendar-proxy-write/"
    assert (await person.proppatch(delegates, f"<D:set><D:prop>{members}</D:prop></D:set>")).status == 207
    await (other if "delegate" in name else person).http("OPTIONS", person.calendar)  # the sign-in is remembered
    counted = Statements(monkeypatch)
    reply = await send(person, other)
    assert reply.status < 300, reply.text
    assert (counted.of(reply), decisions[reply.headers["X-Request-Id"]]) == (statements, asked)


async def test_the_put_of_a_sharee_asks_once(
    person: Person, other: Person, share: Share, monkeypatch: pytest.MonkeyPatch, decisions: Counter[str]
) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    await share(person, other, "write")
    await other.http("OPTIONS", path)
    counted = Statements(monkeypatch)
    reply = await other.put(path, event("1", "Changed"))
    assert reply.status == 204
    # The owner's object, the latest revision of the sharee's view, the object in it, all that is rendered, the write.
    assert (counted.of(reply), decisions[reply.headers["X-Request-Id"]]) == (5, 1)
