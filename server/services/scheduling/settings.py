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
    direct_recipients: int = option(
        50,
        "Recipients of a change of a meeting who get their messages with the request. Jobs deliver to the others.",
        ge=0,
        le=50,
    )
    direct_refreshes: int = option(
        10,
        "Attendees whose copies an answer changes with the request. If there are more, a job changes all of them.",
        ge=0,
        le=50,
    )
    refresh_delay: float = option(2.0, "How long such a job waits for further answers.", unit="seconds", ge=0, le=3600)
    max_refreshed: int = option(
        200, "Attendees up to which answers change the copies of others at all.", ge=0, le=100_000
    )
    removal_delay: float = option(
        600.0,
        "How long after the deletion of a calendar a job cancels and declines its meetings. A calendar that is "
        "restored before sends nothing.",
        unit="seconds",
        ge=0,
        le=30 * 86400,
    )
    erase_past: bool = option(
        False,
        "Replace the name and addresses of a person who is erased also in meetings of others that are over.",
    )
    membership_delay: float = option(
        600.0,
        "How long after a change of a group's members the meetings that invite the group follow. They follow further "
        "changes of this time at once with it.",
        unit="seconds",
        ge=0,
        le=30 * 86400,
    )
