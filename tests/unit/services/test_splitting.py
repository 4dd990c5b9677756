"""Dividing a series in two (caldav-recursplit): the organizer's object, and everybody's copies."""

from __future__ import annotations

import re

import pytest

from server.domain.changes import ChangeSet
from server.domain.errors import AccessDenied, InvalidSplitPoint, QuotaExceeded, SplitRefused, WriteConflict
from server.domain.grants import Ace
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.services.scheduling import shared_sets, splitting
from server.services.scheduling.settings import SchedulingSettings
from server.storage.directory import PrincipalChange
from tests.unit.services.world import ALARM, INSTALLATION, World, event

ANNA, BEN, CLEO = (f"urn:x-uid:id-{name}" for name in ("anna", "ben", "cleo"))
SERIES = "anna/calendar/s.ics"
DAILY = "RRULE:FREQ=DAILY;COUNT=20"
MIDDLE = "20260310T000000Z"
LATER = ("DTSTART:20260310T090000Z", "RRULE:FREQ=DAILY;COUNT=11")
EARLIER = ("DTSTART:20260301T090000Z", "RRULE:FREQ=DAILY;UNTIL=20260310T085959Z")


def series(*attendees: str, more: tuple[str, ...] = ()) -> str:
    people = [f"ORGANIZER:{ANNA}", f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", *(f"ATTENDEE:{each}" for each in attendees)]
    return event("s", "SUMMARY:Plan", DAILY, *more, *(people if attendees else []))


def instance(day: int, *attendees: str, hour: int = 9) -> tuple[str, ...]:
    """The lines of an override, after the end of the master."""
    people = [f"ORGANIZER:{ANNA}", f"ATTENDEE;PARTSTAT=ACCEPTED:{ANNA}", *(f"ATTENDEE:{each}" for each in attendees)]
    times = (f"RECURRENCE-ID:202603{day:02}T090000Z", f"DTSTART:202603{day:02}T{hour:02}0000Z", "DURATION:PT1H")
    return ("BEGIN:VEVENT", "UID:s", "DTSTAMP:20260101T000000Z", *times, *people, "END:VEVENT")


def with_instances(text: str, *overrides: tuple[str, ...]) -> str:
    lines = "".join(f"{line}\r\n" for each in overrides for line in each)
    return text.replace("END:VCALENDAR", f"{lines}END:VCALENDAR")


def unfolded(text: str | None) -> str:
    return (text or "").replace("\r\n ", "")


def has(text: str, *lines: str) -> bool:
    return set(lines) <= set(text.splitlines())


async def split(
    world: World, who: str = "anna", path: str = SERIES, rid: str = MIDDLE, uid: str | None = "past"
) -> str:
    """Divide a series; returns the path of the new member."""
    name = await world.splitting.split(await world.actor(who), await world.find(who, path), rid, uid)
    return f"{path.rpartition('/')[0]}/{name}"


async def both(world: World, who: str, uid: str = "past") -> tuple[str, str]:
    """The later and the earlier part in somebody's calendar; empty where there is none."""
    texts = [unfolded(await world.text(who, f"{who}/calendar/{each}")) for each in await world.names(f"{who}/calendar")]
    later = [text for text in texts if "UID:s" in text.splitlines()]
    earlier = [text for text in texts if f"UID:{uid}" in text.splitlines()]
    assert len(later) + len(earlier) == len(texts) <= 2
    return "".join(later), "".join(earlier)


async def edited(world: World, who: str, *changes: tuple[str, str]) -> None:
    """Put the only object of somebody's calendar again, with stretches of its text replaced."""
    (name,) = await world.names(f"{who}/calendar")
    text = unfolded(await world.text(who, f"{who}/calendar/{name}"))
    for before, after in changes:
        text, count = re.subn(before, after, text)
        assert count, before
    await world.invite(who, f"{who}/calendar/{name}", text)


def accepts(address: str) -> tuple[str, str]:
    return rf"ATTENDEE[^:]*:{address}", f"ATTENDEE;PARTSTAT=ACCEPTED:{address}"


async def items(world: World, who: str) -> int:
    return len(await world.names(f"{who}/inbox"))


async def test_a_plain_series(world: World) -> None:
    await world.put("anna", SERIES, series(more=ALARM))
    path = await split(world)
    later, earlier = unfolded(await world.text("anna", SERIES)), unfolded(await world.text("anna", path))
    assert has(later, "UID:s", *LATER)
    assert has(earlier, "UID:past", *EARLIER)
    related = [re.findall("RELATED-TO;RELTYPE=X-CALENDARSERVER-RECURRENCE-SET:(.+)", each) for each in (later, earlier)]
    assert related[0] == related[1] != []
    for text in (later, earlier):
        assert "SEQUENCE" not in text
        assert text.count("BEGIN:VALARM") == 1


async def test_the_server_chooses_a_uid(world: World) -> None:
    await world.put("anna", SERIES, series())
    paths = [await split(world, uid=None), await split(world, rid="20260315T000000Z", uid=None)]
    found = [await world.member("anna", path) for path in paths]
    assert len({each.uid for each in found if each is not None} | {"s"}) == 3


async def test_copies_of_attendees_are_divided_with_answers_and_alarms(world: World) -> None:
    text = with_instances(series(BEN, CLEO, more=ALARM), instance(5, BEN, CLEO, hour=10), instance(15, BEN, CLEO))
    await world.invite("anna", SERIES, text)
    alarm = "".join(f"{line}\r\n" for line in ALARM).replace("x", "ben")
    await edited(world, "ben", accepts(BEN), (r"END:VEVENT\r\n", f"{alarm}END:VEVENT\r\n"))
    before = [await items(world, who) for who in ("anna", "ben", "cleo")]
    await split(world)
    for who in ("anna", "ben", "cleo"):
        later, earlier = await both(world, who)
        assert has(later, *LATER, "RECURRENCE-ID:20260315T090000Z", "SEQUENCE:1"), who
        assert has(earlier, *EARLIER, "RECURRENCE-ID:20260305T090000Z", "SEQUENCE:1"), who
        for part in (later, earlier):
            assert part.count("RECURRENCE-ID") == 1
            assert len(re.findall(f"ATTENDEE.*PARTSTAT=ACCEPTED.*{BEN}", part)) == 2
            assert not re.search(f"ATTENDEE.*PARTSTAT=ACCEPTED.*{CLEO}", part)
            assert part.count("DESCRIPTION:ben") == (2 if who == "ben" else 0)
            assert part.count("DESCRIPTION:x") == (1 if who == "anna" else 0)
    assert [await items(world, who) for who in ("anna", "ben", "cleo")] == before


async def test_both_parts_go_on_as_meetings(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    path = await split(world)
    for part in (SERIES, path):
        text = unfolded(await world.text("anna", part))
        await world.invite("anna", part, text.replace("SUMMARY:Plan", "SUMMARY:Other"))
    for part in await both(world, "ben"):
        assert has(part, "SUMMARY:Other", "SEQUENCE:2")
    for name in await world.names("ben/calendar"):
        text = unfolded(await world.text("ben", f"ben/calendar/{name}"))
        await world.invite("ben", f"ben/calendar/{name}", re.sub(*accepts(BEN), text))
    for part in await both(world, "anna"):
        assert re.search(f"ATTENDEE.*PARTSTAT=ACCEPTED.*{BEN}", part)


async def test_who_is_invited_to_one_side_has_one_part(world: World) -> None:
    text = with_instances(series(BEN), instance(5, BEN, CLEO))
    await world.invite("anna", SERIES, text)
    await split(world)
    later, earlier = await both(world, "cleo")
    assert later == ""
    assert has(earlier, "UID:past", "RECURRENCE-ID:20260305T090000Z")


async def test_who_is_invited_to_later_instances_has_no_earlier_part(world: World) -> None:
    await world.invite("anna", SERIES, with_instances(series(BEN), instance(15, BEN, CLEO)))
    await split(world)
    later, earlier = await both(world, "cleo")
    assert has(later, "UID:s", "RECURRENCE-ID:20260315T090000Z")
    assert earlier == ""


async def test_who_declined_and_deleted_gets_nothing_back(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    await world.cancel("ben", f"ben/calendar/{(await world.names('ben/calendar'))[0]}")
    await split(world)
    assert await both(world, "ben") == ("", "")
    for part in await both(world, "anna"):
        assert re.search(f"ATTENDEE.*PARTSTAT=DECLINED.*{BEN}", part)


async def test_what_an_attendee_excluded_stays_away(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    await edited(world, "ben", (DAILY, f"{DAILY}\r\nEXDATE:20260303T090000Z,20260320T090000Z"))
    await split(world)
    later, earlier = await both(world, "ben")
    assert "EXDATE:20260320T090000Z" in later
    assert "EXDATE:20260303T090000Z" in earlier
    text = unfolded(await world.text("anna", SERIES))
    await world.invite("anna", SERIES, text.replace("SUMMARY:Plan", "SUMMARY:Other"))
    later, _ = await both(world, "ben")
    assert has(later, "SUMMARY:Other", "EXDATE:20260320T090000Z")


async def test_a_full_home_of_an_attendee_fails_nothing(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN, CLEO))
    await world.fill("ben")
    await split(world)
    for part in await both(world, "anna"):
        assert re.search(f"ATTENDEE.*SCHEDULE-STATUS=5.1.*{BEN}", part)
        assert not re.search(f"ATTENDEE.*SCHEDULE-STATUS=5.1.*{CLEO}", part)
    later, earlier = await both(world, "cleo")
    assert has(later, *LATER)
    assert has(earlier, *EARLIER)
    later, earlier = await both(world, "ben")
    assert DAILY in later
    assert earlier == ""


async def test_a_full_home_of_the_organizer(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    await world.fill("anna")
    with pytest.raises(QuotaExceeded):
        await split(world)
    later, earlier = await both(world, "ben")
    assert DAILY in later
    assert earlier == ""


async def test_a_uid_that_an_attendee_has_keeps_the_earlier_part_away(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    await world.put("ben", "ben/calendar/own.ics", event("past", "SUMMARY:Own"))
    await split(world)
    later, own = await both(world, "ben")
    assert has(later, *LATER)
    assert has(own, "SUMMARY:Own")
    _, earlier = await both(world, "anna")
    assert re.search(f"ATTENDEE.*SCHEDULE-STATUS=5.3.*{BEN}", earlier)


async def test_sharees_keep_their_alarms(world: World) -> None:
    await world.put("anna", SERIES, series(more=ALARM))
    shared = await world.share("anna/calendar", "ben")
    text = unfolded(await world.text("ben", f"{shared}/s.ics"))
    alarm = "".join(f"{line}\r\n" for line in ALARM).replace("x", "ben")
    await world.put("ben", f"{shared}/s.ics", text.replace("END:VEVENT", f"{alarm}END:VEVENT"))
    path = await split(world, "ben", f"{shared}/s.ics")
    for who, calendar, mark in (("anna", "anna/calendar", "x"), ("ben", shared, "ben")):
        for name, lines in (("s.ics", LATER), (path.rpartition("/")[2], EARLIER)):
            text = unfolded(await world.text(who, f"{calendar}/{name}"))
            assert has(text, *lines)
            assert re.findall("DESCRIPTION:(.*)", text.replace("\r", "")) == [mark]


async def test_sharees_divide_meetings_only_if_they_may_invite(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN, more=ALARM))
    shared = await world.share("anna/calendar", "cleo")
    with pytest.raises(AccessDenied) as denied:
        await split(world, "cleo", f"{shared}/s.ics")
    assert denied.value.privilege is Privilege.SCHEDULE_SEND_INVITE
    assert await world.names("anna/calendar") == ["s.ics"]
    await world.share("anna/calendar", "cleo", may_invite=True)
    await split(world, "cleo", f"{shared}/s.ics")
    for who in ("anna", "ben"):
        later, earlier = await both(world, who)
        assert has(later, *LATER)
        assert has(earlier, *EARLIER)
        assert later.count("VALARM") == earlier.count("VALARM") == (2 if who == "anna" else 0)


@pytest.mark.parametrize("way", ["delegate", "share"])
async def test_both_parts_say_who_has_divided_them(world: World, way: str) -> None:
    await world.add("boss", "aide", "other", addresses=())
    for who in ("boss", "aide", "other"):
        await world.directory.write_principals(
            [PrincipalChange(id=world.ids[who], addresses=(f"{who}@example.com",))], INSTALLATION.cause
        )
    path = "boss/calendar/s.ics"
    if way == "delegate":
        chosen = frozenset((world.ids["aide"], world.ids["other"]))
        await world.granting.set_delegates(
            await world.actor("boss"), await world.principal("boss", "boss"), "write", chosen
        )
    else:
        path = f"{await world.share('boss/calendar', 'aide', may_invite=True)}/s.ics"
        await world.share("boss/calendar", "other", may_invite=True)
    people = ("ORGANIZER:mailto:boss@example.com", f"ATTENDEE:{BEN}", "ATTENDEE:mailto:zoe@elsewhere.example")
    await world.invite("other", "boss/calendar/s.ics", event("s", DAILY, *people))
    seen: list[tuple[int | None, int | None]] = []
    apply = world.storage.apply

    async def noted(changes: ChangeSet) -> object:
        seen.append((changes.cause.principal_id, changes.cause.acting_for))
        return await apply(changes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.storage, "apply", noted)
        await split(world, "aide", path)
    assert seen == [(world.ids["aide"], world.ids["boss"])]
    mailed = [row.text for row in world.memory.tables.mails.values() if row.status == "waiting"]
    assert len(mailed) == 2
    for text in (*await both(world, "boss"), *await both(world, "ben"), *mailed):
        assert re.findall('SENT-BY="mailto:([a-z]+)@', unfolded(text)) == ["aide"]
    await world.splitting.split(
        await world.actor("boss"), await world.find("boss", "boss/calendar/s.ics"), "20260315T000000Z", "middle"
    )
    texts = [await world.text("boss", f"boss/calendar/{each}") or "" for each in await world.names("boss/calendar")]
    assert sorted("SENT-BY" in text for text in texts) == [False, False, True]


async def test_readers_divide_nothing(world: World) -> None:
    await world.put("anna", SERIES, series())
    shared = await world.share("anna/calendar", "ben", "read")
    with pytest.raises(AccessDenied):
        await split(world, "ben", f"{shared}/s.ics")


async def test_attendees_divide_nothing(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    (name,) = await world.names("ben/calendar")
    with pytest.raises(SplitRefused):
        await split(world, "ben", f"ben/calendar/{name}")


async def test_a_meeting_of_somebody_else_is_not_divided(world: World) -> None:
    text = series(CLEO).replace(f"ORGANIZER:{ANNA}", "ORGANIZER:mailto:x@elsewhere.example")
    await world.put("ben", "ben/calendar/s.ics", text)
    with pytest.raises(SplitRefused):
        await split(world, "ben", "ben/calendar/s.ics")


async def test_a_delegate_needs_the_right_to_send(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    found = await world.find("cli", "anna/calendar")
    assert found.collection is not None
    rights = (Privilege.READ, Privilege.WRITE_CONTENT, Privilege.BIND)
    entry = Ace(found.collection.id, world.ids["cleo"], True, rights)
    await world.granting.set_acl(await world.actor("anna"), await world.find("anna", "anna/calendar"), [entry])
    with pytest.raises(AccessDenied) as caught:
        await split(world, "cleo")
    assert caught.value.privilege is Privilege.SCHEDULE_SEND_INVITE


@pytest.mark.parametrize("rid", ["", "FOOBAR", "20260310", "20260310T000000", "20261340T000000Z", "٢٠٢٦٠٣١٠T000000Z"])
async def test_a_time_of_another_form(world: World, rid: str) -> None:
    await world.put("anna", SERIES, series())
    with pytest.raises(InvalidSplitPoint):
        await split(world, rid=rid)


@pytest.mark.parametrize("rid", ["20260301T090000Z", "20260101T000000Z", "20260401T000000Z", "99991231T235959Z"])
async def test_a_time_outside_of_the_series(world: World, rid: str) -> None:
    await world.put("anna", SERIES, series())
    with pytest.raises(SplitRefused):
        await split(world, rid=rid)


@pytest.mark.parametrize("uid", ["", " ", "s", "taken", "a\nb", "a\x00b", " past", "x" * 1001])
async def test_a_uid_that_is_not_valid(world: World, uid: str) -> None:
    await world.put("anna", SERIES, series())
    await world.put("anna", "anna/calendar/t.ics", event("taken"))
    with pytest.raises(SplitRefused):
        await split(world, uid=uid)
    assert DAILY in unfolded(await world.text("anna", SERIES))


async def test_a_uid_with_characters_that_are_escaped(world: World) -> None:
    await world.put("anna", SERIES, series())
    path = await split(world, uid="a;b,c\\d")
    found = await world.member("anna", path)
    assert found is not None
    assert found.uid == "a;b,c\\d"


async def test_a_uid_of_a_meeting_in_another_calendar_is_taken(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    new = NewCollection("other", "calendar")
    await world.collections.create(await world.actor("anna"), await world.find("anna", "anna/other"), new)
    await world.invite("anna", "anna/other/m.ics", series(BEN).replace("UID:s", "UID:past"))
    with pytest.raises(SplitRefused):
        await split(world)


async def test_what_changed_meanwhile_is_a_conflict(world: World) -> None:
    await world.put("anna", SERIES, series())
    found = await world.find("anna", SERIES)
    await world.put("anna", SERIES, series(more=("LOCATION:A",)))
    with pytest.raises(WriteConflict):
        await world.splitting.split(await world.actor("anna"), found, MIDDLE, "past")


async def test_an_answer_meanwhile_is_a_conflict(world: World) -> None:
    await world.invite("anna", SERIES, series(BEN))
    world.meanwhile(lambda: edited(world, "ben", accepts(BEN)))
    with pytest.raises(WriteConflict):
        await split(world)
    await split(world)
    for part in await both(world, "ben"):
        assert re.search(f"ATTENDEE.*PARTSTAT=ACCEPTED.*{BEN}", part)


async def test_answers_that_jobs_are_to_deliver_are_in_both_parts() -> None:
    world = World(scheduling=SchedulingSettings(direct_recipients=0))
    await world.add("anna", "ben", "cleo")
    await world.invite("anna", SERIES, series(BEN, CLEO))
    await world.run_jobs()
    await edited(world, "ben", accepts(BEN))
    await split(world)
    for who in ("anna", "ben", "cleo"):
        for part in await both(world, who):
            assert re.search(f"ATTENDEE.*PARTSTAT=ACCEPTED.*{BEN}", part), who
    await world.run_jobs()
    for who in ("anna", "ben", "cleo"):
        later, earlier = await both(world, who)
        assert has(later, *LATER), who
        assert has(earlier, *EARLIER), who


async def test_who_has_not_got_the_meeting_yet_gets_both_parts() -> None:
    world = World(scheduling=SchedulingSettings(direct_recipients=0))
    await world.add("anna", "ben", "cleo")
    await world.invite("anna", SERIES, series(BEN))
    await split(world)
    await world.run_jobs()
    later, earlier = await both(world, "ben")
    assert has(later, *LATER)
    assert has(earlier, *EARLIER)


async def test_of_a_very_large_meeting_jobs_send_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "MAX_RECIPIENTS", 1)
    world = World()
    await world.add("anna", "ben", "cleo")
    await world.invite("anna", SERIES, series(BEN, CLEO))
    alarm = "".join(f"{line}\r\n" for line in ALARM)
    await edited(world, "cleo", accepts(CLEO), (r"END:VEVENT\r\n", f"{alarm}END:VEVENT\r\n"))
    before = await items(world, "cleo")
    await split(world)
    later, earlier = await both(world, "cleo")
    assert DAILY in later
    assert earlier == ""
    assert re.search(f"ATTENDEE.*SCHEDULE-STATUS=1.0.*{CLEO}", (await both(world, "anna"))[0])
    await world.run_jobs()
    for who in ("anna", "ben", "cleo"):
        later, earlier = await both(world, who)
        assert has(later, *LATER), who
        assert has(earlier, *EARLIER), who
        for part in (later, earlier):
            assert re.search(f"ATTENDEE.*PARTSTAT=ACCEPTED.*{CLEO}", part), who
    assert (await both(world, "cleo"))[0].count("BEGIN:VALARM") == 1
    assert re.search(f"ATTENDEE.*SCHEDULE-STATUS=1.2.*{CLEO}", (await both(world, "anna"))[1])
    assert await items(world, "cleo") == before + 1  # the earlier part is new there


async def test_a_set_that_is_full_takes_no_further_attendees(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    await world.add("anna", "ben", "cleo")
    await world.invite("anna", SERIES, series(BEN, CLEO))
    monkeypatch.setattr(shared_sets, "MAX_BYTES", 100)
    await split(world)
    assert has((await both(world, "ben"))[0], *LATER)
    assert DAILY in (await both(world, "cleo"))[0]
    await world.run_jobs()
    assert has((await both(world, "cleo"))[0], *LATER)
    assert has((await both(world, "cleo"))[1], *EARLIER)
