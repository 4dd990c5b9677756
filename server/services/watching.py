"""Acts of people that change nothing and are in the journal all the same: administrators who read what is others', and
refusals to people who are signed in. What happens again and again is recorded once an hour by each worker."""

from __future__ import annotations

from server.domain.actors import Actor
from server.domain.changes import Cause
from server.domain.objects import HomeKind
from server.domain.principals import Principal
from server.domain.privileges import READING, Privilege
from server.domain.recent import Recent
from server.observe.background import failed
from server.storage.acts import Act, Acts

AGAIN = 3600.0
"""Seconds in which the same is recorded once."""
MOST = 10_000
"""What is remembered as recorded, of each kind."""
REFUSALS = 20
"""Different refusals to one person that are recorded in this time."""
SEEING = READING - {Privilege.READ_FREE_BUSY}
"""Privileges with which somebody sees what lies in a home."""


class Watching:
    """Records such acts. One for each worker."""

    def __init__(self, acts: Acts) -> None:
        self._acts = acts
        self._read = Recent[tuple[int, int, HomeKind]](AGAIN, MOST)
        self._refused = Recent[tuple[int, int | None, Privilege]](AGAIN, MOST)
        self._counted = Recent[tuple[int, int]](AGAIN, MOST * REFUSALS)
        """The refusals of each person, numbered."""

    async def reads(self, actor: Actor, viewer: Principal, owner: Principal, kind: HomeKind) -> None:
        """An administrator is about to read in the home of somebody else. Raises `Unavailable`, `DatabaseError` if that
        cannot be recorded."""
        key = viewer.id, owner.id, kind
        if not self._read.is_new(key):
            return
        try:
            await self._acts.record(Act("administrator-read", actor.cause, owner.id, {"home": kind}))
        except BaseException:
            self._read.forget(key)
            raise

    async def refused(self, cause: Cause, concerned: int | None, need: Privilege, method: str) -> None:
        """Somebody lacks a privilege. `concerned` is the id of the principal whose resource it is. Never fails: the
        refusal is what the client has to learn."""
        person = cause.principal_id
        if person is None or not self._refused.is_new((person, concerned, need)):
            return
        if not any(self._counted.is_new((person, number)) for number in range(REFUSALS)):
            return
        details = {"need": need.value.rpartition("}")[2], "method": method}
        try:
            await self._acts.record(Act("access-refused", cause, concerned, details))
        except Exception as error:
            failed("refusal_record", error)
