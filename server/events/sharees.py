"""The consumer that tells sharees' homes of changes in what was shared with them."""

from __future__ import annotations

import asyncio

import structlog

from server.access import Access
from server.errors import KoyomiError
from server.storage import Change, Storage

BATCH = 500
"""Events that one transaction deals with."""
PAUSE = 0.25
"""Seconds in which changes add up before they are dealt with."""
POLL = 2.0
"""Seconds after which is looked again even if nothing was heard: an event counts when older transactions have ended."""

log = structlog.get_logger()


async def keep_informed(access: Access, storage: Storage) -> None:
    """Deal with what happens until cancelled. All workers try; one at a time does it."""
    changed = asyncio.Event()

    def hear(change: Change) -> None:
        changed.set()

    end = storage.subscribe(hear)
    try:
        while True:
            try:
                async with asyncio.timeout(POLL):
                    await changed.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(PAUSE)
            changed.clear()
            try:
                while await access.inform_sharees(BATCH) == BATCH:
                    pass
            except KoyomiError as error:
                log.warning("sharees_not_informed", reason=type(error).__name__)
    finally:
        end()
