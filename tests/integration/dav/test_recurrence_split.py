"""POST that divides a series in two (caldav-recursplit)."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.integration.dav.client import Client, Reply
from tests.integration.dav.conftest import NewPerson
from tests.integration.dav.multistatus import caldav, calendarserver, dav
from tests.integration.dav.person import Person, event
from tests.integration.dav.sharing import Share, shown

DAILY = "RRULE:FREQ=DAILY;COUNT=20"
MIDDLE = "rid=20260610T000000Z"
LATER = {"DTSTART:20260610T090000Z", "RRULE:FREQ=DAILY;COUNT=11"}
EARLIER = {"DTSTART:20260601T090000Z", "RRULE:FREQ=DAILY;UNTIL=20260610T085959Z"}


def mail(person: Person) -> str:
    return f"mailto:{person.name}@example.com"


def meeting(organizer: Person, *attendees: Person) -> str:
    people = (f"ATTENDEE;RSVP=TRUE:{mail(each)}" for each in attendees)
    return event("s", "Plan", DAILY, f"ORGANIZER:{mail(organizer)}", f"ATTENDEE:{mail(organizer)}", *people)


async def split(person: Person, query: str = MIDDLE, path: str = "", **headers: str) -> Reply:
    return await person.http("POST", f"{path or series(person)}?action=split&{query}", **headers)


def series(person: Person) -> str:
    return f"{person.calendar}s.ics"


async def lines(person: Person, path: str) -> set[str]:
    return set((await person.http("GET", path)).text.replace("\r\n ", "").splitlines())


async def test_3_1_the_example_of_the_document(person: Person) -> None:
    text = event("s", "Example", "RRULE:FREQ=DAILY;COUNT=20")
    text = text.replace("20260601T090000Z", "20140101T120000Z").replace("DTEND:20260601T100000Z", "DURATION:PT1H")
    await person.has(series(person), text)
    reply = await split(person, "rid=20140110T120000Z", Prefer="return=representation")
    assert (reply.status, reply.headers["Preference-Applied"]) == (207, "return=representation")
    (path,) = set(await person.names(person.calendar)) - {series(person)}
    assert reply.multistatus.hrefs == [series(person), path]
    shown = [reply.multistatus[each].found for each in (series(person), path)]
    assert reply.headers["ETag"] == shown[0][dav("getetag")]
    later, earlier = (each[caldav("calendar-data")].splitlines() for each in shown)
    assert {"DTSTART:20140110T120000Z", "RRULE:FREQ=DAILY;COUNT=11", "UID:s"} <= set(later)
    assert {"DTSTART:20140101T120000Z", "RRULE:FREQ=DAILY;UNTIL=20140110T115959Z"} <= set(earlier)
    for href, properties in ((series(person), shown[0]), (path, shown[1])):
        got = await person.http("GET", href)
        assert got.text.splitlines() == properties[caldav("calendar-data")].splitlines()
        assert got.headers["ETag"] == properties[dav("getetag")]
        assert caldav("schedule-tag") not in properties


async def test_3_without_prefer_a_header_tells_the_new_resource(person: Person) -> None:
    await person.has(series(person), event("s", "Plan", DAILY))
    reply = await split(person)
    assert (reply.status, reply.body) == (204, b"")
    path = reply.headers["Split-Component-URL"]
    assert path.startswith(person.calendar)
    assert await lines(person, path) >= EARLIER
    assert LATER | {"UID:s"} <= await lines(person, series(person))


async def test_3_a_client_names_the_uid(person: Person) -> None:
    await person.has(series(person), event("s", "Plan", DAILY))
    reply = await split(person, f"{MIDDLE}&uid=a%3Bb%2C%C3%A9%2B+")
    assert "UID:a\\;b\\,é++" in await lines(person, reply.headers["Split-Component-URL"])


async def test_3_copies_of_attendees_are_divided_and_nobody_is_asked_anew(
    person: Person, new_person: NewPerson
) -> None:
    ben, cleo = await new_person(), await new_person()
    await person.has(series(person), meeting(person, ben, cleo))
    (copy,) = await ben.names(ben.calendar)
    text = (await ben.http("GET", copy)).text.replace("\r\n ", "")
    alarm = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Ben's\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT"
    text = re.sub(f"ATTENDEE[^:]*:{mail(ben)}", f"ATTENDEE;PARTSTAT=ACCEPTED:{mail(ben)}", text)
    await ben.has(copy, text.replace("END:VEVENT", alarm))
    inboxes = [len(await each.names(f"{each.home}inbox/")) for each in (person, ben, cleo)]
    tag = (await person.http("GET", series(person))).headers["Schedule-Tag"]
    reply = await split(person, Prefer="return=representation", If_Schedule_Tag_Match=tag)
    assert reply.status == 207
    tags = {each.found[caldav("schedule-tag")] for each in reply.multistatus.responses.values()}
    assert len(tags | {tag}) == 3
    for each in (person, ben, cleo):
        found = [await lines(each, path) for path in await each.names(each.calendar)]
        (later,) = [part for part in found if part >= LATER]
        (earlier,) = [part for part in found if part >= EARLIER]
        assert "UID:s" in later
        for part in (later, earlier):
            assert "SEQUENCE:1" in part
            answers = {line.rpartition(":")[2]: line for line in part if line.startswith("ATTENDEE")}
            assert "PARTSTAT=ACCEPTED" in answers[f"{ben.name}@example.com"]
            assert "PARTSTAT=ACCEPTED" not in answers[f"{cleo.name}@example.com"]
            assert ("DESCRIPTION:Ben's" in part) is (each is ben)
        uids = {next(line for line in part if line.startswith("UID:")) for part in (later, earlier)}
        assert len(uids) == 2
    assert [len(await each.names(f"{each.home}inbox/")) for each in (person, ben, cleo)] == inboxes
    (await split(ben, path=copy)).refused(403, calendarserver("invalid-split"))


@pytest.mark.parametrize(
    "query",
    ["", "rid", "rid=", "rid=FOOBAR", "rid=20260610", "rid=20260610T000000", f"{MIDDLE}&{MIDDLE}", "rid=%00"],
)
async def test_3_a_rid_in_another_form(person: Person, query: str) -> None:
    await person.has(series(person), event("s", "Plan", DAILY))
    (await split(person, query)).refused(403, caldav("valid-rid-parameter"))


@pytest.mark.parametrize(
    "query",
    [
        "rid=20260501T000000Z",
        "rid=20260601T090000Z",
        "rid=20260801T000000Z",
        "rid=00010101T000000Z",
        "rid=99991231T235959Z",
        f"{MIDDLE}&uid=s",
        f"{MIDDLE}&uid=",
        f"{MIDDLE}&uid=%0D%0AATTENDEE:x",
        f"{MIDDLE}&uid=%00",
        f"{MIDDLE}&uid={'x' * 1001}",
    ],
)
async def test_3_what_is_not_divided(person: Person, query: str) -> None:
    etag = await person.has(series(person), event("s", "Plan", DAILY))
    (await split(person, query)).refused(403, calendarserver("invalid-split"))
    assert (await person.http("GET", series(person))).etag == etag
    assert await person.names(person.calendar) == [series(person)]


async def test_3_what_does_not_recur(person: Person) -> None:
    await person.has(series(person), event("s"))
    (await split(person)).refused(403, calendarserver("invalid-split"))


@pytest.mark.parametrize("rule", ["FREQ=SECONDLY", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=MINUTELY;BYSECOND=61"])
async def test_a_rule_that_is_costly_or_odd_is_no_server_error(person: Person, rule: str) -> None:
    put = await person.put(series(person), event("s", "Plan", f"RRULE:{rule}"))
    for rid in ("rid=20260610T000000Z", "rid=99980610T000000Z"):
        assert (await split(person, rid)).status in (
            (403,) if put.status == 201 and "SEC" not in rule else (204, 403, 404)
        )


async def test_other_actions_and_places(person: Person, new_person: NewPerson) -> None:
    await person.has(series(person), event("s", "Plan", DAILY))
    for query in ("", "?action=", "?action=merge", "?action=split&action=split", "?rid=20260610T000000Z"):
        (await person.http("POST", f"{series(person)}{query}")).refused(403, caldav("valid-action"))
    (await person.http("POST", f"{series(person)}?action=%ff")).refused(400)
    (await split(person, path=f"{person.calendar}none.ics")).refused(404)
    (await split(person, f"{MIDDLE}&uid=a&uid=b")).refused(400)
    (await split(person, path=person.calendar)).refused(405)
    other = await new_person()
    for path in (series(person), f"{person.calendar}none.ics"):
        (await split(other, path=path)).refused(403, dav("need-privileges"))
    assert await person.names(person.calendar) == [series(person)]


async def test_conditions(person: Person) -> None:
    etag = await person.has(series(person), event("s", "Plan", DAILY))
    for headers in ({"If_Match": '"x"'}, {"If_None_Match": "*"}, {"If_Schedule_Tag_Match": '"x"'}):
        assert (await split(person, **headers)).status == 412
    assert (await split(person, If_Match=etag)).status == 204


async def test_a_page_of_another_site_divides_nothing(person: Person) -> None:
    await person.has(series(person), event("s", "Plan", DAILY))
    (await split(person, Sec_Fetch_Site="cross-site")).refused(403)
    assert (await split(person, Sec_Fetch_Site="same-origin")).status == 204


async def test_of_many_at_once_each_finds_what_the_others_left(person: Person, new_person: NewPerson) -> None:
    ben = await new_person()
    await person.has(series(person), meeting(person, ben))
    clients = [Client(person.http.port, person.http.headers) for _ in range(3)]
    targets = [f"{series(person)}?action=split&rid=202606{day:02}T000000Z" for day in (5, 10, 15)]
    replies = await asyncio.gather(*(client("POST", path) for client, path in zip(clients, targets, strict=True)))
    for client in clients:
        client.close()
    assert {reply.status for reply in replies} <= {204, 403}
    done = sum(reply.status == 204 for reply in replies)
    assert done >= 1
    for each in (person, ben):
        assert len(await each.names(each.calendar)) == done + 1


async def test_the_token(person: Person) -> None:
    for path in (person.principal, person.home, person.calendar):
        classes = (await person.http("OPTIONS", path)).headers["DAV"].split(", ")
        assert "calendarserver-recurrence-split" in classes


async def test_a_sharee_divides_a_meeting_if_they_may_invite(
    person: Person, other: Person, new_person: NewPerson, share: Share
) -> None:
    guest = await new_person()
    await person.has(series(person), meeting(person, guest))
    await share(person, other, "write")
    (calendar,) = await shown(other)
    path = f"{calendar}s.ics"
    refused = await split(other, path=path)
    assert refused.status == 403
    assert "need-privileges" in refused.text
    assert f"{person.home}outbox/" in refused.text
    assert await person.names(person.calendar) == [series(person)]
    await share(person, other, "write", may_invite=True)
    done = await split(other, path=path)
    assert done.status == 204
    assert done.headers["Split-Component-URL"].startswith(calendar)
    for owner, home in ((person, person.calendar), (guest, guest.calendar), (other, calendar)):
        texts = [await lines(owner, each) for each in await owner.names(home)]
        assert sorted(text >= LATER for text in texts) == [False, True]
        for text in texts:
            (organizer,) = {line for line in text if line.startswith("ORGANIZER")}
            assert f'SENT-BY="{mail(other)}"' in organizer
