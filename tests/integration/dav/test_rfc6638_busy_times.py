"""POST to the outbox: when calendar users are busy (RFC 6638 §5)."""

from __future__ import annotations

import pytest

from server.domain.changes import Cause
from server.storage.directory import RelationChange
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.directory import PostgresDirectory
from tests.integration.dav.client import Reply
from tests.integration.dav.conftest import NewPerson, Serve, Served
from tests.integration.dav.multistatus import caldav, dav
from tests.integration.dav.person import Person, calendar, event, xml
from tests.integration.dav.statements import Statements

JUNE = ("20260601T000000Z", "20260701T000000Z")
NINE, NOON = "20260601T090000Z/20260601T100000Z", "20260601T120000Z/20260601T130000Z"
CAUSE = Cause(None, "test")


def mail(person: Person) -> str:
    return f"mailto:{person.name}@example.com"


def outbox(person: Person) -> str:
    return f"{person.home}outbox/"


def request(asker: Person, *attendees: Person | str, window: tuple[str, str] = JUNE, more: tuple[str, ...] = ()) -> str:
    addresses = [each if isinstance(each, str) else mail(each) for each in attendees]
    return calendar(
        "METHOD:REQUEST",
        "BEGIN:VFREEBUSY",
        "UID:request",
        "DTSTAMP:20260101T000000Z",
        f"DTSTART:{window[0]}",
        f"DTEND:{window[1]}",
        f"ORGANIZER:{mail(asker)}",
        *(f"ATTENDEE;CN=Some One:{address}" for address in addresses),
        *more,
        "END:VFREEBUSY",
    )


async def post(person: Person, body: str | bytes, path: str = "", **headers: str) -> Reply:
    return await person.http("POST", path or outbox(person), body, **({"Content_Type": "text/calendar"} | headers))


def answers(reply: Reply) -> list[tuple[str, str]]:
    """Each recipient, with the busy periods or a status that is none of success."""
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Type"] == "application/xml; charset=utf-8"
    root = reply.xml
    assert root.tag == caldav("schedule-response")
    found = []
    for response in root:
        assert response.tag == caldav("response")
        recipient = response.findtext(f"{caldav('recipient')}/{dav('href')}")
        status, data = response.findtext(caldav("request-status")), response.findtext(caldav("calendar-data"))
        assert recipient is not None
        assert status is not None
        if data is None:
            found.append((recipient, status))
            continue
        assert status == "2.0;Success"
        lines = data.replace("\r\n ", "").split("\r\n")
        assert f"ATTENDEE;CN=Some One:{recipient}" in lines
        busy = [line for line in lines if line.startswith("FREEBUSY")]
        found.append((recipient, " ".join(line.removeprefix("FREEBUSY").lstrip(":;") for line in busy)))
    return found


async def busy(
    asker: Person, *attendees: Person | str, window: tuple[str, str] = JUNE, more: tuple[str, ...] = ()
) -> list[str]:
    return [each[1] for each in answers(await post(asker, request(asker, *attendees, window=window, more=more)))]


async def deny(owner: Person, whom: Person) -> None:
    ace = (
        f"<D:ace><D:principal><D:href>{whom.principal}</D:href></D:principal>"
        "<D:deny><D:privilege><C:schedule-query-freebusy/></D:privilege></D:deny></D:ace>"
    )
    assert (await owner.http("ACL", f"{owner.home}inbox/", xml("D:acl", ace))).status == 200


def at(uid: str, start: str, *lines: str) -> str:
    times = (f"DTSTART:{start}", "DURATION:PT1H")
    return calendar("BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260101T000000Z", *times, *lines, "END:VEVENT")


