"""Change sets that write in several homes: which recipients are left out, and what fails the set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from server.domain.changes import Cause, ChangeSet, Delete, ObjectState, WriteLimits, Written
from server.domain.errors import (
    KoyomiError,
    NotFound,
    QuotaExceeded,
    SchedulingObjectExists,
    TooManyMembers,
    UidConflict,
    WriteConflict,
)
from server.domain.limits import Limits
from server.domain.objects import Collection
from server.services.objects import write_limits
from server.services.scheduling.shared_sets import LeftOut, SharedSet, apply_shared
from server.storage import Storage
from tests.unit.services.world import World

LIMITS: WriteLimits = write_limits(Limits())
CAUSE = Cause(None, "test")


class Refusing:
    """A storage that refuses writes by their name, each as often as it is told."""

    def __init__(self, *refusals: tuple[str, KoyomiError]) -> None:
        self.refusals = list(refusals)
        self.applied: list[list[str]] = []

    async def apply(self, changes: ChangeSet) -> Sequence[Written]:
        names = [cast("Delete", write).name for write in changes.writes]
        if self.refusals:
            name, error = self.refusals.pop(0)
            error.write = names.index(name) if name else None
            raise error
        self.applied.append(names)
        return [Written(1, 1, None)] * len(names)


async def apply(storage: Refusing, **more: Any) -> LeftOut[str]:
    """Apply a set with a write of one's own and of three recipients; gives who was left out at last."""
    world = World()
    await world.add("anna")
    collection = (await world.find("anna", "anna/calendar")).collection
    assert isinstance(collection, Collection)
    found: list[LeftOut[str]] = []

    async def make(left: LeftOut[str]) -> SharedSet[str]:
        found.append(left)
        made: SharedSet[str] = SharedSet([(None, Delete(collection, "own", ObjectState(1, 1)))])
        for name in ("a", "b", "c"):
            if name not in left.failed and name not in left.busy:
                made.write(name, [Delete(collection, name, ObjectState(1, 1))])
        return made

    await apply_shared(cast("Storage", storage), make, LIMITS, CAUSE, **more)
    return found[-1]


@pytest.mark.parametrize("error", [QuotaExceeded, TooManyMembers])
async def test_who_has_no_room_is_left_out(error: type[KoyomiError]) -> None:
    storage = Refusing(("b", error()), ("c", error()))
    left = await apply(storage)
    assert left.failed == {"b", "c"}
    assert storage.applied == [["own", "a"]]


@pytest.mark.parametrize("make", [lambda: UidConflict(None), lambda: SchedulingObjectExists(None, "x")])
async def test_who_gets_another_object_of_the_uid_is_tried_once_more(make: Any) -> None:
    storage = Refusing(("b", make()))
    assert (await apply(storage)).failed == set()
    assert storage.applied == [["own", "a", "b", "c"]]
    storage = Refusing(("b", make()), ("b", make()))
    assert (await apply(storage)).failed == {"b"}
    assert storage.applied == [["own", "a", "c"]]


@pytest.mark.parametrize("error", [QuotaExceeded, TooManyMembers, WriteConflict])
async def test_what_the_home_of_who_makes_the_change_refuses_fails_it(error: type[KoyomiError]) -> None:
    with pytest.raises(error):
        await apply(Refusing(("own", error())))


@pytest.mark.parametrize("error", [NotFound, WriteConflict])
async def test_other_changes_meanwhile_are_a_conflict(error: type[KoyomiError]) -> None:
    with pytest.raises(WriteConflict):
        await apply(Refusing(("", error())))
    with pytest.raises(WriteConflict):
        await apply(Refusing(("b", error())))


async def test_a_recipient_whose_object_changes_may_be_left_out() -> None:
    met: list[str] = []

    async def conflicted(key: str, left: LeftOut[str]) -> None:
        met.append(key)
        if len(met) == 2:
            left.busy.add(key)

    storage = Refusing(("b", WriteConflict()), ("b", WriteConflict()))
    await apply(storage, conflicted=conflicted)
    assert met == ["b", "b"]
    assert storage.applied == [["own", "a", "c"]]
