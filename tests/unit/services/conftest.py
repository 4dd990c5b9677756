from __future__ import annotations

import pytest_asyncio

from tests.unit.services.world import World


@pytest_asyncio.fixture(loop_scope="session")
async def world() -> World:
    """An installation in memory with three people, a group and an administrator."""
    found = World()
    await found.add("anna", "ben", "cleo")
    await found.add("team", kind="group")
    await found.add("root", roles=frozenset({"admin"}))
    return found
