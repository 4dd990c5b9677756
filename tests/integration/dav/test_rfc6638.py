"""RFC 6638 by its sections: inbox and outbox, addresses, preconditions, tags, parameters and headers."""

from __future__ import annotations

import re

import pytest

from server.domain.changes import Cause, ChangeSet, Put
from server.domain.limits import Limits
from server.domain.objects import Target
from server.services.objects import Objects
from server.storage.directory import PrincipalChange
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson, Serve, Served
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, calendar, event, xml

ADMIN = frozenset({"admin"})
ELSEWHERE = "mailto:somebody@elsewhere.example"


def address(person: Person) -> str:
    return f"mailto:{person.name}@example.com"


def meeting(organizer: str, *attendees: str, uid: str = "m", lines: tuple[str, ...] = ("SUMMARY:Plan",)) -> str:
    return calendar(
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        "DTSTART:20260601T090000Z",
        "DURATION:PT1H",
        *lines,
        f"ORGANIZER:{organizer}",
        *(f"ATTENDEE:{each}" for each in attendees),
        "END:VEVENT",
    )


async def text_of(person: Person, path: str) -> str:
    return (await person.http("GET", path)).text.replace("\r\n ", "")


async def copy_of(person: Person) -> str:
    """The path of the only object in somebody's calendar."""
    (path,) = await person.names(person.calendar)
    return path


def line(text: str, whose: Person | str, name: str = "ATTENDEE") -> str:
    end = whose if isinstance(whose, str) else address(whose)
    (found,) = [each for each in text.splitlines() if each.startswith(name) and each.endswith(f":{end}")]
    return found


def answered(text: str, person: Person, partstat: str) -> str:
    return re.sub(f"ATTENDEE[^\r\n]*:{address(person)}", f"ATTENDEE;PARTSTAT={partstat}:{address(person)}", text)


async def answer(person: Person, partstat: str) -> Reply:
    path = await copy_of(person)
    reply = await person.put(path, answered(await text_of(person, path), person, partstat))
    assert reply.status == 204
    return reply


async def messages(person: Person) -> list[str]:
    """The methods of the items in somebody's inbox."""
    texts = [await text_of(person, item) for item in await person.names(f"{person.home}inbox/")]
    return sorted(re.findall("METHOD:([A-Z]+)", "".join(texts)))


async def acl(owner: Person, path: str, verb: str, whom: Person, *privileges: str) -> None:
    named = "".join(f"<D:privilege><{each}/></D:privilege>" for each in privileges)
    principal = f"<D:principal><D:href>{whom.principal}</D:href></D:principal>"
    body = xml("D:acl", f"<D:ace>{principal}<D:{verb}>{named}</D:{verb}></D:ace>")
    assert (await owner.http("ACL", path, body)).status == 200


# -- §2 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("box", ["inbox", "outbox"])
async def test_2_1_2_2_properties_and_methods(person: Person, box: str) -> None:
    path = f"{person.home}{box}/"
    found = (
        await person.propfind(
            path,
            "D:resourcetype",
            "C:supported-calendar-component-set",
            "C:supported-calendar-data",
            "C:max-resource-size",
            "C:min-date-time",
            "C:max-date-time",
            "C:max-attendees-per-instance",
        )
    ).only
    assert set(found.props) == {200}
    assert caldav(f"schedule-{box}") in found.found[dav("resourcetype")]
    assert "VEVENT" in found.found[caldav("supported-calendar-component-set")]
    everything = (await person.http("PROPFIND", path, xml("D:propfind", "<D:allprop/>"), Depth="0")).multistatus
    assert not [name for name in everything[path].found if name.startswith(caldav(""))]
    place = caldav("calendar-collection-location-ok")
    for method in ("MKCOL", "MKCALENDAR"):
        (await person.http(method, f"{path}new/")).refused(403, place)
    await person.has(f"{person.calendar}1.ics", event("1"))
    for method in ("COPY", "MOVE"):
        reply = await person.http(method, f"{person.calendar}1.ics", Destination=f"{path}1.ics")
        reply.refused(403, dav("need-privileges"))
        reply = await person.http(method, path, Destination=f"{person.home}new/")
        reply.refused(403, dav("need-privileges"))
    (await person.put(f"{path}1.ics", event("1"))).refused(403, dav("need-privileges"))
    (await person.http("DELETE", path)).refused(403, dav("need-privileges"))
    for method in ("PUT", "LOCK", "PATCH"):
        assert (await person.http(method, path, event("1"))).status == 405
    window = '<C:time-range start="20260101T000000Z" end="20260201T000000Z"/>'
    (await person.report(path, "C:free-busy-query", window)).refused(403, dav("supported-report"))


