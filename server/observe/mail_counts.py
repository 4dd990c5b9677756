"""Counters of mails to people elsewhere and of notices to delegates, for Prometheus."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

Outcome = Literal["sent", "delayed", "refused", "given_up", "limited", "invalid"]


class MailCounts:
    """The counters of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._mails = Counter(
            "koyomi_mails",
            "Attempts to send mails to people elsewhere, and notices to delegates: sent; delayed (to be tried again); "
            "refused by the mail server; given_up after a day; limited, since the sender has sent too many; invalid "
            "(the meeting cannot be written as a mail).",
            ("outcome",),
            registry=registry,
        )

    def count(self, outcome: Outcome) -> None:
        """Count an attempt."""
        self._mails.labels(outcome).inc()
