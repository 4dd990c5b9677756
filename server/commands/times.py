"""Times and time zones of the command line."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click


class Zone(click.ParamType[tzinfo]):
    """The name of a time zone."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:
        """See `click.ParamType`."""
        if isinstance(value, tzinfo):
            return value
        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"There is no time zone named {value}.", param, ctx)


def shown(moment: datetime | None) -> str:
    """A time in UTC, as tables and messages show it; empty for none."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def moment(text: str, zone: tzinfo) -> datetime:
    """A time as `2027-01-31T09:00` or `2027-01-31 09:00`, in a zone unless it names an offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text} is not as 2027-01-31T09:00.") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
