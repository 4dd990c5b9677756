"""Which bookings that nobody checked in are released. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.booking.policy import Policy


def is_released(
    policy: Policy, start: datetime, end: datetime, reserved_at: datetime, grace: timedelta, now: datetime
) -> bool:
    """Whether a booking that nobody checked in is released now, as far as its times say.

    What ends before anybody would miss it is spared, and so are long meetings and what was booked at short notice.

    :param grace: how long it waits for its check-in.
    """
    if not policy.release_no_shows or not start + grace <= now < end:
        return False
    longest, notice = policy.no_show_spares_from_minutes, policy.no_show_notice_minutes
    if longest is not None and end - start >= timedelta(minutes=longest):
        return False
    return notice is None or start - reserved_at >= timedelta(minutes=notice)


def leaves_series(policy: Policy, misses: int) -> bool:
    """Whether a room leaves a series of which nobody checked in so many instances in a row."""
    most = policy.no_shows_in_series
    return most is not None and misses >= most
