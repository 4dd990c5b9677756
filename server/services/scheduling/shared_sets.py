"""Change sets that write in the homes of several people: no recipient's state fails them (RFC 6638 §3.2.9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from server.domain.changes import (
    Cause,
    ChangeSet,
    Put,
    Remember,
    SetDispatch,
    Unchanged,
    UnchangedObject,
    Write,
    WriteLimits,
    Written,
)
from server.domain.contents import ObjectContent
from server.domain.errors import (
    AlreadyReserved,
    NotFound,
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from server.domain.jobs import Job
from server.domain.mails import NewMails
from server.services.scheduling.delivery import Delivered
from server.services.scheduling.dispatches import jobs_of
from server.storage import Storage

MAX_BYTES = 8 * 1024 * 1024
"""Bytes of texts for recipients in one change set, about."""
MAX_OCCURRENCES = 20_000
"""Rows of occurrences for recipients in one change set, about."""

MOST_TAKEN = 20
"""How often a set is made anew because others took the time of a room while it was made."""
_REFUSALS = (
    AlreadyReserved,
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)

Key = TypeVar("Key")
Made = TypeVar("Made", bound="SharedSet[Any]")


@dataclass(slots=True)
class SharedSet(Generic[Key]):
    """A change set that is being made. `Key` is what recipients are told apart by."""

    writes: list[tuple[Key | None, Write]] = field(default_factory=list)
    """With the key of the recipient whom each concerns; None: who makes the change."""
    remembered: list[Remember] = field(default_factory=list)
    dispatches: list[SetDispatch] = field(default_factory=list)
    mails: list[NewMails] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    """Others than those of the dispatches."""
    failing_for: timedelta = timedelta(0)
    """For how long the deliveries of the dispatches have failed."""
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    """METHOD and SCHEDULE-STATUS of each message."""
    merges: int = 0
    """Objects of organizers that answers are merged into."""
    refreshes: int = 0
    """Copies that show answers of others from now on."""
    bytes: int = 0
    """Of the texts for recipients."""
    occurrences: int = 0
    """Rows for recipients."""

    @property
    def is_full(self) -> bool:
        """Whether further recipients are left to jobs."""
        return self.occurrences >= MAX_OCCURRENCES or self.bytes >= MAX_BYTES

    def deliver(self, key: Key, delivered: Delivered) -> None:
        """Add what a delivery writes."""
        self.write(key, delivered.writes)
        self.remembered += () if delivered.remembered is None else (delivered.remembered,)
        self.jobs += delivered.jobs

    def write(self, key: Key, writes: Iterable[Write]) -> None:
        """Add writes in the home of a recipient."""
        for write in writes:
            self.writes.append((key, write))
            if isinstance(write, Put) and isinstance(write.content, ObjectContent):
                self.bytes += write.content.size
                made = write.content.materialised
                self.occurrences += 0 if made is None else len(made.occurrences)

    def change_set(
        self, limits: WriteLimits, cause: Cause, unchanged: Sequence[Unchanged | UnchangedObject]
    ) -> ChangeSet:
        """The set as it is applied. Recipients' homes may use a tenth more than their quota."""
        return ChangeSet(
            tuple(write for _, write in self.writes),
            limits,
            cause,
            tuple(unchanged),
            remembered=tuple(self.remembered),
            graced=frozenset(write.collection.home_id for key, write in self.writes if key is not None),
            dispatches=tuple(self.dispatches),
            mails=tuple(self.mails),
            jobs=(*jobs_of(self.dispatches, self.failing_for), *self.jobs),
        )


@dataclass(slots=True)
class LeftOut(Generic[Key]):
    """Recipients in whose homes a change set does not write any more, by their key."""

    failed: set[Key] = field(default_factory=set)
    """Their homes refuse it."""
    busy: set[Key] = field(default_factory=set)
    """Others change their objects all the time."""
    met: set[Key] = field(default_factory=set)
    """Not left out yet: their homes got another object of the UID while a set was made."""
    taken: dict[Key, int] = field(default_factory=dict)
    """Not left out yet: rooms, with how often others took their times while a set was made."""


async def apply_shared(
    storage: Storage,
    make: Callable[[LeftOut[Key]], Awaitable[Made]],
    limits: WriteLimits,
    cause: Cause,
    unchanged: Sequence[Unchanged | UnchangedObject] = (),
    conflicted: Callable[[Key, LeftOut[Key]], Awaitable[None]] | None = None,
    taken: Callable[[Key, LeftOut[Key]], Awaitable[None]] | None = None,
) -> tuple[Made, Sequence[Written]]:
    """Apply the set that `make` gives. It is made anew without each recipient whose home refuses it.

    An empty set is not applied.

    :param make: reads and decides, and leaves recipients out.
    :param conflicted: is called where a recipient's object has changed since `make` has read it, before the set is made
        anew; it may leave the recipient out.
    :param taken: is called where others took the time of a room since `make` has decided, before the set is made anew;
        it may leave the room out.
    :raises WriteConflict: if something else has changed; without `conflicted` also a recipient's object.

    Raises, too, what the home of the person refuses who makes the change: `QuotaExceeded`, `TooManyMembers`,
    `UidConflict`, `SchedulingObjectExists`.
    """
    left: LeftOut[Key] = LeftOut()
    while True:
        made = await make(left)
        if not (made.writes or made.remembered or made.dispatches or made.mails or made.jobs):
            return made, ()
        try:
            return made, await storage.apply(made.change_set(limits, cause, unchanged))
        except NotFound:
            raise WriteConflict from None
        except _REFUSALS as error:
            key = None if error.write is None else made.writes[error.write][0]
            if key is None:
                raise
            if isinstance(error, WriteConflict):
                if conflicted is None:
                    raise
                await conflicted(key, left)
            elif isinstance(error, (UidConflict, SchedulingObjectExists)) and key not in left.met:
                left.met.add(key)
            elif isinstance(error, AlreadyReserved) and left.taken.get(key, 0) < MOST_TAKEN:
                left.taken[key] = left.taken.get(key, 0) + 1
                if taken is not None:
                    await taken(key, left)
            else:
                left.failed.add(key)
