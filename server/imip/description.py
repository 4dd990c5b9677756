"""A meeting in words: what people read in a mail."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.calendar.component_times import ComponentTimes, component_times
from server.calendar.contentline import unescape_text
from server.calendar.rrule import RecurrenceRule, parse_rule
from server.calendar.zones import UTC_ZONE, Zone
from server.domain.errors import InvalidData
from server.domain.occurrences import Kind
from server.imip.addresses import mail_address
from server.imip.catalogue.texts import Texts
from server.itip.calendar_users import Directory
from server.itip.instances import derived
from server.itip.participants import partstat
from server.itip.scheduling_component import MASTER, SchedulingComponent
from server.itip.scheduling_object import SchedulingObject

MAX_LISTED = 50
"""Attendees and instances that a mail lists."""
MAX_VALUE = 500
"""Characters of a title or place."""
MAX_DESCRIPTION = 10_000
"""Characters of the description. The calendar part has all of them."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that are shown nowhere, or turn the direction of what follows."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Zones:
    """The time zones of a mail."""

    organizer: Zone
    """That of floating times, and the one in which times in UTC are shown."""
    recipient: Zone | None = None
    """None: not known."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A label and a value."""

    label: str
    value: str


class Describer:
    """Describes components in one language."""

    def __init__(self, texts: Texts, zones: Zones, directory: Directory) -> None:
        self._texts, self._zones, self._directory = texts, zones, directory

    # -- single values ----------------------------------------------------------------------------------------------

    def summary(self, component: SchedulingComponent) -> str:
        """The title, in one line."""
        return self._value(component, "SUMMARY") or self._texts.untitled

    def facts(self, value: SchedulingObject, component: SchedulingComponent) -> list[Fact]:
        """What a component says, apart from its title."""
        texts = self._texts
        found = [Fact(texts.when, when) for when in [self.when(value, component)] if when]
        found += [Fact(texts.your_time, when) for when in [self._recipients_time(value, component)] if when]
        for label, text in (
            (texts.repeats, self.rule(component)),
            (texts.where, self._value(component, "LOCATION")),
            (texts.link, self._link(component)),
            (texts.organizer, self._organizer(component)),
            (texts.attendees, self._attendees(component)),
            (texts.comment, self._value(component, "COMMENT")),
        ):
            if text:
                found.append(Fact(label, text))
        return found

    def description(self, component: SchedulingComponent) -> str:
        """DESCRIPTION, of several lines."""
        line = component.first("DESCRIPTION")
        text = "" if line is None else shown(unescape_text(line.value), lines=True)
        return text if len(text) <= MAX_DESCRIPTION else f"{text[:MAX_DESCRIPTION]}…"

    def when(self, value: SchedulingObject, component: SchedulingComponent) -> str:
        """Start and end by the clock of the organizer; empty without a start."""
        times = _times(value, component)
        if times is None or times.anchor is None:
            return ""
        zone = times.anchor.zone
        return self._times_in(times, self._zones.organizer if zone is None or zone is UTC_ZONE else zone)

    def _recipients_time(self, value: SchedulingObject, component: SchedulingComponent) -> str:
        """Start and end by the clock of the recipient, where it is another one."""
        zone, times = self._zones.recipient, _times(value, component)
        if zone is None or times is None or times.anchor is None or times.anchor.kind is Kind.DATE:
            return ""
        here = self._times_in(times, zone)
        return "" if here == self.when(value, component) else here

    def rule(self, component: SchedulingComponent) -> str:
        """How a series repeats; empty of what does not."""
        line = component.first("RRULE")
        if line is None or not line.value.strip():
            return ""
        try:
            return self._rule(parse_rule(line.value))
        except InvalidData:
            return ""

    def days(self, value: SchedulingObject, components: Iterable[SchedulingComponent]) -> list[str]:
        """When each of some instances is, at most `MAX_LISTED`."""
        found = [self.when(value, component) for component in components]
        found = [each for each in found if each]
        return found if len(found) <= MAX_LISTED else [*found[:MAX_LISTED], "…"]

    # -- changes ----------------------------------------------------------------------------------------------------

    def changes(self, old: SchedulingObject, new: SchedulingObject) -> list[Fact]:
        """What has changed for people who knew the old state."""
        found: list[Fact] = []
        for component in new.components[:MAX_LISTED]:
            before = old.by_instance.get(component.instance)
            if before is None and component.instance != MASTER:
                try:
                    before = derived(old, component.instance)
                except InvalidData:
                    before = None
            if before is None:
                continue
            of_day = "" if component.instance == MASTER else f"{self._day(old, before)}: "
            for label, was, now in self._compared(old, before, new, component):
                found.append(Fact(label, f"{of_day}{self._changed(was, now)}"))
        return found

    def _day(self, value: SchedulingObject, component: SchedulingComponent) -> str:
        """The day on which a component begins, by its own clock."""
        moment = value.moment(component, "DTSTART")
        return "" if moment is None else self._texts.dated(moment.local.date())

    def _compared(
        self, old: SchedulingObject, before: SchedulingComponent, new: SchedulingObject, after: SchedulingComponent
    ) -> list[tuple[str, str, str]]:
        texts = self._texts
        pairs = [
            (texts.what, self._value(before, "SUMMARY"), self._value(after, "SUMMARY")),
            (texts.when, self.when(old, before), self.when(new, after)),
            (texts.repeats, self.rule(before), self.rule(after)),
            (texts.where, self._value(before, "LOCATION"), self._value(after, "LOCATION")),
            (texts.link, self._link(before), self._link(after)),
        ]
        found = [pair for pair in pairs if pair[1] != pair[2]]
        if self.description(before) != self.description(after):
            found.append((texts.description, "", texts.description_changed))
        return found

    def _changed(self, was: str, now: str) -> str:
        texts = self._texts
        if not now:
            return texts.gone.format(old=was)
        if now == texts.description_changed:
            return now
        return texts.changed.format(old=was, new=now) if was else texts.new.format(new=now)

    # -- in words ---------------------------------------------------------------------------------------------------

    def _value(self, component: SchedulingComponent, name: str) -> str:
        line = component.first(name)
        return "" if line is None else shortened(shown(unescape_text(line.value)), MAX_VALUE)

    def _link(self, component: SchedulingComponent) -> str:
        for name in ("CONFERENCE", "X-GOOGLE-CONFERENCE", "X-MICROSOFT-SKYPETEAMSMEETINGURL", "URL"):
            line = component.first(name)
            if line is not None and is_link(line.value.strip()):
                return line.value.strip()
        return ""

    def _organizer(self, component: SchedulingComponent) -> str:
        line = component.first("ORGANIZER")
        return "" if line is None else self._person(line.value, line.parameter("CN"))

    def _attendees(self, component: SchedulingComponent) -> str:
        lines = component.all("ATTENDEE")
        found = []
        for line in lines[:MAX_LISTED]:
            person = self._person(line.value, line.parameter("CN"))
            status = self._texts.statuses.get(partstat(line), "")
            if person:
                found.append(f"{person} ({status})" if status else person)
        if len(lines) > MAX_LISTED:
            found.append("…")
        return self._texts.separator.join(found)

    def _person(self, value: str, cn: str | None) -> str:
        address = mail_address(value) or mail_address(self._directory.user(value).address) or ""
        name = shortened(shown(cn or ""), 100)
        if not name or name.lower() == address.lower():
            return address
        return f"{name} <{address}>" if address else name

    def _times_in(self, times: ComponentTimes, zone: Zone) -> str:
        texts, start = self._texts, times.anchor
        assert start is not None
        if start.kind is Kind.DATE:
            last = times.end_of(start, start.utc) - _DAY
            first, last_day = start.local.date(), last.date()
            if last_day <= first:
                return texts.dated(first)
            return texts.range.format(start=texts.dated(first), end=texts.dated(last_day))
        begin = zone.to_utc(start.local) if start.kind is Kind.FLOATING else start.utc
        end = times.end_of(start, start.utc) + (begin - start.utc)
        return period_in_words(texts, begin, end, zone)

    def _rule(self, rule: RecurrenceRule) -> str:
        texts = self._texts
        once, often = texts.every[rule.freq]
        parts = [once if rule.interval == 1 else often.format(interval=rule.interval)]
        if rule.by_day:
            days = [
                f"{number}. {texts.weekdays[day]}" if number > 0 else texts.weekdays[day] for number, day in rule.by_day
            ]
            parts.append(texts.on_days.format(days=texts.separator.join(days)))
        if rule.count is not None:
            parts.append(texts.times.format(count=rule.count))
        elif rule.until is not None:
            until = rule.until
            day = until.date() if isinstance(until, datetime) else until
            parts.append(texts.until.format(date=texts.dated(day)))
        return texts.separator.join(parts)