async def test_2_2_items_are_read_and_deleted_and_nothing_else(person: Person, other: Person) -> None:
    await person.has(f"{person.calendar}m.ics", meeting(address(person), address(other)))
    inbox = f"{other.home}inbox/"
    (item,) = await other.names(inbox)
    assert "METHOD:REQUEST" in await text_of(other, item)
    query = (
        '<D:prop><C:calendar-data/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">'
        '<C:time-range start="20260601T000000Z" end="20260602T000000Z"/></C:comp-filter></C:comp-filter></C:filter>'
    )
    assert (await other.report(inbox, "C:calendar-query", query)).multistatus.hrefs == [item]
    wanted = f"<D:prop><C:calendar-data/></D:prop><D:href>{item}</D:href>"
    assert "METHOD:REQUEST" in (await other.report(inbox, "C:calendar-multiget", wanted)).text
    assert list((await other.propfind(item, "C:schedule-tag")).only.props) == [404]
    (await other.put(item, event("m"))).refused(403, dav("need-privileges"))
    # A calendar holds no METHOD (RFC 4791 §4.1), also where nothing else has the UID.
    assert (await other.http("DELETE", await copy_of(other), Schedule_Reply="F")).status == 204
    for method in ("COPY", "MOVE"):
        reply = await other.http(method, item, Destination=f"{other.calendar}m.ics")
        reply.refused(403, caldav("valid-calendar-object-resource"))
        (await other.http(method, item, Destination=f"{inbox}m.ics")).refused(403, dav("need-privileges"))
    assert await other.names(other.calendar) == []
    assert (await other.http("DELETE", item)).status == 204


async def test_2_3_messages_without_a_start_match_any_window(person: Person, served: Served) -> None:
    inbox, storage = f"{person.home}inbox/", served.storage
    objects = Objects(storage, Limits())
    people = ("DTSTAMP:20260101T000000Z", f"ORGANIZER:{address(person)}", f"ATTENDEE:{ELSEWHERE}")
    for component, uid in (("VEVENT", "x"), ("VTODO", "y")):
        body = calendar("METHOD:REPLY", f"BEGIN:{component}", f"UID:{uid}", *people, f"END:{component}").encode()
        found = (await storage.resolve(person.id, Target(person.uid, "uid", "calendar", "inbox"))).collection
        assert found is not None
        put = Put(found, f"{uid}.ics", await objects.content(found, body, None), None)
        await storage.apply(ChangeSet((put,), objects.write_limits, Cause(None, "test")))
    window = '<C:time-range start="20300101T000000Z" end="20300102T000000Z"/>'
    for component, uid in (("VEVENT", "x"), ("VTODO", "y")):
        for more in ("", '<C:prop-filter name="ORGANIZER"/>'):
            inner = f'<C:comp-filter name="{component}">{window}{more}</C:comp-filter>'
            inner = f'<C:filter><C:comp-filter name="VCALENDAR">{inner}</C:comp-filter></C:filter>'
            query = f"<D:prop><D:getetag/></D:prop>{inner}"
            assert (await person.report(inbox, "C:calendar-query", query)).multistatus.hrefs == [f"{inbox}{uid}.ics"]
    reply = await person.put(f"{person.calendar}x.ics", calendar("BEGIN:VEVENT", "UID:x", *people, "END:VEVENT"))
    reply.refused(403, caldav("valid-calendar-data"))


async def test_2_4_1_the_order_of_addresses(new_person: NewPerson) -> None:
    """Apps take the first one: a mail address."""
    person, room, boss = await new_person(), await new_person(kind="room"), await new_person(roles=ADMIN)
    for each, kind in ((person, "users"), (room, "locations")):
        body = xml("D:propfind", "<D:prop><C:calendar-user-address-set/></D:prop>")
        text = (await boss.http("PROPFIND", each.principal, body, Depth="0")).text
        found = re.findall("<D:href>([^<]*)</D:href>", text[text.index("<C:calendar-user-address-set>") :])
        assert found == [
            address(each), f"urn:x-uid:{each.uid}", each.principal, f"/principals/{kind}/{each.name}/"
        ]  # fmt: skip
        everything = await boss.http("PROPFIND", each.principal, xml("D:propfind", "<D:allprop/>"), Depth="0")
        assert not [name for name in everything.multistatus[each.principal].found if name.startswith(caldav(""))]


