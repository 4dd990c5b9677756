"""Models of the area system."""

from __future__ import annotations

from typing import Literal

from admin_api.models import Instant, Model, PageQuery, Text

JobState = Literal["queued", "running", "failed"]


class Readiness(Model):
    """Whether requests are answered."""

    status: Literal["ready", "degraded", "not ready"]
    """`degraded`: requests are answered, but services in `unavailable` do not answer."""
    reasons: list[str]
    """Why requests cannot be answered."""
    unavailable: list[str]
    """Services that do not answer, such as kafka or smtp."""


class Setting(Model):
    """A setting in force."""

    name: str
    """As `network.port`."""
    value: str | None
    """As in the settings file; null for a secret."""
    is_default: bool
    is_secret: bool
    description: str


class Settings(Model):
    """The settings of the server that answers."""

    items: list[Setting]


class Migrations(Model):
    """The state of the database's tables."""

    usable: bool
    """Whether this version runs on them."""
    pending: list[str]
    """Steps that the database has not had yet."""
    newer: list[str]
    """Steps of a newer version that it has had."""


class Consumer(Model):
    """A consumer of the journal."""

    name: str
    lag_seconds: float
    """Age of the first entry that it has not read; 0 for none."""
    dead: int
    """Messages that it could not take in."""


class Consumers(Model):
    """How far the consumers of the journal have come."""

    items: list[Consumer]
    outbox_age_seconds: float
    """Age of the oldest change that is not in the journal yet; 0 for none."""


class JobKind(Model):
    """The numbers of jobs of a kind."""

    kind: str
    held: bool
    """Whether no job of the kind begins."""
    queued: int
    running: int
    failed: int
    failing: int
    """Of those queued, the ones that were tried several times."""
    oldest_seconds: float
    """Time for which one has been due; 0 for none."""


class JobKinds(Model):
    """All kinds of jobs that there are now."""

    items: list[JobKind]


class JobsQuery(PageQuery):
    """The parameters of a list of jobs."""

    kind: Text | None = None
    """Only jobs of this kind."""
    state: JobState | None = None
    """Only jobs in this state."""


class JobId(Model):
    """A thing that a job is about."""

    name: str
    id: int


class Job(Model):
    """A job in the background."""

    id: int
    kind: str
    state: JobState
    held: bool
    """Whether its kind is held."""
    attempts: int
    not_before: Instant
    every_seconds: float | None
    """The time between two runs of a periodic job; null for others."""
    error: str | None
    """The name of the last error."""
    about: list[JobId]
    """The ids of what it is about."""
    done: int | None
    """What is done, of kinds that say it."""
    total: int | None
    """How much there was at the beginning."""


class JobPage(Model):
    """A page of jobs."""

    items: list[Job]
    next: str | None
    """The cursor of the next page; null for the last one."""
