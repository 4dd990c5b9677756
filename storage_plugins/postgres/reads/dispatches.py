"""The statements that read scheduling messages which jobs deliver."""

from __future__ import annotations

from typing import Any

from server.domain.changes import ObjectState
from server.storage.scheduling import Dispatch, RemovedMeeting
from storage_plugins.postgres.reads.principal_rows import PRINCIPAL, principal

DISPATCHES = f"""
    select d.home_id, d.id, d.uid, d.meeting, d.version, d.state, d.created_at, {PRINCIPAL}
    from scheduling_dispatch d
    join home h on h.id = d.home_id
    join principal p on p.id = h.principal_id
"""  # noqa: S608
"""The beginning of the statements whose rows `dispatch` reads."""
WAITING = f"{DISPATCHES} where d.meeting = $1 and d.waiting order by d.id limit $2"
"""Arguments: the meeting, at most how many."""
FAILING = f"{DISPATCHES} where d.meeting = $1 and d.failing order by d.id limit $2"
"""Arguments: the meeting, at most how many."""

INBOX_GRANTS = """
    select s.id, koyomi_grants_2(s.id, h.principal_id, h.id, $2)
    from home h cross join unnest($3::bigint[]) as s (id)
    where h.id = $1 and s.id <> h.principal_id
"""
"""Arguments: the home, the inbox, the senders' ids."""

SCHEDULED_UID = """
    select h.principal_id, o.uid from object o join home h on h.id = o.home_id
    where o.home_id = $1 and o.id = $2 and o.deleted_revision is null and o.scheduling in (1, 2)
"""
"""Arguments: the home, the object."""


REMOVED_MEETINGS = f"""
    select o.name, o.id, o.revision, o.text, o.created_at, {PRINCIPAL}
    from collection c
    join home h on h.id = c.home_id
    join principal p on p.id = h.principal_id and p.deleted_at is null
    join object o
        on o.home_id = $1 and o.collection_id = $2 and o.deleted_revision is null and o.scheduling in (1, 2)
    where c.home_id = $1 and c.id = $2 and case when c.deleted_at is null then false else true end and o.name > $3
    order by o.name limit $4
"""  # noqa: S608
"""Arguments: the home, the calendar, the name after which the page starts, at most how many.

The planner would take the index of all deleted collections for a plain condition on the time of the deletion.
"""


def dispatch(row: Any) -> Dispatch:
    """A row of `WAITING` or `FAILING`."""
    home_id, id_, uid, meeting, version, state, created_at = row[:7]
    return Dispatch(home_id, id_, principal(row[7:]), uid, meeting, version, state, created_at)


def removed_meeting(home_id: int, row: Any) -> RemovedMeeting:
    """A row of `REMOVED_MEETINGS`."""
    name, id_, revision, text, created_at = row[:5]
    return RemovedMeeting(home_id, principal(row[5:]), name, ObjectState(id_, revision), text, created_at)
