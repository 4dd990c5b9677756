"""Meetings that invite groups (RFC 5545 §3.2.11)."""

from __future__ import annotations

from server.storage.directory import PrincipalChange, RelationChange
from tests.unit.services.conftest import BOTH_WAYS
from tests.unit.services.test_implicit_scheduling import BEN, copies, items, line_of, meeting, unfolded
from tests.unit.services.world import INSTALLATION, World

pytestmark = BOTH_WAYS
TEAM = "urn:x-uid:id-team"
CLEO = "urn:x-uid:id-cleo"
MEETING = "anna/calendar/m.ics"


async def team(world: World, *members: str, name: str = "team") -> None:
    """Make a group, or give it these members."""
    if name not in world.ids:
        await world.add(name, kind="group")
    change = RelationChange(world.ids[name], members=frozenset(world.ids[each] for each in members))
    await world.directory.write_relations([change], INSTALLATION.cause)


async def test_the_members_of_a_group_are_invited(world: World) -> None:
    await team(world, "anna", "ben", "cleo")
    await world.invite("anna", MEETING, meeting(TEAM))
    own = await world.text("anna", MEETING)
    assert "SCHEDULE-STATUS=2.7" in line_of(own, "ATTENDEE", TEAM)
    assert "CUTYPE=GROUP" in line_of(own, "ATTENDEE", TEAM)
    for who, address in (("ben", BEN), ("cleo", CLEO)):
        line = line_of(own, "ATTENDEE", address)
        assert f'MEMBER="{TEAM}"' in line
        assert "SCHEDULE-STATUS=1.2" in line
        (copy,) = await copies(world, who)
        assert f'MEMBER="{TEAM}"' in line_of(copy, "ATTENDEE", address)
        assert await items(world, who) == ["REQUEST"]
    assert unfolded(own).count("ATTENDEE") == 4


async def test_a_member_answers_as_everybody_else(world: World) -> None:
    await team(world, "ben", "cleo")
    await world.invite("anna", MEETING, meeting(TEAM))
    (name,) = await world.names("ben/calendar")
    text = unfolded(await world.text("ben", f"ben/calendar/{name}"))
    line = line_of(text, "ATTENDEE", BEN)
    await world.invite(
        "ben",
        f"ben/calendar/{name}",
        text.replace(line, line.replace("NEEDS-ACTION", "ACCEPTED").replace("RSVP=TRUE", "X-A=B")),
    )
    own = line_of(await world.text("anna", MEETING), "ATTENDEE", BEN)
    assert "PARTSTAT=ACCEPTED" in own
    assert f'MEMBER="{TEAM}"' in own


async def test_a_removed_member_stays_removed(world: World) -> None:
    await team(world, "ben", "cleo")
    await world.invite("anna", MEETING, meeting(TEAM))
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace(line_of(text, "ATTENDEE", BEN) + "\r\n", ""))
    text = unfolded(await world.text("anna", MEETING))
    await world.invite("anna", MEETING, text.replace("SUMMARY:Plan", "SUMMARY:Other"))
    text = unfolded(await world.text("anna", MEETING))
    assert BEN not in text
    assert CLEO in text
    (copy,) = await copies(world, "ben")
    assert "STATUS:CANCELLED" in copy


async def test_a_group_that_nobody_may_expand_invites_nobody(world: World) -> None:
    await team(world, "ben")
    change = PrincipalChange(world.ids["team"], expandable_by="nobody")
    await world.directory.write_principals([change], INSTALLATION.cause)
    await world.invite("anna", MEETING, meeting(TEAM))
    own = await world.text("anna", MEETING)
    assert "SCHEDULE-STATUS=3.8" in line_of(own, "ATTENDEE", TEAM)
    assert BEN not in unfolded(own)
    assert await copies(world, "ben") == []


