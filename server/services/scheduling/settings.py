"""Settings of scheduling."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

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
    split_series: bool = option(
        False,
        "Divide long series in two after they are written: what is past becomes an event of its own. Copies of "
        "attendees here are divided alike, and nobody here is asked anew; people elsewhere get a mail.",
    )
    split_past_days: int = option(
        365, "A series is long if it began so long ago. Longer than split_kept_days.", unit="days", ge=2, le=36_500
    )
    split_overrides: int = option(
        100, "A series is long, too, if so many of its past instances were changed.", ge=1, le=100_000
    )
    split_kept_days: int = option(
        14, "How long ago the instances begin that stay in the series.", unit="days", ge=1, le=36_499
    )
    split_delay: float = option(
        60.0,
        "How long after the change of a series a job divides it. It takes in further changes of this time.",
        unit="seconds",
        ge=0,
        le=30 * 86400,
    )

    @model_validator(mode="after")
    def _check_split(self) -> Self:
        if self.split_kept_days >= self.split_past_days:
            raise ValueError("scheduling.split_past_days must be greater than scheduling.split_kept_days")
        return self

    rooms_in_location: bool = option(
        False,
        "Write the names of the rooms that a meeting invites into LOCATION, with semicolons between them, where the "
        "organizer wrote nothing there. It follows the rooms; what somebody else writes there stays.",
    )
