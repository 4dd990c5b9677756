"""Random meetings whose messages jobs deliver, at any time: when all have been delivered, all copies agree."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.services.scheduling.settings import SchedulingSettings
from tests.unit.services.test_implicit_scheduling import answer, copies, items, meeting, unfolded
from tests.unit.services.world import NOW, World

PEOPLE = ("ben", "cleo", "dora", "emil")
PATH = "anna/calendar/m.ics"
CHANGES = st.tuples(
    st.just("change"),
    st.frozensets(st.sampled_from(PEOPLE), min_size=1),
    st.sampled_from(("One", "Two", "Three")),
    st.sampled_from(("20260301T090000Z", "20260302T090000Z")),
)
ACTS = st.one_of(
    CHANGES,
    st.tuples(st.just("answer"), st.sampled_from(PEOPLE), st.sampled_from(("ACCEPTED", "DECLINED", "TENTATIVE"))),
    st.tuples(st.just("delete"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("deliver")),
)


@dataclass
class Meeting:
    """A meeting of a world whose clock each act moves on."""

    world: World
    seconds: int = 0

    async def act(self, act: tuple[Any, ...]) -> None:
        """Do one thing, if it can be done now."""
        self.seconds += 1
        match act:
            case ("change", people, summary, start):
                addresses = [f"urn:x-uid:id-{name}" for name in sorted(people)]
                await self.world.invite("anna", PATH, meeting(*addresses, summary=summary, start=start))
            case ("answer", who, partstat):
                if any("STATUS:CANCELLED" not in copy for copy in await copies(self.world, who)):
                    await answer(self.world, who, f"urn:x-uid:id-{who}", partstat)
            case ("delete", who):
                for name in await self.world.names(f"{who}/calendar"):
                    await self.world.cancel(who, f"{who}/calendar/{name}")
            case ("cancel",):
                if await self.world.names("anna/calendar"):
                    await self.world.cancel("anna", PATH)
            case _:
                await self.world.run_jobs()

    async def check(self) -> None:
        """All copies of those who are invited say what the organizer's object says."""
        own = unfolded(await self.world.text("anna", PATH))
        invited = dict(_participation(own))
        for who in PEOPLE:
            found = [unfolded(copy) for copy in await copies(self.world, who)]
            if who not in invited:
                assert all("STATUS:CANCELLED" in copy for copy in found)
                continue
            if not found:
                assert invited[who] == "DECLINED", "who deletes a copy declines"
                continue
            (copy,) = found
            assert "STATUS:CANCELLED" not in copy
            assert dict(_participation(copy)) == invited
            for name in ("SUMMARY", "DTSTART", "SEQUENCE"):
                assert re.findall(f"^{name}.*", copy, re.MULTILINE) == re.findall(f"^{name}.*", own, re.MULTILINE)
            assert "SCHEDULE-STATUS=1.0" not in copy
        assert "SCHEDULE-STATUS=1.0" not in own
        found = [each for who in PEOPLE for each in await items(self.world, who)]
        assert set(found) <= {"REQUEST", "CANCEL"}


def _participation(text: str) -> list[tuple[str, str]]:
    found = []
    for each in re.findall("^ATTENDEE.*", text, re.MULTILINE):
        name = each.rpartition("id-")[2].strip()
        partstat = re.search("PARTSTAT=([A-Z-]+)", each)
        found.append((name, "NEEDS-ACTION" if partstat is None else partstat[1]))
    return found


async def play(direct: int, first: tuple[Any, ...], acts: list[tuple[Any, ...]]) -> None:
    scheduling = SchedulingSettings(direct_recipients=direct, direct_refreshes=direct)
    played = Meeting(World(scheduling=scheduling))
    world = played.world
    world.by_jobs = False

    for service in (world.scheduling, world.queued, world.refreshing):
        service._now = lambda: NOW + timedelta(seconds=played.seconds)  # type: ignore[attr-defined]
    await world.add("anna", *PEOPLE)
    for act in (first, *acts):
        await played.act(act)
    await world.run_jobs()
    await played.check()


@given(st.integers(0, 2), CHANGES, st.lists(ACTS, max_size=12))
@settings(max_examples=150, deadline=None)
def test_all_copies_agree_when_all_is_delivered(
    direct: int, first: tuple[Any, ...], acts: list[tuple[Any, ...]]
) -> None:
    asyncio.run(play(direct, first, acts))
