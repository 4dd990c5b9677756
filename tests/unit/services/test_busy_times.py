"""Requests for busy times through an outbox: who gets which status, and which events count."""

from __future__ import annotations

import pytest

from server.domain.changes import PropertyChanges
from server.domain.errors import (
    AccessDenied,
    InvalidCalendarData,
    InvalidOrganizer,
    InvalidSchedulingMessage,
    TooManyInstances,
)
from server.domain.grants import Ace
from server.domain.limits import Limits
from server.domain.objects import NewCollection
from server.domain.privileges import Privilege
from server.services.lookup import Lookup
from server.services.scheduling import busy_times
from server.services.scheduling.busy_times import Answered, BusyTimes
from server.services.time import free_busy
from server.storage.directory import RelationChange
from tests.unit.services.world import INSTALLATION, NOW, World, calendar, event

TRANSPARENCY = "{urn:ietf:params:xml:ns:caldav}schedule-calendar-transp"
OPAQUE = '<schedule-calendar-transp xmlns="urn:ietf:params:xml:ns:caldav"><opaque/></schedule-calendar-transp>'
START, END = "20260301T000000Z", "20260302T000000Z"
NINE, NOON = "20260301T090000Z/20260301T100000Z", "20260301T120000Z/20260301T130000Z"


def request(
    *attendees: str, organizer: str = "ann", start: str = START, end: str = END, more: tuple[str, ...] = ()
) -> bytes:
    lines = (
        "UID:request",
        "DTSTAMP:20260101T000000Z",
        f"DTSTART:{start}",
        f"DTEND:{end}",
        f"ORGANIZER:{address(organizer)}",
        *(f"ATTENDEE:{address(each)}" for each in attendees),
        *more,
    )
    return calendar("METHOD:REQUEST", "BEGIN:VFREEBUSY", *lines, "END:VFREEBUSY").encode()


def address(name: str) -> str:
    return name if ":" in name else f"mailto:{name}@example.com"


def mask(uid: str) -> tuple[str, ...]:
    return (f"X-CALENDARSERVER-MASK-UID:{uid}",)


class Asking:
    """An installation in which people ask each other."""

    def __init__(self, limits: Limits | None = None, *, asked_by_all: bool = True) -> None:
        self.world = World(limits)
        world = self.world
        world.lookup = Lookup(world.storage, asked_by_all=asked_by_all)
        self.busy_times = BusyTimes(world.storage, world.access, world.lookup, world.limits, lambda: NOW)

    async def add(self, *names: str, **fields: object) -> None:
        for name in names:
            await self.world.add(name, addresses=(f"{name}@example.com",), **fields)  # type: ignore[arg-type]

    async def members(self, group: str, *names: str) -> None:
        ids = frozenset(self.world.ids[name] for name in names)
        change = RelationChange(self.world.ids[group], members=ids)
        await self.world.directory.write_relations([change], INSTALLATION.cause)

    async def deny(self, owner: str, whom: str, *, grants: bool = False) -> None:
        """Let somebody not ask when the owner is busy, or let them with `grants`."""
        inbox = await self.world.find("cli", f"{owner}/inbox")
        assert inbox.home is not None
        assert inbox.collection is not None
        ace = Ace(inbox.collection.id, self.world.ids[whom], grants, (Privilege.SCHEDULE_QUERY_FREE_BUSY,))
        await self.world.access.set_acl(inbox.home, inbox.collection, [ace], INSTALLATION.cause)

    async def share(self, path: str, whom: str) -> None:
        """Share a calendar with somebody for whom it counts as busy."""
        shown = await self.world.find(whom, await self.world.share(path, whom, "read"))
        assert shown.home is not None
        assert shown.collection is not None
        changes = PropertyChanges({TRANSPARENCY: OPAQUE})
        await self.world.storage.set_collection_properties(
            shown.home, shown.collection, changes, self.world.ids[whom], self.world.limits, INSTALLATION.cause
        )

    async def ask(self, body: bytes, who: str = "ann", owner: str = "") -> list[Answered]:
        found = await self.world.find(who, f"{owner or who}/outbox", Privilege.SCHEDULE_SEND_FREE_BUSY)
        return await self.busy_times.ask(await self.world.actor(who), found, body)

    async def busy(self, body: bytes, who: str = "ann", owner: str = "") -> list[str]:
        """The periods of each attendee, or the status that is none of success."""
        return [periods(each) for each in await self.ask(body, who, owner)]


