"""Counters of mail that arrives, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter


class IncomingMailCounts:
    """The counters of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "koyomi_incoming_mail_messages", "Mails, and messages in them for one recipient, by what became of them.",
            ("outcome",), registry=registry,
        )  # fmt: skip

    def received(self, outcomes: Iterable[str]) -> None:
        """Count what became of a mail."""
        for each in outcomes:
            self.messages.labels(each).inc()