async def test_each_attendee_has_an_answer(person: Person, other: Person, new_person: NewPerson) -> None:
    denying, room, group = await new_person(), await new_person(kind="room"), await new_person(kind="group")
    await other.has(f"{other.calendar}1.ics", at("1", "20260601T090000Z"))
    await deny(denying, person)
    elsewhere = "mailto:somebody@example.org"
    addresses = [f"MAILTO:{other.name.upper()}@example.com", elsewhere, mail(denying), room.principal, mail(group)]
    assert answers(await post(person, request(person, *addresses))) == [
        (addresses[0], NINE),
        (elsewhere, "3.7;Invalid calendar user"),
        (addresses[2], "3.8;No authority"),
        (room.principal, ""),
        (addresses[4], "3.7;Invalid calendar user"),
    ]
    # The others still ask, and so does the person whose inbox it is.
    assert await busy(other, denying) == [""]
    assert await busy(denying, denying) == [""]


async def test_the_answer_is_a_reply_to_the_request(person: Person, other: Person) -> None:
    await other.has(f"{other.calendar}1.ics", at("1", "20260601T090000Z"))
    reply = await post(person, request(person, other), Content_Type='text/calendar; charset="UTF-8"; component=x')
    data = reply.xml.findtext(f"{caldav('response')}/{caldav('calendar-data')}")
    assert data is not None
    lines = data.split("\r\n")
    for line in ("METHOD:REPLY", "UID:request", f"ORGANIZER:{mail(person)}", f"DTSTART:{JUNE[0]}", f"DTEND:{JUNE[1]}"):
        assert lines.count(line) == 1, line
    assert [line for line in lines if line.startswith("BEGIN:")] == ["BEGIN:VCALENDAR", "BEGIN:VFREEBUSY"]


async def test_what_counts_is_what_counts_in_the_report(person: Person, other: Person) -> None:
    own = mail(other)
    invited = ("ORGANIZER:mailto:boss@example.org", "ATTENDEE:mailto:boss@example.org")
    await other.has(
        f"{other.calendar}1.ics", at("1", "20260601T090000Z", *invited, f"ATTENDEE;PARTSTAT=DECLINED:{own}")
    )
    await other.has(f"{other.calendar}2.ics", at("2", "20260601T120000Z", *invited, f"ATTENDEE:{own}"))
    await other.has(f"{other.calendar}3.ics", at("3", "20260601T140000Z", "TRANSP:TRANSPARENT"))
    await other.has(f"{other.calendar}4.ics", at("4", "20260601T160000Z", "STATUS:TENTATIVE"))
    tentative = "FBTYPE=BUSY-TENTATIVE:20260601T160000Z/20260601T170000Z"
    assert await busy(person, other) == [f"{NOON} {tentative}"]
    await other.set(other.calendar, "<C:schedule-calendar-transp><C:transparent/></C:schedule-calendar-transp>")
    assert await busy(person, other) == [""]


@pytest.mark.parametrize("kind", ["inbox", "object"])
async def test_availability_counts(person: Person, other: Person, kind: str) -> None:
    week = ("20260601T000000Z", "20260602T000000Z")
    text = calendar(
        "BEGIN:VAVAILABILITY", "UID:a", "DTSTAMP:20260101T000000Z", "SUMMARY:5 < 6 & more",
        "BEGIN:AVAILABLE", "UID:b", "DTSTAMP:20260101T000000Z", "DTSTART:20260601T080000Z", "DTEND:20260601T180000Z",
        "END:AVAILABLE", "END:VAVAILABILITY",
    )  # fmt: skip
    if kind == "inbox":
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("\r", "&#13;")
        set_ = await other.set(f"{other.home}inbox/", f"<C:calendar-availability>{escaped}</C:calendar-availability>")
        assert set(set_.props) == {200}
    else:
        components = "".join(f'<C:comp name="{name}"/>' for name in ("VEVENT", "VAVAILABILITY"))
        inner = (
            f"<D:set><D:prop><C:supported-calendar-component-set>{components}</C:supported-calendar-component-set>"
            "</D:prop></D:set>"
        )
        made = await other.http("MKCALENDAR", f"{other.home}hours/", xml("C:mkcalendar", inner))
        assert made.status == 201
        await other.has(f"{other.home}hours/a.ics", text)
    await other.has(f"{other.calendar}1.ics", at("1", "20260601T090000Z"))
    unavailable = "20260601T000000Z/20260601T080000Z,20260601T180000Z/20260602T000000Z"
    assert await busy(person, other, window=week) == [f"{NINE} FBTYPE=BUSY-UNAVAILABLE:{unavailable}"]


