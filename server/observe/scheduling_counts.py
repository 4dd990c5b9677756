"""Counters of scheduling, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter


class SchedulingCounts:
    """The counters of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.messages = Counter(
            "koyomi_scheduling_messages", "Scheduling messages to people here, by METHOD and SCHEDULE-STATUS.",
            ("method", "status"), registry=registry,
        )  # fmt: skip
        self.waits = Counter(
            "koyomi_scheduling_waits",
            "How often a delivery began anew, since others changed what the recipient has of the meeting.",
            registry=registry,
        )
        self.merges = Counter(
            "koyomi_scheduling_merges", "Writes of organizers' objects that merged answers.", registry=registry
        )
        self.refreshes = Counter(
            "koyomi_scheduling_refreshes", "Copies that were changed to show answers of others.", registry=registry
        )

    def delivered(self, outcomes: Iterable[tuple[str, str]], merges: int, refreshes: int) -> None:
        """Count what a change set has delivered: METHOD and SCHEDULE-STATUS of the messages, and what else it did."""
        for method, status in outcomes:
            self.messages.labels(method, status).inc()
        self.merges.inc(merges)
        self.refreshes.inc(refreshes)
