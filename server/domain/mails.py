"""Scheduling messages to people elsewhere, as a change set stores them."""

from __future__ import annotations

from datetime import timedelta

from server.domain.values import value


@value
class NewMail:
    """A message to one recipient.

    It takes the place of those that wait with the same UID, recipient and METHOD, if it is about all of their
    instances.
    """

    method: str
    recipient: str
    """The calendar user address as addresses are compared (`server.calendar.attendance.address_key`)."""
    address: str
    """The mail address."""
    instances: tuple[str, ...]
    """The identifiers of the instances that it is about; the master is the empty one."""
    message: int
    """The index of its text in `NewMails.texts`."""
    before: int | None = None
    """The index of the meeting as the recipient knows it; None: they do not."""
    delay: timedelta = timedelta(0)
    """How long it waits. Meanwhile `NewMails.withdraws` drops it."""


@value
class NewMails:
    """What one change sends about one meeting to people elsewhere, each by a job."""

    home_id: int
    """The sender's home."""
    uid: str
    meeting: int
    """The number of the meeting, as `server.domain.changes.SetDispatch` has it."""
    texts: tuple[str, ...] = ()
    """iCalendar texts, which mails share."""
    mails: tuple[NewMail, ...] = ()
    """In the order in which they take effect."""
    withdraws: bool = False
    """Whether messages about the UID that wait for `NewMail.delay` are dropped before."""