async def test_the_organizers_own_event_is_masked(person: Person, other: Person, new_person: NewPerson) -> None:
    third = await new_person()
    organized = (f"ORGANIZER:{mail(person)}", f"ATTENDEE:{mail(person)}", f"ATTENDEE:{mail(other)}")
    uid = f"masked-{person.name}"
    await person.has(f"{person.calendar}{uid}.ics", at(uid, "20260601T090000Z", *organized))
    (invitation,) = await other.names(other.calendar)
    accepted = (*organized[:2], f"ATTENDEE;PARTSTAT=ACCEPTED:{mail(other)}")
    await other.has(invitation, at(uid, "20260601T090000Z", *accepted))
    assert await busy(person, person, other) == [NINE, NINE]
    mask = (f"X-CALENDARSERVER-MASK-UID:{uid}",)
    assert await busy(person, person, other, more=mask) == ["", ""]
    assert await busy(third, person, other, more=mask) == [NINE, NINE]
    far = ("20560601T000000Z", "20560602T000000Z")
    await person.has(f"{person.calendar}{uid}.ics", at(uid, "20260601T090000Z", *organized, "RRULE:FREQ=DAILY"))
    assert await busy(person, person, window=far) == ["20560601T090000Z/20560601T100000Z"]
    assert await busy(person, person, window=far, more=mask) == [""]


async def test_a_group_is_busy_when_its_members_are(
    person: Person, other: Person, new_person: NewPerson, served: Served
) -> None:
    denying, group = await new_person(), await new_person(kind="group")
    members = frozenset({other.id, denying.id, person.id})
    directory = PostgresDirectory(served.storage.database)
    await directory.write_relations([RelationChange(group.id, members=members)], CAUSE)
    await person.has(f"{person.calendar}1.ics", at("1", "20260601T120000Z"))
    await other.has(f"{other.calendar}1.ics", at("1", "20260601T090000Z"))
    await denying.has(f"{denying.calendar}1.ics", at("1", "20260601T150000Z"))
    await deny(denying, person)
    assert await busy(person, group) == [f"{NINE},{NOON}"]


async def test_a_delegate_asks_as_the_owner(
    person: Person, other: Person, new_person: NewPerson, served: Served
) -> None:
    third = await new_person()
    await third.has(f"{third.calendar}1.ics", at("1", "20260601T090000Z"))
    await deny(third, other)
    refused = (await post(other, request(person, third), outbox(person))).refused(403, dav("need-privileges"))
    assert refused is not None
    assert refused.findtext(f".//{dav('href')}") == outbox(person)
    assert [str(each.tag) for each in refused.iterfind(f".//{dav('privilege')}/*")] == [
        caldav("schedule-send-freebusy")
    ]
    access = PostgresAccess(served.storage)
    await access.set_delegates(person.id, "read", frozenset({other.id}), CAUSE)
    (await post(other, request(person, third), outbox(person))).refused(403, dav("need-privileges"))
    await access.set_delegates(person.id, "read", frozenset(), CAUSE)
    await access.set_delegates(person.id, "write", frozenset({other.id}), CAUSE)
    assert answers(await post(other, request(person, third), outbox(person))) == [(mail(third), NINE)]
    (await post(other, request(other, third), outbox(person))).refused(403, caldav("valid-organizer"))
    assert await busy(other, third) == ["3.8;No authority"]


async def test_privileges_come_before_the_data_and_the_data_before_the_message(person: Person, other: Person) -> None:
    for body, media in (("x", "text/plain"), ("x", "text/calendar"), (event("1"), "text/calendar")):
        reply = await post(other, body, outbox(person), Content_Type=media)
        reply.refused(403, dav("need-privileges"))
    for media in ("", "text/plain", "application/xml", "application/calendar+json"):
        (await post(person, event("1"), Content_Type=media)).refused(403, caldav("supported-calendar-data"))
    (await post(person, event("1"), Content_Type="text/calendar; charset=utf-16")).refused(
        403, caldav("valid-calendar-data")
    )


