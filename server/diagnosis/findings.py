"""Findings, and how to correct them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "warning", "problem"]
    subject: str
    said: str
    mend: str = ""
    """How to correct it."""


def ok(subject: str, said: str) -> Finding:
    """All is well."""
    return Finding("ok", subject, said)


def warning(subject: str, said: str, mend: str = "") -> Finding:
    """Works, but not as well as it should."""
    return Finding("warning", subject, said, mend)


def problem(subject: str, said: str, mend: str = "") -> Finding:
    """Does not work, or is dangerous."""
    return Finding("problem", subject, said, mend)
