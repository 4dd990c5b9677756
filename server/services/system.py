"""The installation as administrators see it: what state it is in, its settings, its jobs and consumers.

Each method raises `AccessDenied` for others than administrators.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from server.auth import policy
from server.domain.actors import Actor
from server.domain.errors import AccessDenied, NotFound, Unavailable
from server.domain.privileges import Privilege
from server.services.health import Health
from server.storage.health import Backlog, Schema, StorageHealth
from server.storage.jobs import Jobs, KindCounts, State, StoredJob


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """The value of a setting."""

    name: str
    value: str
    """As in the settings file; empty for a secret."""
    is_default: bool
    is_secret: bool
    description: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests are answered."""

    status: Literal["ready", "degraded", "not ready"]
    reasons: tuple[str, ...] = ()
    """Why they cannot be answered."""
    unavailable: tuple[str, ...] = ()
    """Services that do not answer: requests are answered, and what these services are for waits for them."""


class System:
    """Reads and does what concerns the installation as a whole."""

    def __init__(
        self,
        health: Health,
        storage: StorageHealth,
        jobs: Jobs,
        *,
        settings: Sequence[SettingInForce],
        unavailable: Callable[[], Awaitable[Sequence[str]]],
        announce_jobs: Callable[[], None],
    ) -> None:
        """`unavailable` names the services that do not answer; `announce_jobs` lets runners look for jobs at once."""
        self._health = health
        self._storage = storage
        self._jobs = jobs
        self._settings = settings
        self._unavailable = unavailable
        self._announce_jobs = announce_jobs

    async def readiness(self, actor: Actor) -> Readiness:
        """Whether requests are answered, as /readyz says it."""
        _demand(actor, Privilege.READ)
        obstacle = await self._health.obstacle()
        if obstacle is not None:
            return Readiness("not ready", (obstacle,))
        unavailable = tuple(await self._unavailable())
        return Readiness("degraded" if unavailable else "ready", unavailable=unavailable)

    def settings(self, actor: Actor) -> Sequence[SettingInForce]:
        """The settings of this server, in the order of the reference."""
        _demand(actor, Privilege.READ)
        return self._settings

    async def schema(self, actor: Actor) -> Schema:
        """Which migrations the database has not had yet."""
        _demand(actor, Privilege.READ)
        return await self._storage.schema()

    async def backlog(self, actor: Actor) -> Backlog:
        """How far consumers of the journal have come. Raises `Unavailable` where the database does not answer."""
        _demand(actor, Privilege.READ)
        figures = await self._health.figures()
        if figures is None:
            raise Unavailable
        return figures.backlog

    async def job_kinds(self, actor: Actor) -> Sequence[KindCounts]:
        """The numbers of jobs of each kind."""
        _demand(actor, Privilege.READ)
        return await self._jobs.counts()

    async def jobs(
        self, actor: Actor, kind: str | None, state: State | None, *, after: int, limit: int
    ) -> Sequence[StoredJob]:
        """Jobs with greater ids than `after`, by id, at most `limit`."""
        _demand(actor, Privilege.READ)
        return await self._jobs.jobs(kind, state, limit, after=after)

    async def retry(self, actor: Actor, job_id: int) -> None:
        """Let a job run at once. Raises `NotFound` where there is none, or where it runs."""
        _demand(actor, Privilege.WRITE_CONTENT)
        if not await self._jobs.retry([job_id]):
            raise NotFound("There is no such job, or it runs.")
        self._announce_jobs()

    async def drop(self, actor: Actor, job_id: int) -> None:
        """Remove a job. Raises `NotFound` where there is none, or where it runs or is periodic."""
        _demand(actor, Privilege.WRITE_CONTENT)
        if not await self._jobs.drop([job_id]):
            raise NotFound("There is no such job, or it runs or is periodic.")

    async def hold(self, actor: Actor, kind: str) -> None:
        """Let no job of a kind begin any more."""
        _demand(actor, Privilege.WRITE_CONTENT)
        await self._jobs.hold(kind)

    async def release(self, actor: Actor, kind: str) -> None:
        """Let jobs of a kind begin again."""
        _demand(actor, Privilege.WRITE_CONTENT)
        await self._jobs.release(kind)
        self._announce_jobs()


def _demand(actor: Actor, need: Privilege) -> None:
    if need not in policy.on_installation(actor.principal):
        raise AccessDenied("", need)
