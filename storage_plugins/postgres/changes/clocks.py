"""Clocks of the calendars of rooms: the offsets by which reservations place floating times and dates.

They are computed when a write needs one that is not there: the transaction ends (`ClockMissing`), and is made again
when the clock is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from server.calendar.clock import Clock, clock, zone_named
from storage_plugins.postgres.database import Database
from storage_plugins.postgres.sqlstates import ClockMissing

_STORE = """
    insert into calendar_clock (home_id, collection_id, zone, starts, offsets) values ($1, $2, $3, $4, $5)
    on conflict (home_id, collection_id)
    do update set zone = excluded.zone, starts = excluded.starts, offsets = excluded.offsets
"""
_CLOCKS = "select home_id, collection_id, zone, starts, offsets from calendar_clock order by home_id, collection_id"
_TRIES = 5
"""Calendars of one change whose clocks are missing, at most."""

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class HasDatabase(Protocol):
    """What has a method that may need clocks."""

    database: Database


Owner = TypeVar("Owner", bound=HasDatabase)


def _clock_of(zone: str) -> Clock:
    return clock(zone_named(zone))


async def supplied(database: Database, act: Callable[[], Awaitable[Result]], *, more: int = 0) -> Result:
    """Do what may need clocks, and supply those that are missing.

    :param more: further calendars whose clocks may be missing.
    """
    for _ in range(_TRIES + more):
        try:
            return await act()
        except ClockMissing as missing:
            found = await asyncio.to_thread(_clock_of, missing.zone)
            place = missing.home_id, missing.collection_id, missing.zone
            await database.fetch(_STORE, *place, list(found.starts), list(found.offsets))
    return await act()


def supplies_clocks(
    method: Callable[Concatenate[Owner, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Owner, Parameters], Coroutine[Any, Any, Result]]:
    """A method of the storage, made again with the clocks that it needs."""

    @wraps(method)
    async def made(self: Owner, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return await supplied(self.database, lambda: method(self, *args, **kwargs))

    return made


async def follow_zone_data(database: Database) -> int:
    """Compute the clocks again after an update of the zone data, and derive the reservations anew of the rooms whose
    clock has changed, in the same transaction. Returns the number of these clocks."""
    changed = 0
    for home_id, collection_id, zone, starts, offsets in await database.fetch(_CLOCKS):
        found = await asyncio.to_thread(_clock_of, zone)
        if (list(found.starts), list(found.offsets)) == (starts, offsets):
            continue
        async with database.transaction() as connection:
            await connection.execute("select from home where id = $1 for no key update", home_id)
            await connection.execute(_STORE, home_id, collection_id, zone, list(found.starts), list(found.offsets))
            await connection.execute("select koyomi_reserve_anew_1($1)", home_id)
        changed += 1
    return changed