def period_in_words(texts: Texts, start: datetime, end: datetime, zone: Zone) -> str:
    """A period by the clock of a zone, which is named. The times are aware."""
    begins, ends = zone.to_local(start), zone.to_local(end)

    def at(local: datetime) -> str:
        return texts.day_and_time.format(day=texts.dated(local.date()), time=texts.clock(local))

    words = at(begins)
    if ends != begins:
        until = texts.clock(ends) if ends.date() == begins.date() else at(ends)
        words = texts.range.format(start=words, end=until)
    return f"{words} ({_named(zone)}{_offset(zone.offset_at(start))})"


def shown(text: str, *, lines: bool = False) -> str:
    """A text without characters that are not shown; without `lines` in one line."""
    text = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return text.strip() if lines else " ".join(text.split())


def shortened(text: str, length: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def is_link(text: str) -> bool:
    """Whether a text is a link that may be shown as one."""
    return re.fullmatch(r"https?://[!-~]{1,2000}", text, re.IGNORECASE) is not None and not set(text) & set("<>\"'`")


def _times(value: SchedulingObject, component: SchedulingComponent) -> ComponentTimes | None:
    try:
        return component_times(component.component, 0, value.zones)
    except InvalidData:
        return None


def _named(zone: Zone) -> str:
    """The name of a zone of the database, with a comma; empty of others, whose key is a hash."""
    return f"{zone.key}, " if "/" in zone.key else ""


def _offset(offset: timedelta) -> str:
    minutes = int(abs(offset).total_seconds()) // 60
    sign = "-" if offset < timedelta(0) else "+"
    return f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}"