async def test_2_4_1_any_address_of_a_person_is_theirs(person: Person, other: Person) -> None:
    """Those that only this server understands become mail addresses; others stay as they were written."""
    written = {
        f"mailto:{person.name}%40example.com": f"mailto:{person.name}%40example.com",
        f"MAILTO:{person.name.upper()}@EXAMPLE.COM": f"mailto:{person.name.upper()}@EXAMPLE.COM",
        f"{person.name}@example.com": address(person),
        f"urn:x-uid:{person.uid.upper()}": address(person),
        person.principal: address(person),
        f"/principals/users/{person.name}": address(person),
        f"https://example.com/dav{person.principal}": address(person),
    }
    for number, organizer in enumerate(written):
        reply = await person.put(f"{person.calendar}{number}.ics", meeting(organizer, address(other), uid=f"{number}"))
        assert reply.status == 201
        assert "Schedule-Tag" in reply.headers
    for copy in await other.names(other.calendar):
        text = await text_of(other, copy)
        number = re.findall("UID:([0-9])", text)[0]
        organizer = written[list(written)[int(number)]]
        assert f"ORGANIZER;CN={person.name.title()}:{organizer}" in text
        await other.has(copy, answered(text, other, "ACCEPTED"))
        theirs = await text_of(person, f"{person.calendar}{number}.ics")
        assert "PARTSTAT=ACCEPTED" in line(theirs, other)
        assert f"ORGANIZER;CN={person.name.title()}:{organizer}" in theirs


async def test_2_4_1_a_stable_id_that_is_a_uuid(served: Served, other: Person) -> None:
    """urn:uuid: is an address of those whose id is one, in any case."""
    uid, name = "6423F94A-6B76-4A3A-815B-D52CFD77935D", f"uuid-{other.name}"
    change = PrincipalChange(uid=uid, kind="individual", name=name, addresses=(f"{name}@example.com",))
    (id_,) = await PostgresDirectory(served.storage.database).write_principals([change], Cause(None, "test"))
    person = Person(served.client(Remote_User=name), id_, uid, name)
    assert f"<{dav('href')}>urn:uuid:{uid}<" in await person.prop(person.principal, "C:calendar-user-address-set")
    urn = f"urn:uuid:{uid.lower()}"
    reply = await person.put(f"{person.calendar}m.ics", meeting(urn, address(other)))
    assert "Schedule-Tag" in reply.headers
    await answer(other, "ACCEPTED")
    text = await text_of(person, f"{person.calendar}m.ics")
    assert "PARTSTAT=ACCEPTED" in line(text, other)
    assert f"ORGANIZER:{address(person)}" in text.replace(f";CN={name}", "")
    await other.has(f"{other.calendar}n.ics", meeting(address(other), urn.upper(), uid="n"))
    assert len(await person.names(person.calendar)) == 2
    window = ("DTSTART:20260601T000000Z", "DTEND:20260602T000000Z", "DTSTAMP:20260101T000000Z", "UID:f")
    body = calendar(
        "METHOD:REQUEST", "BEGIN:VFREEBUSY", *window, f"ORGANIZER:{urn}", f"ATTENDEE:{urn}", "END:VFREEBUSY"
    )
    reply = await person.http("POST", f"{person.home}outbox/", body, Content_Type="text/calendar")
    assert "2.0;Success" in reply.text
    person.http.close()


async def test_2_4_1_the_addresses_of_a_room(person: Person, new_person: NewPerson) -> None:
    room = await new_person(kind="room")
    path = f"{person.calendar}m.ics"
    await person.has(path, meeting(address(person), room.principal, f"{room.name}@example.com"))
    assert line(await text_of(person, path), room) == (
        f"ATTENDEE;CN={room.name.title()};CUTYPE=ROOM;RSVP=TRUE;SCHEDULE-STATUS=1.2:{address(room)}"
    )


@pytest.mark.parametrize("strange", ["mailto:%00@x", "/principals/users/%00", "mailto:%ff%zz@x", "mailto:", "%", "x"])
async def test_strange_addresses_are_those_of_nobody(person: Person, strange: str) -> None:
    path = f"{person.calendar}m.ics"
    text = meeting(address(person), strange)
    await person.has(path, text)
    await person.has(path, text.replace("T090000Z", "T100000Z"))
    assert (await person.http("DELETE", path)).status == 204
    reply = await person.put(f"{person.calendar}n.ics", meeting(strange, address(person)))
    assert reply.status in (201, 403)


# -- §3.2.1, §3.2.2 ---------------------------------------------------------------------------------------------------