def periods(answered: Answered) -> str:
    if answered.calendar is None:
        return answered.status
    assert answered.status == "2.0;Success"
    lines = answered.calendar.replace("\r\n ", "").split("\r\n")
    return " ".join(line.removeprefix("FREEBUSY").lstrip(":;") for line in lines if line.startswith("FREEBUSY"))


@pytest.fixture
async def asking() -> Asking:
    made = Asking()
    await made.add("ann", "bob", "cid")
    return made


async def test_the_answer_for_one_attendee(asking: Asking) -> None:
    await asking.world.put("bob", "bob/calendar/1", event("1"))
    (answered,) = await asking.ask(request("MAILTO:Bob@Example.com"))
    assert answered.recipient == "MAILTO:Bob@Example.com"
    assert answered.status == "2.0;Success"
    assert answered.calendar is not None
    for line in ("METHOD:REPLY", "UID:request", "ORGANIZER:mailto:ann@example.com", f"DTSTART:{START}", f"DTEND:{END}"):
        assert f"{line}\r\n" in answered.calendar
    assert "ATTENDEE:MAILTO:Bob@Example.com\r\n" in answered.calendar
    assert f"FREEBUSY:{NINE}\r\n" in answered.calendar


async def test_each_attendee_has_an_answer_in_the_order_of_the_request(asking: Asking) -> None:
    await asking.world.put("bob", "bob/calendar/1", event("1"))
    await asking.world.put("cid", "cid/calendar/1", event("1", start="20260301T120000Z"))
    bob_again = "/principals/__uids__/id-bob/"
    found = await asking.ask(request("cid", "nobody", "mailto:x@example.org", "bob", f"https://x.example{bob_again}"))
    assert [each.recipient for each in found] == [
        *map(address, ("cid", "nobody", "mailto:x@example.org", "bob")),
        f"https://x.example{bob_again}",
    ]
    assert [*map(periods, found)] == [NOON, "3.7;Invalid calendar user", "3.7;Invalid calendar user", NINE, NINE]


async def test_the_inbox_decides_who_may_ask(asking: Asking) -> None:
    await asking.world.put("bob", "bob/calendar/1", event("1"))
    await asking.deny("bob", "ann")
    assert await asking.busy(request("bob", "cid")) == ["3.8;No authority", ""]
    assert await asking.busy(request("bob", organizer="cid"), "cid") == [NINE]
    assert await asking.busy(request("bob", organizer="bob"), "bob") == [NINE]


async def test_an_installation_may_let_only_those_ask_to_whom_it_is_granted() -> None:
    asking = Asking(asked_by_all=False)
    await asking.add("ann", "bob", "cid", "dora", "boss")
    await asking.add("oak", "beamer", kind="room")
    await asking.deny("bob", "ann", grants=True)
    await asking.deny("beamer", "ann")
    delegates = frozenset({asking.world.ids["ann"]})
    await asking.world.access.set_delegates(asking.world.ids["boss"], "read", delegates, INSTALLATION.cause)
    denied = "3.8;No authority"
    asked = request("ann", "bob", "cid", "boss", "oak", "beamer")
    assert await asking.busy(asked) == ["", "", denied, "", "", denied]
    assert await asking.busy(request("bob", "cid", "dora", organizer="cid"), "cid") == [denied, "", denied]
    # Invitations need no grant.
    inbox = await asking.world.find("dora", "cid/inbox", Privilege.SCHEDULE_DELIVER_INVITE)
    assert inbox.privileges == {Privilege.SCHEDULE_DELIVER_INVITE, Privilege.SCHEDULE_DELIVER_REPLY}
    assert (
        Privilege.SCHEDULE_DELIVER
        in (await asking.world.find("dora", "oak/inbox", Privilege.SCHEDULE_DELIVER_INVITE)).privileges
    )


