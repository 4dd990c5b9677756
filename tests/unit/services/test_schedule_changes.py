"""CS:schedule-changes of the items in an inbox."""

from __future__ import annotations

from server.itip.schedule_changes import Recurrence, ScheduleChanges
from server.services.scheduling.schedule_changes import SCHEDULE_CHANGES, as_property
from tests.unit.services.test_implicit_scheduling import BEN, answer, meeting
from tests.unit.services.world import World

STAMP = "20260301T000000Z"
HEAD = f'<S:schedule-changes xmlns:S="http://calendarserver.org/ns/"><S:dtstamp>{STAMP}</S:dtstamp>'


async def told(world: World, who: str) -> list[str]:
    """The value of each item in somebody's inbox, without what is the same in all."""
    members = [await world.member("cli", f"{who}/inbox/{name}") for name in await world.names(f"{who}/inbox")]
    values = [each.properties[SCHEDULE_CHANGES] for each in members if each is not None]
    assert all(value.startswith(HEAD) for value in values)
    return sorted(value.removeprefix(HEAD).removesuffix("</S:schedule-changes>") for value in values)


async def test_items_say_what_their_messages_changed(world: World) -> None:
    await world.invite("anna", "anna/calendar/m.ics", meeting(BEN))
    assert await told(world, "ben") == ["<S:action><S:create/></S:action>"]
    await answer(world, "ben", BEN, "ACCEPTED")
    changed = (
        '<S:recurrence><S:master/><S:changes><S:changed-property name="ATTENDEE"><S:changed-parameter name="PARTSTAT"/>'
        "</S:changed-property></S:changes></S:recurrence>"
    )
    assert await told(world, "anna") == [
        f"<S:action><S:reply><S:attendee>{BEN}</S:attendee>{changed}</S:reply></S:action>"
    ]
    await world.cancel("anna", "anna/calendar/m.ics")
    assert await told(world, "ben") == ["<S:action><S:cancel/></S:action>", "<S:action><S:create/></S:action>"]


def test_what_people_wrote_is_escaped() -> None:
    changes = ScheduleChanges("reply", "mailto:<a&b>", (Recurrence("20260105T100000Z", {'X-"<': frozenset(("Y&",))}),))
    assert as_property(changes, STAMP).removeprefix(HEAD) == (
        "<S:action><S:reply><S:attendee>mailto:&lt;a&amp;b&gt;</S:attendee><S:recurrence>"
        "<S:recurrenceid>20260105T100000Z</S:recurrenceid><S:changes><S:changed-property name='X-\"&lt;'>"
        '<S:changed-parameter name="Y&amp;"/></S:changed-property></S:changes></S:recurrence></S:reply></S:action>'
        "</S:schedule-changes>"
    )