async def test_3_2_1_who_cannot_be_reached(person: Person, other: Person) -> None:
    path = f"{person.calendar}m.ics"
    invited = meeting(address(person), address(other), ELSEWHERE, "urn:x-uid:nobody", address(person))
    await person.has(path, invited.replace("20260601", "20990601"))
    text = await text_of(person, path)
    assert "SCHEDULE-STATUS=1.2" in line(text, other)
    # A mail: 1.0 before it is sent, 1.1 after that (§3.2.9).
    assert re.search(r"SCHEDULE-STATUS=1\.[01]", line(text, ELSEWHERE))
    assert "SCHEDULE-STATUS=3.7" in line(text, "urn:x-uid:nobody")
    # No message goes to the organizer (§3.2.1), and so no status stands there (§3.2.1.1).
    assert "SCHEDULE-STATUS" not in line(text, person)
    assert await messages(person) == []


async def test_3_2_1_an_organizer_does_not_answer_for_people_here(person: Person, other: Person) -> None:
    """With If-Match of the present ETag an app that has seen the answer asks anew; otherwise NEEDS-ACTION is stale."""
    path = f"{person.calendar}m.ics"
    await person.has(path, meeting(address(person), address(other), ELSEWHERE))
    tag = (await person.http("GET", path)).headers["Schedule-Tag"]
    await answer(other, "ACCEPTED")
    text = await text_of(person, path)
    declined = answered(text, other, "DECLINED")
    declined = re.sub(f"ATTENDEE[^\r\n]*:{ELSEWHERE}", f"ATTENDEE;PARTSTAT=TENTATIVE:{ELSEWHERE}", declined)
    await person.has(path, declined)
    text = await text_of(person, path)
    assert "PARTSTAT=ACCEPTED" in line(text, other)
    assert "PARTSTAT=TENTATIVE" in line(text, ELSEWHERE)
    unanswered = answered(text, other, "NEEDS-ACTION")
    await person.has(path, unanswered)
    assert "PARTSTAT=ACCEPTED" in line(await text_of(person, path), other)
    reply = await person.http("GET", path)
    assert reply.headers["Schedule-Tag"] != tag
    tags = {"If_Schedule_Tag_Match": reply.headers["Schedule-Tag"]}
    await person.has(path, unanswered, If_Match=reply.headers["ETag"], **tags)
    assert "PARTSTAT=ACCEPTED" in line(await text_of(person, path), other)
    before = len(await messages(other))
    await person.has(path, unanswered, If_Match=(await person.http("GET", path)).headers["ETag"])
    assert "PARTSTAT=NEEDS-ACTION" in line(await text_of(person, path), other)
    assert len(await messages(other)) == before + 1
    assert "PARTSTAT=NEEDS-ACTION" in line(await text_of(other, await copy_of(other)), other)


async def test_3_2_2_1_what_an_attendee_changes_is_put_back_or_refused(person: Person, other: Person) -> None:
    path = f"{person.calendar}m.ics"
    lines = ("SUMMARY:Plan", "LOCATION:Room", "X-ALT-DESC:<p>x</p>")
    await person.has(path, meeting(address(person), address(other), ELSEWHERE, lines=lines))
    copy = await copy_of(other)
    text = await text_of(other, copy)
    assert "TRANSP:TRANSPARENT" in text
    changed = text.replace("SUMMARY:Plan", "SUMMARY:Mine\r\nDESCRIPTION:Mine\r\nSEQUENCE:9\r\nX-MINE:1")
    changed = changed.replace("LOCATION:Room\r\n", "").replace("<p>x</p>", "mine")
    changed = re.sub(f"ATTENDEE[^\r\n]*:{ELSEWHERE}", "ATTENDEE:mailto:third@elsewhere.example", changed)
    changed = changed.replace("END:VEVENT", "BEGIN:VALARM\r\nACTION:AUDIO\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT")
    assert (await other.put(copy, changed)).status == 204
    stored = await text_of(other, copy)
    for kept in (*lines, "X-MINE:1", "TRIGGER:-PT5M"):
        assert f"{kept}\r\n" in stored
    for put_back in ("Mine", "SEQUENCE:9", "third@elsewhere.example"):
        assert put_back not in stored
    assert line(stored, ELSEWHERE) == line(text, ELSEWHERE)
    refused = caldav("allowed-attendee-scheduling-object-change")
    for before, after in (
        ("DTSTART:20260601T090000Z", "DTSTART:20260601T093000Z"),
        ("DURATION:PT1H", "DURATION:PT2H"),
        ("DURATION:PT1H", "DTEND:20260601T110000Z"),
        ("SUMMARY:Plan", "SUMMARY:Plan\r\nRRULE:FREQ=DAILY"),
        ("SUMMARY:Plan", "SUMMARY:Plan\r\nRDATE:20260602T090000Z"),
        (f"{address(person)}\r\n", f"{ELSEWHERE}\r\n"),
        (f"{line(stored, other)}\r\n", ""),
    ):
        assert before in stored
        (await other.put(copy, stored.replace(before, after, 1))).refused(403, refused)
    assert await text_of(other, copy) == stored
    assert await messages(person) == []


