"""What a language has texts for. Texts with names in braces are filled by `str.format`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from server.calendar.rrule import Frequency


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a language."""

    subjects: Mapping[str, str]
    """The beginning of a subject, by occasion (`server.imip.occasion.Occasion`), with `{summary}`."""
    intros: Mapping[str, str]
    """The first sentence, by occasion, with `{name}`: who does it."""
    notice_subject: str
    """The subject of a notice to a delegate, with `{owner}` and `{subject}`."""
    notice: str
    """The first sentence of such a notice, with `{owner}`."""
    untitled: str
    """In place of an empty SUMMARY."""
    when: str
    where: str
    what: str
    repeats: str
    description: str
    organizer: str
    attendees: str
    link: str
    comment: str
    changes: str
    """The heading of what has changed."""
    new: str
    """A new value, with `{new}`."""
    gone: str
    """A value that is gone, with `{old}`."""
    changed: str
    """A value that replaces another, with `{old}` and `{new}`."""
    description_changed: str
    your_time: str
    """The label of the times of the recipient's zone."""
    instances: str
    """The label of instances of a series."""
    answer: str
    """How to answer, in a mail that asks."""
    statuses: Mapping[str, str]
    """PARTSTAT in words."""
    every: Mapping[Frequency, tuple[str, str]]
    """A rule of interval 1, and of greater ones with `{interval}`."""
    on_days: str
    """With `{days}`."""
    until: str
    """With `{date}`."""
    times: str
    """With `{count}`."""
    weekdays: tuple[str, ...]
    """From Monday on."""
    separator: str
    """Between the items of a list."""
    dated: Callable[[date], str]
    """A date with its weekday."""
    clock: Callable[[datetime], str]
    """A time of day."""
    range: str
    """From one time to another, with `{start}` and `{end}`."""
    day_and_time: str
    """With `{day}` and `{time}`."""
    colon: str = ": "
    """Between a label and its value."""