async def test_a_meeting_follows_the_members(world: World) -> None:
    await team(world, "ben")
    await world.invite("anna", MEETING, meeting(TEAM, start="20260401T090000Z"))
    await team(world, "cleo")
    await world.run_jobs()
    own = unfolded(await world.text("anna", MEETING))
    assert BEN not in own
    assert f'MEMBER="{TEAM}"' in line_of(own, "ATTENDEE", CLEO)
    assert "SEQUENCE:1" in own
    (copy,) = await copies(world, "ben")
    assert "STATUS:CANCELLED" in copy
    (copy,) = await copies(world, "cleo")
    assert await items(world, "cleo") == ["REQUEST"]


async def test_a_meeting_follows_a_group_within_a_group(world: World) -> None:
    await team(world, name="board")
    await team(world, "ben", "board")
    await world.invite("anna", MEETING, meeting(TEAM, start="20260401T090000Z"))
    await team(world, "cleo", name="board")
    await world.run_jobs()
    assert CLEO in unfolded(await world.text("anna", MEETING))
    await world.directory.delete_principal(world.ids["board"], INSTALLATION.cause, purge=False)
    change = RelationChange(world.ids["team"], members=frozenset([world.ids["ben"]]))
    await world.directory.write_relations([change], INSTALLATION.cause)
    await world.run_jobs()
    assert CLEO not in unfolded(await world.text("anna", MEETING))


async def test_a_meeting_that_is_over_or_has_the_members_stays(world: World) -> None:
    await team(world, "ben")
    await world.invite("anna", MEETING, meeting(TEAM, start="20260401T090000Z"))
    await world.invite("anna", "anna/calendar/past.ics", meeting(TEAM, uid="past", start="20260201T090000Z"))
    await world.run_jobs()
    before = await world.text("anna", MEETING), await world.text("anna", "anna/calendar/past.ics")
    etag = await world.member("anna", MEETING)
    await team(world, "ben")
    await world.run_jobs()
    assert await world.member("anna", MEETING) == etag
    await team(world, "cleo")
    await world.run_jobs()
    assert await world.text("anna", MEETING) != before[0]
    assert await world.text("anna", "anna/calendar/past.ics") == before[1]


async def test_a_group_that_is_no_longer_invited_changes_nothing(world: World) -> None:
    await team(world, "ben")
    await world.invite("anna", MEETING, meeting(TEAM, start="20260401T090000Z"))
    await world.invite("anna", MEETING, meeting(BEN, start="20260401T090000Z"))
    assert await world.storage.meetings_of_group(world.ids["team"], after=(0, 0), limit=9) == []
    await world.invite("anna", MEETING, meeting(TEAM, start="20260401T090000Z"))
    await world.cancel("anna", MEETING)
    assert await world.storage.meetings_of_group(world.ids["team"], after=(0, 0), limit=9) == []
    await team(world, "cleo")
    await world.run_jobs()
    assert await copies(world, "cleo") == []


async def test_a_member_who_is_deleted_leaves_by_one_update_for_each_meeting(world: World) -> None:
    await team(world, "ben", "cleo")
    await team(world, "ben", "cleo", name="crew")
    both = meeting(TEAM, "urn:x-uid:id-crew", start="20260401T090000Z")
    await world.invite("anna", MEETING, both)
    await world.invite("anna", "anna/calendar/n.ics", meeting(TEAM, uid="n", start="20260402T090000Z"))
    await world.invite("anna", "anna/calendar/b.ics", meeting(TEAM, BEN, uid="b", start="20260403T090000Z"))
    await world.directory.delete_principal(world.ids["ben"], INSTALLATION.cause, purge=False)
    await world.run_jobs()
    for name, named in (("m.ics", False), ("n.ics", False), ("b.ics", True)):
        text = await world.text("anna", f"anna/calendar/{name}") or ""
        assert (BEN in unfolded(text)) is named
        assert CLEO in unfolded(text)
    # One change of each meeting, whichever groups they were in.
    assert await items(world, "cleo") == ["REQUEST"] * 5