async def test_3_2_2_2_who_took_over_the_answers(person: Person, other: Person) -> None:
    """§3.2.2.2, §7.1: with SCHEDULE-AGENT=CLIENT the server answers nothing, and it is not given back to the server."""
    for number, agent in enumerate(("CLIENT", "NONE", "X-UNKNOWN")):
        path, uid = f"{other.calendar}{number}.ics", f"{number}"
        text = meeting(address(person), address(other), uid=uid)
        client = text.replace("ORGANIZER", f"ORGANIZER;SCHEDULE-AGENT={agent}")
        await other.has(path, answered(client, other, "ACCEPTED"))
        await other.has(path, answered(client, other, "DECLINED"))
        assert "SCHEDULE-STATUS" not in await text_of(other, path)
        (await other.put(path, text)).refused(403, caldav("allowed-attendee-scheduling-object-change"))
        assert (await other.http("DELETE", path)).status == 204
    assert await messages(person) == []


@pytest.mark.parametrize("agent", ["CLIENT", "NONE"])
async def test_3_2_2_3_the_server_goes_on_answering_an_organizer_here(
    person: Person, other: Person, agent: str
) -> None:
    """Thunderbird and CalDAV Synchronizer write SCHEDULE-AGENT with each answer."""
    path = f"{person.calendar}m.ics"
    await person.has(path, meeting(address(person), address(other)))
    copy = await copy_of(other)
    text = answered(await text_of(other, copy), other, "TENTATIVE")
    await other.has(copy, text.replace("ORGANIZER", f"ORGANIZER;SCHEDULE-AGENT={agent}"))
    stored = await text_of(other, copy)
    assert "SCHEDULE-AGENT" not in stored
    assert "SCHEDULE-STATUS=1.2" in line(stored, person, "ORGANIZER")
    assert "PARTSTAT=TENTATIVE" in line(await text_of(person, path), other)


@pytest.mark.parametrize("agent", ["CLIENT", "NONE"])
async def test_3_2_2_3_the_app_answers_an_organizer_elsewhere(person: Person, agent: str) -> None:
    path = f"{person.calendar}m.ics"
    text = meeting(ELSEWHERE, address(person))
    await person.has(path, text)
    taken = answered(text, person, "ACCEPTED").replace("ORGANIZER", f"ORGANIZER;SCHEDULE-AGENT={agent}")
    await person.has(path, taken)
    assert f"SCHEDULE-AGENT={agent}" in await text_of(person, path)
    assert "SCHEDULE-STATUS" not in await text_of(person, path)
    (await person.put(path, text)).refused(403, caldav("allowed-attendee-scheduling-object-change"))


# -- §3.2.3, §3.2.4 ---------------------------------------------------------------------------------------------------


async def test_3_2_3_1_what_a_put_makes_of_an_object(person: Person, other: Person) -> None:
    """None, Create, Modify and Remove."""
    path = f"{person.calendar}m.ics"
    plain = event("m")
    reply = await person.put(path, plain)
    assert "Schedule-Tag" not in reply.headers
    scheduled = meeting(address(person), address(other))
    created = await person.put(path, scheduled)
    assert "Schedule-Tag" in created.headers
    assert await messages(other) == ["REQUEST"]
    modified = await person.put(path, scheduled.replace("SUMMARY:Plan", "SUMMARY:Other"))
    assert modified.headers["Schedule-Tag"] != created.headers["Schedule-Tag"]
    assert await messages(other) == ["REQUEST", "REQUEST"]
    removed = await person.put(path, plain)
    assert "Schedule-Tag" not in removed.headers
    assert "Schedule-Tag" not in (await person.http("GET", path)).headers
    assert await messages(other) == ["CANCEL", "REQUEST", "REQUEST"]
    assert "STATUS:CANCELLED" in await text_of(other, await copy_of(other))
    assert (await other.http("DELETE", await copy_of(other))).status == 204
    assert await messages(person) == []


