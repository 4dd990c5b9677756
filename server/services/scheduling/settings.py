"""Settings of scheduling."""

from __future__ import annotations

from server.settings.option import Part, option


class SchedulingSettings(Part):
    """Scheduling."""

    free_busy_for_everyone: bool = option(
        True,
        "Let everyone who is signed in ask when people are busy, except whom a person denies it in the access control "
        "list of their inbox. If false, only delegates may ask, and those to whom the list grants "
        "schedule-query-freebusy. Rooms and equipment answer everyone in any case, except whom their list denies it.",
    )
