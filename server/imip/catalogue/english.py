"""The English texts of mails."""

from __future__ import annotations

from datetime import date, datetime

from server.calendar.rrule import Frequency
from server.imip.catalogue.texts import Texts

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def _dated(day: date) -> str:
    return f"{_DAYS[day.weekday()]}, {day.day} {_MONTHS[day.month - 1]} {day.year}"


def _clock(time: datetime) -> str:
    return f"{time:%H:%M}"


ENGLISH = Texts(
    subjects={
        "invited": "Invitation: {summary}",
        "updated": "Updated invitation: {summary}",
        "cancelled": "Cancelled: {summary}",
        "cancelled_days": "Cancelled on some days: {summary}",
        "accepted": "Accepted: {summary}",
        "tentative": "Tentative: {summary}",
        "declined": "Declined: {summary}",
        "delegated": "Delegated: {summary}",
        "answered": "Answered: {summary}",
        "proposed": "Other time proposed: {summary}",
        "proposal_declined": "Proposal declined: {summary}",
        "asked_for_update": "Please send again: {summary}",
    },
    intros={
        "invited": "{name} invites you.",
        "updated": "{name} has changed an invitation.",
        "cancelled": "{name} has cancelled this, or no longer invites you.",
        "cancelled_days": "{name} has cancelled this on the days below, or no longer invites you to them.",
        "accepted": "{name} has accepted.",
        "tentative": "{name} has accepted tentatively.",
        "declined": "{name} has declined.",
        "delegated": "{name} has delegated the invitation to somebody else.",
        "answered": "{name} has answered.",
        "proposed": "{name} proposes another time.",
        "proposal_declined": "{name} stays with the time as it was.",
        "asked_for_update": "{name} asks you to send the invitation again.",
    },
    notice_subject="For {owner}: {subject}",
    notice="This was sent to {owner}, for whom you act. Answer in the calendar of {owner}.",
    untitled="(no title)",
    when="When",
    where="Where",
    what="Title",
    repeats="Repeats",
    description="Description",
    organizer="Organizer",
    attendees="Attendees",
    link="Link",
    comment="Comment",
    changes="What has changed",
    new="{new} (new)",
    gone="{old} (removed)",
    changed="{new} (was: {old})",
    description_changed="changed",
    your_time="In your time zone",
    instances="Days",
    answer="Answer with your calendar app, which finds the invitation in the attachment.",
    statuses={
        "NEEDS-ACTION": "not answered",
        "ACCEPTED": "accepted",
        "DECLINED": "declined",
        "TENTATIVE": "tentative",
        "DELEGATED": "delegated",
        "COMPLETED": "completed",
        "IN-PROCESS": "in progress",
    },
    every={
        Frequency.YEARLY: ("every year", "every {interval} years"),
        Frequency.MONTHLY: ("every month", "every {interval} months"),
        Frequency.WEEKLY: ("every week", "every {interval} weeks"),
        Frequency.DAILY: ("every day", "every {interval} days"),
        Frequency.HOURLY: ("every hour", "every {interval} hours"),
        Frequency.MINUTELY: ("every minute", "every {interval} minutes"),
        Frequency.SECONDLY: ("every second", "every {interval} seconds"),
    },
    on_days="on {days}",
    until="until {date}",
    times="{count} times",
    weekdays=_DAYS,
    separator=", ",
    dated=_dated,
    clock=_clock,
    range="{start} – {end}",
    day_and_time="{day}, {time}",
)