async def test_3_2_4_2_one_organizer_in_all_components(person: Person, other: Person) -> None:
    second = (
        "BEGIN:VEVENT\r\nUID:m\r\nDTSTAMP:20260101T000000Z\r\nRECURRENCE-ID:20260602T090000Z\r\n"
        f"DTSTART:20260602T100000Z\r\nDURATION:PT1H\r\nORGANIZER:{address(other)}\r\nEND:VEVENT\r\nEND:VCALENDAR"
    )
    text = meeting(address(person), address(other), lines=("RRULE:FREQ=DAILY",)).replace("END:VCALENDAR", second)
    reply = await person.put(f"{person.calendar}m.ics", text)
    reply.refused(403, caldav("same-organizer-in-all-components"))


async def test_3_2_4_3_what_an_organizer_may_not_do(person: Person, other: Person, new_person: NewPerson) -> None:
    refused = caldav("allowed-organizer-scheduling-object-change")
    path, text = f"{person.calendar}m.ics", meeting(address(person), address(other))
    await person.has(path, text)
    (await person.put(path, text.replace(f"ORGANIZER:{address(person)}", f"ORGANIZER:{address(other)}"))).refused(
        403, refused
    )
    instance = text.replace("SUMMARY:Plan", "RECURRENCE-ID:20260601T090000Z").replace("UID:m", "UID:n")
    (await person.put(f"{person.calendar}n.ics", instance)).refused(403, refused)
    room, boss = await new_person(kind="room"), await new_person(roles=ADMIN)
    (await boss.put(f"{room.calendar}m.ics", meeting(address(room), address(person)))).refused(403, refused)
    assert await messages(person) == []


# -- §3.2.10, §8 ------------------------------------------------------------------------------------------------------


async def test_3_2_10_schedule_tag(person: Person, other: Person, new_person: NewPerson) -> None:
    third = await new_person()
    path, text = f"{person.calendar}m.ics", meeting(address(person), address(other), address(third))
    tag = (await person.put(path, text)).headers["Schedule-Tag"]
    for method in ("GET", "HEAD"):
        assert (await person.http(method, path)).headers["Schedule-Tag"] == tag
    assert await person.prop(path, "C:schedule-tag") == tag
    query = f"<D:prop><C:schedule-tag/></D:prop><D:href>{path}</D:href>"
    assert (await person.report(person.calendar, "C:calendar-multiget", query)).multistatus[path].found == {
        caldav("schedule-tag"): tag
    }
    added = meeting(address(person), ELSEWHERE, uid="n")
    reply = await person.http("POST", f"{person.calendar};add-member", added, Content_Type="text/calendar")
    assert reply.headers["Schedule-Tag"] == await person.prop(reply.headers["Location"], "C:schedule-tag")
    outcome = await person.set(path, "<C:schedule-tag>x</C:schedule-tag>")
    assert set(outcome.props) == {403}

    others = await copy_of(third)
    before = (await third.http("GET", others)).headers
    reply = await answer(other, "ACCEPTED")
    assert reply.headers["Schedule-Tag"] == (await other.http("GET", await copy_of(other))).headers["Schedule-Tag"]
    after = (await third.http("GET", others)).headers
    assert (await person.http("GET", path)).headers["Schedule-Tag"] == tag
    assert after["Schedule-Tag"] == before["Schedule-Tag"]
    assert after["ETag"] != before["ETag"]

    # What both read before the answer is still a base for what they write; the answer stays.
    mine = await third.put(others, answered(text, third, "DECLINED"), If_Schedule_Tag_Match=before["Schedule-Tag"])
    assert mine.status == 204
    assert mine.headers["Schedule-Tag"] != before["Schedule-Tag"]
    stored = await text_of(third, others)
    assert "PARTSTAT=ACCEPTED" in line(stored, other)
    assert "PARTSTAT=DECLINED" in line(stored, third)
    changed = await person.put(path, text.replace("SUMMARY:Plan", "SUMMARY:Other"), If_Schedule_Tag_Match=tag)
    assert changed.status == 204
    stored = await text_of(person, path)
    assert "PARTSTAT=ACCEPTED" in line(stored, other)
    assert "PARTSTAT=DECLINED" in line(stored, third)
    assert (await third.http("GET", others)).headers["Schedule-Tag"] != mine.headers["Schedule-Tag"]


