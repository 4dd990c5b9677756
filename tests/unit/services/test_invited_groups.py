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
