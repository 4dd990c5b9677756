"""Meetings that a home has several times: all except one are plain objects. For `koyomi db check`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from storage_plugins.postgres.database import Database
from storage_plugins.postgres.upkeep.check import homes_of

_DOUBLES = """
    select p.name, bo.name, o.name, bs.name, s.name
    from object o
    join object s on s.home_id = o.home_id and s.uid = o.uid and s.scheduling in (1, 2) and s.deleted_revision is null
    join binding bo on bo.home_id = o.home_id and bo.collection_home_id = o.home_id
        and bo.collection_id = o.collection_id and bo.deleted_revision is null
    join binding bs on bs.home_id = s.home_id and bs.collection_home_id = s.home_id
        and bs.collection_id = s.collection_id and bs.deleted_revision is null
    join home h on h.id = o.home_id join principal p on p.id = h.principal_id
    where s.home_id = any($1::bigint[]) and o.organizer is not null and o.deleted_revision is null
      -- The second condition is that of the index by UIDs.
      and o.scheduling = 0 and o.scheduling <> 3
    order by p.name, bo.name, o.name
"""


@dataclass(frozen=True, slots=True)
class Double:
    """A meeting that is a plain object, because another object of its home is the scheduling object of its UID."""

    owner: str
    """The name of the home's owner."""
    collection: str
    name: str
    """Of the plain object."""
    scheduling_collection: str
    scheduling_name: str
    """Of the scheduling object."""


async def doubles(database: Database, *, sample: int | None = None, batch: int = 200) -> AsyncIterator[Double]:
    """The doubles in live collections of all homes, or of `sample` random homes."""
    async for homes in homes_of(database, sample, batch):
        for row in await database.fetch(_DOUBLES, homes):
            yield Double(*row)