async def test_only_who_may_send_asks_and_only_as_the_owner(asking: Asking) -> None:
    with pytest.raises(AccessDenied) as denied:
        await asking.ask(request("cid", organizer="bob"), "ann", "bob")
    assert denied.value.privilege is Privilege.SCHEDULE_SEND_FREE_BUSY
    for organizer in ("bob", "mailto:ann@example.org", "nobody"):
        with pytest.raises(InvalidOrganizer):
            await asking.ask(request("cid", organizer=organizer))
    assert await asking.busy(request("cid", organizer="urn:x-uid:id-ann")) == [""]


async def test_a_delegate_asks_as_the_owner(asking: Asking) -> None:
    ids = asking.world.ids
    await asking.world.access.set_delegates(ids["ann"], "write", frozenset({ids["bob"]}), INSTALLATION.cause)
    await asking.deny("cid", "bob")
    await asking.world.put("cid", "cid/calendar/1", event("1"))
    assert await asking.busy(request("cid"), "bob", "ann") == [NINE]
    assert await asking.busy(request("cid", organizer="bob"), "bob") == ["3.8;No authority"]
    with pytest.raises(InvalidOrganizer):
        await asking.ask(request("cid", organizer="bob"), "bob", "ann")
    await asking.deny("cid", "ann")
    assert await asking.busy(request("cid"), "bob", "ann") == ["3.8;No authority"]


async def test_a_group_is_busy_when_a_member_is_whom_the_asker_may_ask(asking: Asking) -> None:
    await asking.add("dan")
    await asking.add("team", "inner", "empty", kind="group")
    await asking.members("inner", "dan")
    await asking.members("team", "bob", "cid", "inner")
    for name, start in (("bob", "090000"), ("cid", "120000"), ("dan", "093000")):
        await asking.world.put(name, f"{name}/calendar/1", event("1", start=f"20260301T{start}Z"))
    whole = f"20260301T090000Z/20260301T103000Z,{NOON}"
    assert await asking.busy(request("team", "empty")) == [whole, "3.7;Invalid calendar user"]
    await asking.deny("cid", "ann")
    assert await asking.busy(request("team", "dan")) == [
        "20260301T090000Z/20260301T103000Z",
        "20260301T093000Z/20260301T103000Z",
    ]
    await asking.deny("bob", "ann")
    await asking.deny("dan", "ann")
    assert await asking.busy(request("team")) == ["3.8;No authority"]


async def test_groups_that_lead_to_too_many_people_are_not_answered() -> None:
    asking = Asking(Limits(max_attendees=3))
    await asking.add("ann", "bob", "cid", "dan")
    await asking.add("team", kind="group")
    await asking.members("team", "bob", "cid", "dan")
    assert await asking.busy(request("team")) == [""]
    assert await asking.busy(request("team", "bob", "ann")) == ["5.1;Service unavailable", "", ""]
    with pytest.raises(InvalidSchedulingMessage):
        await asking.ask(request("ann", "bob", "cid", "dan"))


async def test_an_event_that_the_asker_organizes_is_masked(asking: Asking) -> None:
    organized = ("ORGANIZER:urn:x-uid:id-ann", "ATTENDEE:mailto:ann@example.com", "ATTENDEE:mailto:bob@example.com")
    for name in ("ann", "bob"):
        await asking.world.put(name, f"{name}/calendar/1", event("m", *organized))
        await asking.world.put(name, f"{name}/calendar/2", event("other", *organized, start="20260301T120000Z"))
    assert await asking.busy(request("ann", "bob")) == [f"{NINE},{NOON}"] * 2
    assert await asking.busy(request("ann", "bob", more=mask("m"))) == [NOON] * 2
    assert await asking.busy(request("bob", more=mask("other"))) == [NINE]
    # Another person cannot find out whether it is in a calendar.
    assert await asking.busy(request("bob", organizer="cid", more=mask("m")), "cid") == [f"{NINE},{NOON}"]


