"""The statement that reads when rooms are taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from server.booking.occupancy import Period, full_times, joined

TAKEN_TIMES = """
    select a.id, t.resource_id, coalesce(q.buffer_before, interval '0'), coalesce(q.buffer_after, interval '0'),
           koyomi_taken_at_once_1(t.resource_id), r.starts, r.ends
    from unnest($1::bigint[]) as a (id)
    left join room q on q.principal_id = a.id
    cross join lateral (
        select k.id as resource_id from unnest(koyomi_taken_with_1(a.id)) as k (id)
        where koyomi_taken_at_once_1(a.id) is not null
    ) as t
    cross join lateral (
        select array_agg(lower(v.during)) as starts, array_agg(upper(v.during)) as ends from reservation v
        where v.resource_id = t.resource_id
          and v.during && tstzrange(
              $2::timestamptz - coalesce(q.buffer_before, interval '0'),
              $3::timestamptz + coalesce(q.buffer_after, interval '0')
          )
          and v.object_id is distinct from $4::bigint
    ) as r
    where r.starts is not null
"""
"""Arguments: principals, a window, an object whose reservations do not count. A row for each room that is taken."""


UNPLACED = """
    select p.uid, b.name, o.name, array_agg(distinct w.recurrence_id)
    from object o
    join home h on h.id = o.home_id
    join principal p on p.id = h.principal_id
    join binding b
        on b.home_id = h.id and b.collection_home_id = h.id and b.collection_id = o.collection_id
        and b.rights = 'owner' and b.deleted_revision is null
    cross join lateral unnest(koyomi_wanted_reservations_1(o.home_id, array[o.id])) as w
    where o.home_id = $1 and o.id = $2 and o.deleted_revision is null and w.ends_at > now() and not exists (
        select from reservation r
        where r.home_id = o.home_id and r.object_id = o.id and r.resource_id = w.resource_id and r.during = w.during
    )
    group by p.uid, b.name, o.name
"""
"""Arguments: home, object."""


def taken_times(rooms: Iterable[int], rows: Iterable[Any]) -> Mapping[int, Sequence[Period]]:
    """The periods from the rows of `TAKEN_TIMES`."""
    found: dict[int, list[Period]] = defaultdict(list)
    for id_, _, before, after, at_once, starts, ends in rows:
        if at_once is not None:
            found[id_] += (
                (_moved(start, -after), _moved(end, before))
                for start, end in full_times(zip(starts, ends, strict=True), at_once)
            )
    return {id_: joined(found.get(id_, ())) for id_ in rooms}


def _moved(time: datetime, by: timedelta) -> datetime:
    try:
        return time + by
    except OverflowError:
        return time
