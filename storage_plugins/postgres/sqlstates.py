"""The conversion of PostgreSQL's errors to domain errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import asyncpg

from server.domain.errors import (
    AlreadyExists,
    AlreadyReserved,
    BadRequest,
    DatabaseError,
    KoyomiError,
    NotFound,
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyCollections,
    TooManyMembers,
    UidConflict,
    Unavailable,
    WriteConflict,
)

_STATES: dict[str, type[KoyomiError]] = {
    # Raised by the functions of the write path (migrations/0003_member_writes.pre.sql).
    "KY001": WriteConflict,
    "KY002": NotFound,
    "KY003": QuotaExceeded,
    "KY004": TooManyMembers,
    "KY005": TooManyCollections,
    "KY006": AlreadyExists,
    "KY007": UidConflict,
    "KY008": SchedulingObjectExists,
    # Two transactions conflicted: the one that was ended is repeated.
    "40001": WriteConflict,
    "40P01": WriteConflict,
    "25006": Unavailable,  # read_only_sql_transaction: a standby
    "25P03": Unavailable,  # idle_in_transaction_session_timeout
    "55P03": Unavailable,  # lock_not_available
    "58030": Unavailable,  # io_error
}
_TAKEN = "23P01"
"""exclusion_violation, of the one constraint of this kind; `koyomi_refuse_taken_1` adds a detail."""
_NO_CLOCK = "KY010"
_CLASSES: dict[str, type[KoyomiError]] = {
    "08": Unavailable,  # connection exception
    "53": Unavailable,  # insufficient resources
    "57": Unavailable,  # operator intervention: statement timeout, shutdown, starting up
}
_CONSTRAINTS: dict[str, type[KoyomiError]] = {
    "object_uid": UidConflict,
    "object_uid_2": UidConflict,
    "object_uid_scheduling": SchedulingObjectExists,
    "object_name": WriteConflict,
    "object_tombstone": WriteConflict,
    "binding_pkey": WriteConflict,
}
# 22000 is what asyncpg raises itself for an argument that it cannot encode, such as a lone surrogate.
_NOT_TEXT = frozenset({"22000", "22021", "22P05"})
_TOO_LONG = "54000"


class ClockMissing(Exception):
    """The clock of a room's calendar is not there, or is that of another zone
    (`storage_plugins.postgres.changes.clocks`)."""

    def __init__(self, home_id: int, collection_id: int, zone: str) -> None:
        super().__init__()
        self.home_id, self.collection_id, self.zone = home_id, collection_id, zone


def domain_error(error: BaseException) -> BaseException:
    """The domain error for an error of asyncpg. Errors that are defects are returned unchanged."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error)
    if isinstance(error, asyncpg.InternalClientError):
        # The server closed an idle connection (it crashed or is being stopped), and the end of the connection
        # has not been noticed yet. Nothing was sent: a connection of ours never has two statements at a time.
        return Unavailable() if "cannot switch to state" in str(error) else error
    if isinstance(error, (asyncpg.InterfaceError, OSError, TimeoutError)):
        # InterfaceError: the connection was closed under the statement.
        return Unavailable()
    return error


def _of_server(error: asyncpg.PostgresError) -> BaseException:
    state = str(error.sqlstate or "")
    if state == "23505":
        constraint = getattr(error, "constraint_name", None)
        found = _CONSTRAINTS.get(constraint or "")
        return error if found is None else found()
    if state in _NOT_TEXT:
        return BadRequest("The request holds characters or numbers that cannot be stored.")
    if state == _TOO_LONG:
        return BadRequest("A name or UID is too long.")
    if state.startswith(("3D", "28")):
        return DatabaseError(f"The database refuses the connection: {error}")
    if state == _TAKEN:
        return _taken(error.detail)
    if state == _NO_CLOCK:
        missing = json.loads(error.detail or "")
        return ClockMissing(missing["home"], missing["collection"], missing["zone"])
    known = _STATES.get(state) or _CLASSES.get(state[:2])
    if known is None:
        return error
    meant = known()
    if state.startswith("KY") and error.detail:
        # The number of the write of a change set that it concerns.
        meant.write = int(error.detail)
    return meant


def _taken(detail: str | None) -> AlreadyReserved:
    if not detail or not detail.startswith("{"):
        return AlreadyReserved()
    told = json.loads(detail)
    found = AlreadyReserved(*(datetime.fromtimestamp(told[name], UTC) for name in ("start", "end")))
    found.home_id = told["home"]
    return found