async def test_an_event_without_an_organizer_is_masked_for_its_owner_only(asking: Asking) -> None:
    for name in ("ann", "bob"):
        await asking.world.put(name, f"{name}/calendar/1", event("m"))
    await asking.share("ann/calendar", "cid")
    assert await asking.busy(request("ann", "bob", "cid", more=mask("m"))) == ["", NINE, NINE]


async def test_an_organized_event_is_masked_where_the_calendar_of_the_asker_is_shown(asking: Asking) -> None:
    await asking.world.put("ann", "ann/calendar/1", event("m", "ORGANIZER:mailto:ann@example.com"))
    await asking.share("ann/calendar", "cid")
    assert await asking.busy(request("cid")) == [NINE]
    assert await asking.busy(request("cid", more=mask("m"))) == [""]


async def test_a_masked_series_does_not_count_far_away(asking: Asking) -> None:
    far = {"start": "20560301T000000Z", "end": "20560302T000000Z"}
    await asking.world.put("ann", "ann/calendar/1", event("m", "RRULE:FREQ=DAILY"))
    assert await asking.busy(request("ann", **far)) == ["20560301T090000Z/20560301T100000Z"]  # type: ignore[arg-type]
    assert await asking.busy(request("ann", **far, more=mask("m"))) == [""]  # type: ignore[arg-type]


async def test_a_window_too_long_for_a_series_is_refused(asking: Asking) -> None:
    await asking.world.put("bob", "bob/calendar/1", event("1", "RRULE:FREQ=DAILY"))
    with pytest.raises(TooManyInstances):
        await asking.ask(request("bob", start="00010101T000000Z", end="99991231T000000Z"))


async def test_what_is_too_much_work_of_one_attendee_fails_no_other(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_busy, "MAX_AVAILABILITY", 100)
    home = await asking.world.find("cli", "bob")
    assert home.home is not None
    new = NewCollection("hours", "calendar", ("VAVAILABILITY",))
    await asking.world.storage.create_collection(home.home, new, asking.world.limits, INSTALLATION.cause)
    lines = ("BEGIN:VAVAILABILITY", "UID:a", "DTSTAMP:20260101T000000Z", "END:VAVAILABILITY")
    await asking.world.put("bob", "bob/hours/a", calendar(*lines))
    await asking.world.put("cid", "cid/calendar/1", event("1"))
    assert await asking.busy(request("bob", "cid")) == ["5.1;Service unavailable", NINE]


async def test_more_people_than_one_statement_reads(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_times, "_PEOPLE_AT_ONCE", 1)
    organized = "ORGANIZER:mailto:ann@example.com"
    for name in ("ann", "bob", "cid"):
        await asking.world.put(name, f"{name}/calendar/1", event("m", organized))
        await asking.world.put(name, f"{name}/calendar/2", event("other", start="20260301T120000Z"))
    await asking.deny("cid", "ann")
    assert await asking.busy(request("bob", "ann", "cid")) == [f"{NINE},{NOON}"] * 2 + ["3.8;No authority"]
    assert await asking.busy(request("bob", "ann", "cid", more=mask("m"))) == [NOON] * 2 + ["3.8;No authority"]


async def test_what_is_no_request(asking: Asking) -> None:
    for body in (b"", b"x", b"\xff\xfe", request("bob").replace(b"END:VFREEBUSY", b"")):
        with pytest.raises(InvalidCalendarData):
            await asking.ask(body)
    for body in (
        event("1").encode(),
        request("bob").replace(b"METHOD:REQUEST\r\n", b""),
        request("bob").replace(b"REQUEST", b"REPLY"),
        request(),
    ):
        with pytest.raises(InvalidSchedulingMessage):
            await asking.ask(body)
