"""Gauges from the database, read at each request for metrics."""

from __future__ import annotations

from collections.abc import Sequence

from server.observe.metrics import Momentary
from server.services.health import Figures
from server.storage.business import BusinessFigures
from server.storage.jobs import FAILING, KindCounts


def gauges(figures: Figures | None) -> list[Momentary]:
    """All of them; `figures` is None if the database does not answer."""
    up = _gauge("koyomi_database_up", "Whether the database answers.", float(figures is not None))
    if figures is None:
        return [up]
    backlog = figures.backlog
    return [
        up,
        *job_gauges(figures.jobs),
        *business_gauges(figures.business),
        _gauge(
            "koyomi_fan_out_waiting",
            "Shared collections with changes that not all sharees' homes show yet.",
            backlog.fan_out,
        ),
        _gauge("koyomi_outbox_age_seconds", "Age of the oldest row that waits for the sequencer.", backlog.oldest),
        Momentary(
            "koyomi_journal_lag_seconds",
            "Age of the first entry of the journal that a consumer has not read.",
            {(consumer,): lag for consumer, lag in backlog.lags.items()},
            ("consumer",),
        ),
        Momentary(
            "koyomi_dead_messages",
            "Messages that a consumer could not take in.",
            {(consumer,): float(count) for consumer, count in backlog.dead.items()},
            ("consumer",),
        ),
    ]


def job_gauges(counts: Sequence[KindCounts]) -> list[Momentary]:
    """Figures of the job queue, by kind."""
    kind = ("kind",)
    return [
        Momentary(
            "koyomi_jobs",
            "Jobs by state; periodic jobs that wait are not counted.",
            {
                (each.kind, state): float(count)
                for each in counts
                for state, count in (("queued", each.queued), ("running", each.running), ("failed", each.failed))
            },
            ("kind", "state"),
        ),
        Momentary(
            "koyomi_jobs_failing",
            f"Jobs that wait for another try after {FAILING} without success or more.",
            {(each.kind,): float(each.failing) for each in counts},
            kind,
        ),
        Momentary(
            "koyomi_jobs_held", "Whether the kind is held.", {(each.kind,): float(each.held) for each in counts}, kind
        ),
        Momentary(
            "koyomi_jobs_oldest_seconds",
            "How long the job that waits longest has been due.",
            {(each.kind,): each.oldest for each in counts},
            kind,
        ),
    ]


def business_gauges(counted: BusinessFigures) -> list[Momentary]:
    """What people do, of all servers on the database."""
    return [
        _counter(
            "koyomi_events_created_total", "Events added to calendars, without copies of attendees.", counted.events
        ),
        _counter("koyomi_meetings_created_total", "Those among them that invited somebody.", counted.meetings),
        _counter("koyomi_answers_total", "Answers to invitations that came into an inbox.", counted.answers),
        Momentary(
            "koyomi_active_people",
            "People who changed something or signed in within this time.",
            {(period,): float(number) for period, number in counted.active.items()},
            ("within",),
        ),
    ]


def _counter(name: str, described: str, value: float) -> Momentary:
    return Momentary(name, described, {(): float(value)}, rises=True)


def _gauge(name: str, described: str, value: float) -> Momentary:
    return Momentary(name, described, {(): float(value)})
