"""Many calendar objects as one iCalendar stream: GET on a calendar, subscriptions, export.

Components are put together as they are, behind the VTIMEZONEs that they refer to (`server.calendar.aggregate_zones`).
Lines get CR LF ends and keep all else.
"""

from __future__ import annotations

from server.calendar.aggregate_zones import AggregateZones
from server.calendar.component import outline
from server.calendar.contentline import escape_text, fold, with_crlf

PRODUCT_ID = "-//Koyomi//Koyomi//EN"


class Aggregate:
    """One iCalendar stream over several objects: `head`, then `add` for each object, then `tail`."""

    def __init__(self, calendar_name: str | None) -> None:
        """`calendar_name` becomes X-WR-CALNAME, without which nothing is added."""
        self._calendar_name = calendar_name
        self._zones = AggregateZones()

    def head(self) -> str:
        """BEGIN:VCALENDAR with its properties."""
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{PRODUCT_ID}"]
        if self._calendar_name is not None:
            lines.append(f"X-WR-CALNAME:{escape_text(self._calendar_name)}")
        return "".join(map(fold, lines))

    def add(self, text: str) -> str:
        """The components of a stored object, behind the definitions of zones that are new in the stream."""
        brought: list[str] = []
        parts: list[str] = []
        for component in outline(text):
            lines = text[component.start : component.end]
            if component.name == "VTIMEZONE":
                brought.append(lines)
            else:
                parts.append(with_crlf(lines))
        return self._zones.add(brought, "".join(parts))

    def tail(self) -> str:
        """END:VCALENDAR."""
        return "END:VCALENDAR\r\n"
