"""The consumer that passes changes of shared collections on to the sharees' homes."""

from __future__ import annotations

import time

from server.storage.access import Access

BUDGET = 5.0
"""Seconds after which a call returns, although there is more to pass on."""


async def inform(access: Access) -> bool:
    """Read what has changed and pass it on; returns whether there is more, now or when open transactions end."""
    end = time.monotonic() + BUDGET
    worked = True
    # What is passed on leaves rows in the outbox, too. Batches that wait for a while are no work.
    while await access.plan_fan_out() and worked:
        worked = False
        while await access.fan_out():
            worked = True
            if time.monotonic() > end:
                return True
    return await access.unread_changes()