MESSAGES = {
    "an event": lambda text: event("1"),
    "no METHOD": lambda text: text.replace("METHOD:REQUEST\r\n", ""),
    "another METHOD": lambda text: text.replace("METHOD:REQUEST", "METHOD:PUBLISH"),
    "two METHODs": lambda text: text.replace("METHOD:REQUEST", "METHOD:REQUEST\r\nMETHOD:REQUEST"),
    "no UID": lambda text: text.replace("UID:request\r\n", ""),
    "no ORGANIZER": lambda text: text.replace("ORGANIZER:", "X-ORGANIZER:"),
    "no ATTENDEE": lambda text: text.replace("ATTENDEE;", "X-ATTENDEE;"),
    "no DTEND": lambda text: text.replace(f"DTEND:{JUNE[1]}\r\n", ""),
    "an end before the start": lambda text: text.replace(JUNE[1], "20260501T000000Z"),
    "an empty window": lambda text: text.replace(JUNE[1], JUNE[0]),
    "a floating start": lambda text: text.replace(JUNE[0], JUNE[0][:-1]),
    "a date": lambda text: text.replace(f"DTSTART:{JUNE[0]}", "DTSTART;VALUE=DATE:20260601"),
    "a month 13": lambda text: text.replace(JUNE[0], "20261301T000000Z"),
    "two requests": lambda text: text.replace("END:VCALENDAR", text[text.index("BEGIN:VFREEBUSY") :]),
    "an event beside it": lambda text: text.replace("END:VCALENDAR", event("1")[event("1").index("BEGIN:VEVENT") :]),
    "an answer": lambda text: text.replace("END:VFREEBUSY", f"FREEBUSY:{NINE}\r\nEND:VFREEBUSY"),
    "two masks": lambda text: text.replace("END:VFREEBUSY", "X-CALENDARSERVER-MASK-UID:1\r\n" * 2 + "END:VFREEBUSY"),
}


@pytest.mark.parametrize("message", MESSAGES)
async def test_what_is_no_request_is_refused(person: Person, other: Person, message: str) -> None:
    body = MESSAGES[message](request(person, other))
    assert body != request(person, other)
    (await post(person, body)).refused(400, caldav("valid-scheduling-message"))


NO_CALENDARS = {
    "nothing": b"",
    "words": b"Hello",
    "bytes": bytes(range(256)),
    "no UTF-8": b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nX:\xff\r\nEND:VCALENDAR\r\n",
    "a control character": b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nX:\x00\r\nEND:VCALENDAR\r\n",
    "no end": b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VFREEBUSY\r\n",
    "many beginnings": b"BEGIN:VCALENDAR\r\n" + b"BEGIN:VFREEBUSY\r\n" * 20_000,
    "two calendars": calendar("METHOD:REQUEST").encode() * 2,
}


@pytest.mark.parametrize("body", NO_CALENDARS)
async def test_what_is_no_calendar_is_refused(person: Person, body: str) -> None:
    (await post(person, NO_CALENDARS[body])).refused(403, caldav("valid-calendar-data"))


ADDRESSES = [
    "",
    "mailto:",
    "mailto:%00@example.com",
    "mailto:\N{SNOWMAN}@example.com",
    "<script>&amp;\"'",
    "/principals/__uids__/../../",
    "/principals/__uids__/%ff/",
    "urn:x-uid:%00",
    "urn:uuid:",
    "https://" + "a" * 100_000 + "/principals/users/x/",
    "]]>",
]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_strange_addresses_are_those_of_nobody(person: Person, address: str) -> None:
    assert answers(await post(person, request(person, address))) == [(address, "3.7;Invalid calendar user")]