async def test_8_3_if_schedule_tag_match(person: Person, other: Person) -> None:
    path, text = f"{person.calendar}m.ics", meeting(address(person), address(other))
    tag = (await person.put(path, text)).headers["Schedule-Tag"]
    await person.has(f"{person.calendar}plain.ics", event("plain"))
    for header in ('"other"', tag.strip('"'), f"W/{tag}", "*", f'"other", {tag}'):
        for name in ("m", "plain", "new"):
            reply = await person.put(f"{person.calendar}{name}.ics", text, If_Schedule_Tag_Match=header)
            assert reply.status == 412
        for method in ("DELETE", "COPY", "MOVE"):
            destination = {} if method == "DELETE" else {"Destination": f"{person.calendar}new.ics"}
            assert (await person.http(method, path, If_Schedule_Tag_Match=header, **destination)).status == 412
    assert await messages(other) == ["REQUEST"]
    assert (await person.http("DELETE", path, If_Schedule_Tag_Match=tag)).status == 204
    assert await messages(other) == ["CANCEL", "REQUEST"]


@pytest.mark.parametrize(("header", "sends"), [("", True), ("T", True), ("F", False), ("f", False)])
async def test_8_1_schedule_reply(person: Person, other: Person, header: str, sends: bool) -> None:
    path = f"{person.calendar}m.ics"
    await person.has(path, meeting(address(person), address(other)))
    headers = {"Schedule_Reply": header} if header else {}
    assert (await other.http("DELETE", await copy_of(other), **headers)).status == 204
    assert ("PARTSTAT=DECLINED" in line(await text_of(person, path), other)) is sends
    assert await messages(person) == (["REPLY"] if sends else [])


# -- §6 ---------------------------------------------------------------------------------------------------------------


async def test_6_1_the_inbox_of_an_organizer_says_who_answers(person: Person, other: Person) -> None:
    path = f"{person.calendar}m.ics"
    await person.has(path, meeting(address(person), address(other)))
    await acl(person, f"{person.home}inbox/", "deny", other, "C:schedule-deliver-reply")
    await answer(other, "ACCEPTED")
    assert "SCHEDULE-STATUS=3.8" in line(await text_of(other, await copy_of(other)), person, "ORGANIZER")
    assert "PARTSTAT=ACCEPTED" not in line(await text_of(person, path), other)
    assert await messages(person) == []


async def test_6_1_who_takes_no_more_invitations_keeps_what_they_have(person: Person, other: Person) -> None:
    path, text = f"{person.calendar}m.ics", meeting(address(person), address(other))
    await person.has(path, text)
    await acl(other, f"{other.home}inbox/", "deny", person, "C:schedule-deliver-invite")
    await person.has(path, text.replace("SUMMARY:Plan", "SUMMARY:Other"))
    assert "SCHEDULE-STATUS=3.8" in line(await text_of(person, path), other)
    assert "SUMMARY:Plan" in await text_of(other, await copy_of(other))
    assert await messages(other) == ["REQUEST"]
    # Privileges on the calendar do not matter (§4): answers go their way.
    await answer(other, "ACCEPTED")
    assert "PARTSTAT=ACCEPTED" in line(await text_of(person, path), other)


async def test_6_2_the_outbox_of_an_owner_says_who_sends_in_their_name(
    person: Person, other: Person, new_person: NewPerson
) -> None:
    """§6.2.2, §6.2.3: with DAV:write on the calendar, schedule-send-invite or -reply is needed, too."""
    writer = await new_person()
    await acl(person, person.calendar, "grant", writer, "D:read", "D:write")
    path, text = f"{person.calendar}m.ics", meeting(address(person), address(other))
    for privileges in (("D:read",), ("D:read", "C:schedule-send-reply"), ("C:schedule-send-freebusy",)):
        await acl(person, f"{person.home}outbox/", "grant", writer, *privileges)
        reply = await writer.put(path, text)
        reply.refused(403, dav("need-privileges"))
        assert f"<D:href>{person.home}outbox/</D:href>" in reply.text
        assert "schedule-send-invite" in reply.text
    await acl(person, f"{person.home}outbox/", "grant", writer, "C:schedule-send-invite")
    assert (await writer.put(path, text)).status == 201
    assert await messages(other) == ["REQUEST"]
    assert (await writer.http("DELETE", path)).status == 204
    assert await messages(other) == ["CANCEL", "REQUEST"]


# -- §7 ---------------------------------------------------------------------------------------------------------------


