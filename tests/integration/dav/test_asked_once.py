"""A request looks each resource up once, and asks the policy once about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

import pytest

from server.auth import policy
from server.observe.log import request_id
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.person import Person, card, event, xml
from tests.integration.dav.sharing import Share
from tests.integration.dav.statements import Statements
from tests.integration.dav.test_implicit_scheduling import meeting

DECISIONS = (
    "on_fixed",
    "on_principal",
    "on_home",
    "on_collection",
    "may_ask",
    "may_deliver",
    "may_send",
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


Decisions = defaultdict[str, Counter[str]]


OTHERS_MEETING = event("other").replace(
    "END:VEVENT", "ORGANIZER:mailto:a@elsewhere.example\r\nATTENDEE:mailto:b@elsewhere.example\r\nEND:VEVENT"
)


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> Decisions:
    """How often each request asked for each decision of the policy, by the request's id."""
    counts: Decisions = defaultdict(Counter)
    for name in DECISIONS:
        original = getattr(policy, name)

        def counted(*args: object, name=name, original=original, **named: object):
            counts[request_id.get()][name] += 1
            return original(*args, **named)

        monkeypatch.setattr(policy, name, counted)
    return counts


@pytest.mark.parametrize("name", CASES)
async def test_nothing_is_looked_up_or_decided_twice(
    person: Person,
    other: Person,
    monkeypatch: pytest.MonkeyPatch,
    decisions: Decisions,
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
    assert (counted.of(reply), decisions[reply.headers["X-Request-Id"]].total()) == (statements, asked)


async def test_the_put_of_a_sharee_asks_once(
    person: Person, other: Person, share: Share, monkeypatch: pytest.MonkeyPatch, decisions: Decisions
) -> None:
    path = f"{person.calendar}1.ics"
    await person.has(path, event("1"))
    await share(person, other, "write")
    await other.http("OPTIONS", path)
    counted = Statements(monkeypatch)
    reply = await other.put(path, event("1", "Changed"))
    assert reply.status == 204
    # The owner's object, the latest revision of the sharee's view, the object in it, all that is rendered, the write.
    assert (counted.of(reply), decisions[reply.headers["X-Request-Id"]].total()) == (5, 1)


async def test_the_requests_of_a_meeting_ask_nothing_twice(
    person: Person, new_person: NewPerson, monkeypatch: pytest.MonkeyPatch, decisions: Decisions
) -> None:
    """The policy is asked once about the target, once whether the person sends, and once for each recipient."""
    people = [await new_person() for _ in range(3)]
    path = f"{person.calendar}m.ics"
    await person.has(f"{person.calendar}1.ics", event("1"))  # signs in
    counted = Statements(monkeypatch)
    one, three = meeting(person, people[0]), meeting(person, *people)
    requests = [await person.put(path, one), await person.put(path, three.replace("Plan", "Other"))]
    (copy,) = await people[0].names(people[0].calendar)
    text = (await people[0].http("GET", copy)).text
    accepted = text.replace("RSVP=TRUE", "PARTSTAT=ACCEPTED", 1)
    requests += [await people[0].put(copy, accepted), await person.http("DELETE", path)]
    for reply, recipients in zip(requests, (1, 3, 1, 3), strict=True):
        assert reply.status < 300, reply.text
        assert counted.repeated(reply) == []
        asked = decisions[reply.headers["X-Request-Id"]]
        assert asked == {"on_collection": 1, "may_send": 1, "may_deliver": recipients}


async def test_a_meeting_of_others_asks_only_for_the_owners_addresses(
    person: Person, monkeypatch: pytest.MonkeyPatch, decisions: Decisions
) -> None:
    path = f"{person.calendar}other.ics"
    await person.has(f"{person.calendar}1.ics", event("1"))  # signs in
    counted = Statements(monkeypatch)
    for text in (OTHERS_MEETING, OTHERS_MEETING.replace("SUMMARY", "COMMENT:x\r\nSUMMARY")):
        reply = await person.put(path, text)
        assert reply.status < 300, reply.text
        assert (counted.of(reply), decisions[reply.headers["X-Request-Id"]].total()) == (3, 1)
