from __future__ import annotations

import pytest
import pytest_asyncio

from server.services.scheduling.settings import SchedulingSettings
from tests.unit.services.world import World

BOTH_WAYS = pytest.mark.parametrize(
    "world",
    [SchedulingSettings(), SchedulingSettings(direct_recipients=0)],
    indirect=True,
    ids=["by the request", "by jobs"],
)
"""Once the requests deliver, once jobs do."""


@pytest_asyncio.fixture(loop_scope="session")
async def world(request: pytest.FixtureRequest) -> World:
    """An installation in memory with three people, a group and an administrator."""
    found = World(scheduling=getattr(request, "param", SchedulingSettings()))
    await found.add("anna", "ben", "cleo")
    await found.add("team", kind="group")
    await found.add("root", roles=frozenset({"admin"}))
    return found