async def test_7_parameters_of_one_copy_are_in_no_message(person: Person, other: Person) -> None:
    path = f"{person.calendar}m.ics"
    email = f'ATTENDEE;EMAIL=someone@example.org;SCHEDULE-AGENT=CLIENT;SCHEDULE-STATUS="2.0":{ELSEWHERE}'
    text = meeting(address(person), address(other)).replace("END:VEVENT", f"{email}\r\nEND:VEVENT")
    text = text.replace(f"ATTENDEE:{address(other)}", f"ATTENDEE;SCHEDULE-FORCE-SEND=REQUEST:{address(other)}")
    await person.has(path, text)
    assert email in await text_of(person, path)
    (item,) = await other.names(f"{other.home}inbox/")
    for found in (await text_of(other, item), await text_of(other, await copy_of(other))):
        assert "SCHEDULE-" not in found
        # RFC 7986 §6.2: kept where it was sent, added to no mailto:.
        assert f"ATTENDEE;EMAIL=someone@example.org:{ELSEWHERE}" in found
        assert found.count("EMAIL=") == 1


async def test_7_2_force_send(person: Person, other: Person) -> None:
    path, text = f"{person.calendar}m.ics", meeting(address(person), address(other))
    await person.has(path, text)
    await answer(other, "DECLINED")
    for value, count in (("REQUEST", 2), ("X-OTHER", 2)):
        forced = await text_of(person, path)
        own = line(forced, other)
        forced = forced.replace(own, own.replace(";", f";SCHEDULE-FORCE-SEND={value};", 1))
        await person.has(path, forced)
        stored = await text_of(person, path)
        assert "FORCE-SEND" not in stored
        assert f"SCHEDULE-STATUS={'1.2' if value == 'REQUEST' else '2.3'}" in line(stored, other)
        assert len(await messages(other)) == count
    copy = await copy_of(other)
    await other.has(copy, (await text_of(other, copy)).replace("ORGANIZER;", "ORGANIZER;SCHEDULE-FORCE-SEND=REPLY;"))
    assert "FORCE-SEND" not in await text_of(other, copy)
    assert await messages(person) == ["REPLY", "REPLY"]


# -- §9.2 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["C:schedule-default-calendar-URL", "S:schedule-default-tasks-URL"])
async def test_9_2_values_that_are_no_calendar(person: Person, other: Person, name: str) -> None:
    inbox = f"{person.home}inbox/"
    right = person.calendar if name.startswith("C:") else person.tasks
    subscribed = f"{person.home}subscribed/"
    source = "<D:set><D:prop><D:resourcetype><D:collection/><S:subscribed/></D:resourcetype>"
    source += "<S:source><D:href>https://example.com/x.ics</D:href></S:source></D:prop></D:set>"
    assert (await person.http("MKCOL", subscribed, xml("D:mkcol", source))).status == 201
    for href in (
        "",
        "<D:href/>",
        f"<D:href>{right}</D:href><D:href>{right}</D:href>",
        f"<D:href>{person.home}</D:href>",
        f"<D:href>{right}1.ics</D:href>",
        f"<D:href>{other.calendar}</D:href>",
        f"<D:href>{subscribed}</D:href>",
        "<D:href>https://elsewhere.example/calendar/</D:href>",
        "<D:href>%</D:href>",
    ):
        reply = await person.proppatch(inbox, f"<D:set><D:prop><{name}>{href}</{name}></D:prop></D:set>")
        assert set(reply.multistatus.only.props) == {403}, href
        assert "<C:valid-schedule-default-calendar-URL/>" in reply.text
    assert set((await person.set(inbox, f"<{name}><D:href>{right.rstrip('/')}</D:href></{name}>")).props) == {200}
    assert right in await person.prop(inbox, name)


async def test_11_1_large_operations_are_refused(person: Person, other: Person, serve: Serve) -> None:
    many = meeting(address(person), *(f"mailto:{number}@elsewhere.example" for number in range(2001)))
    (await person.put(f"{person.calendar}m.ics", many)).refused(403, caldav("max-attendees-per-instance"))
    names = ",".join(f'"mailto:{number}@elsewhere.example"' for number in range(20_000))
    deep = "".join(f";X-{number}=1" for number in range(20_000))
    for parameters in (f";DELEGATED-TO={names}", f";MEMBER={names}", deep, ";PARTSTAT=ACCEPTED" * 20_000):
        text = meeting(address(person), address(other)).replace("ATTENDEE", f"ATTENDEE{parameters}")
        assert (await person.put(f"{person.calendar}m.ics", text)).status in (201, 204)
        assert (await person.http("DELETE", f"{person.calendar}m.ics")).status == 204
    async with serve({"limits.max_resource_size": 10_000}) as served:
        client = served.client(Remote_User=person.name)
        large = meeting(address(person), address(other), lines=(f"DESCRIPTION:{'x' * 10_000}",))
        reply = await client("PUT", f"{person.calendar}n.ics", large, Content_Type="text/calendar")
        reply.refused(403, caldav("max-resource-size"))
        client.close()
