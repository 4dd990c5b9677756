"""Short ways to write calendar objects in tests."""

from __future__ import annotations

from datetime import UTC, datetime

from server.calendar.component import Component, parse_calendar

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def calendar_text(*lines: str) -> str:
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example//EN", *lines, "END:VCALENDAR", ""))


def component(name: str, *lines: str) -> tuple[str, ...]:
    return (f"BEGIN:{name}", "UID:one", "DTSTAMP:20200101T000000Z", *lines, f"END:{name}")


def event(*lines: str) -> tuple[str, ...]:
    return component("VEVENT", *lines)


def calendar(*parts: tuple[str, ...]) -> Component:
    return parse_calendar(calendar_text(*(line for part in parts for line in part)))


def utc(text: str) -> datetime:
    """`20260131` or `20260131T0900`."""
    return datetime.strptime(text, "%Y%m%dT%H%M" if "T" in text else "%Y%m%d").replace(tzinfo=UTC)