async def test_only_addresses_of_the_owner_are_the_organizer(person: Person, other: Person) -> None:
    for address in (mail(other), "mailto:x@example.org", "", "mailto:%00"):
        body = request(person, other).replace(f"ORGANIZER:{mail(person)}", f"ORGANIZER:{address}")
        (await post(person, body)).refused(403, caldav("valid-organizer"))
    for address in (mail(person).upper(), f"urn:x-uid:{person.uid}", person.principal, f"http://x/{person.principal}"):
        body = request(person, other).replace(f"ORGANIZER:{mail(person)}", f"ORGANIZER:{address}")
        assert answers(await post(person, body)) == [(mail(other), "")]


async def test_an_installation_where_not_everyone_may_ask(
    person: Person, other: Person, new_person: NewPerson, serve: Serve
) -> None:
    room = await new_person(kind="room")
    async with serve({"scheduling.free_busy_for_everyone": False}) as served:
        asking, asked = [served.client(Remote_User=each.name) for each in (person, other)]
        body = request(person, other, room)
        reply = await asking("POST", outbox(person), body, Content_Type="text/calendar")
        assert answers(reply) == [(mail(other), "3.8;No authority"), (mail(room), "")]
        listed = await asked(
            "PROPFIND", f"{other.home}inbox/", xml("D:propfind", "<D:prop><D:acl/></D:prop>"), Depth="0"
        )
        last = listed.text[listed.text.rindex("<D:authenticated/>") :]
        assert "schedule-deliver-invite" in last
        assert "schedule-query-freebusy" not in last
        grant = f"<D:ace><D:principal><D:href>{person.principal}</D:href></D:principal><D:grant><D:privilege>"
        grant += "<C:schedule-query-freebusy/></D:privilege></D:grant></D:ace>"
        assert (await asked("ACL", f"{other.home}inbox/", xml("D:acl", grant))).status == 200
        reply = await asking("POST", outbox(person), body, Content_Type="text/calendar")
        assert answers(reply) == [(mail(other), ""), (mail(room), "")]
        asking.close()
        asked.close()


async def test_limits(person: Person, other: Person, serve: Serve) -> None:
    async with serve({"limits.max_attendees": 10, "limits.max_resource_size": 10_000}) as served:
        client = served.client(Remote_User=person.name)
        limited = Person(client, person.id, person.uid, person.name)
        several = [f"mailto:{number}@example.org" for number in range(11)]
        assert len(answers(await post(limited, request(person, *several[:10])))) == 10
        (await post(limited, request(person, *several))).refused(400, caldav("valid-scheduling-message"))
        large = request(person, other, more=("X-LARGE:" + "x" * 10_000,))
        (await post(limited, large)).refused(403, caldav("max-resource-size"))
        client.close()
    await other.has(f"{other.calendar}1.ics", at("1", "20260601T090000Z", "RRULE:FREQ=DAILY"))
    too_long = request(person, other, window=("00010101T000000Z", "99991231T235959Z"))
    (await post(person, too_long)).refused(403, dav("number-of-matches-within-limits"))
    assert await busy(person, other, window=("00010101T000000Z", "00010102T000000Z")) == [""]


async def test_where_nothing_is_posted_to(person: Person, other: Person) -> None:
    (await post(person, request(person, other), f"{person.home}inbox/")).refused(403)
    (await post(person, request(person, other), person.home)).refused(405)
    (await post(person, request(person, other), f"{person.books}outbox/")).refused(405)
    (await post(person, request(person, other), "/calendars/__uids__/nobody/outbox/")).refused(404)
    allow = (await person.http("OPTIONS", outbox(person))).headers["Allow"].split(", ")
    assert "POST" in allow
    assert "POST" not in (await person.http("OPTIONS", f"{person.home}inbox/")).headers["Allow"].split(", ")


async def test_any_number_of_people_takes_the_same_statements(
    person: Person, new_person: NewPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [await new_person() for _ in range(5)]
    await busy(person, person)  # signs in
    statements = Statements(monkeypatch)
    replies = [await post(person, request(person, *asked)) for asked in (people[:1], people)]
    assert [len(answers(reply)) for reply in replies] == [1, 5]
    # what the outbox is and who is signed in, whom the addresses name, what their inboxes say, when they are busy
    assert [statements.of(reply) for reply in replies] == [4, 4]
