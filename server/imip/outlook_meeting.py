"""The scheduling message that a message of Outlook in TNEF is: its iCalendar text ([MS-OXCICAL] §2.1.3).

TNEF often has no recipients, and names people by addresses of Exchange's own. What is missing is taken from the header
of the mail around it. A message of a series has its rule, deleted and modified instances, but not the texts of
modified ones, which are attachments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from server.calendar.contentline import content_line, escape_text
from server.domain.errors import InvalidCalendarData
from server.imip.addresses import mail_address, mailto
from server.imip.compressed_rtf import rtf_of
from server.imip.html_text import text_of_html
from server.imip.mail import decoded
from server.imip.mapi import Key, Named, Properties, Tag
from server.imip.outlook_recurrence import ModifiedInstance, Recurrence, read_recurrence
from server.imip.outlook_zones import OutlookZone, zone_of_definition, zone_of_structure
from server.imip.rtf_text import text_of_rtf
from server.imip.tnef import TnefMessage

_METHODS = {
    "ipm.schedule.meeting.request": "REQUEST",
    "ipm.schedule.meeting.canceled": "CANCEL",
    "ipm.schedule.meeting.resp.pos": "REPLY",
    "ipm.schedule.meeting.resp.neg": "REPLY",
    "ipm.schedule.meeting.resp.tent": "REPLY",
}
"""The methods of message classes ([MS-OXCICAL] §2.1.3.1.1.1)."""
_ANSWERS = {"pos": "ACCEPTED", "neg": "DECLINED", "tent": "TENTATIVE"}
_BUSY = ("FREE", "TENTATIVE", "BUSY", "OOF", "WORKINGELSEWHERE")
_CLASSES = {1: "PRIVATE", 2: "PRIVATE", 3: "CONFIDENTIAL"}
_PRIORITIES = {0: "9", 2: "1"}
_ORGANIZER_FLAG = 0x2
_ROLES = {
    1: {},
    2: {"ROLE": ["OPT-PARTICIPANT"]},
    3: {"CUTYPE": ["RESOURCE"], "ROLE": ["NON-PARTICIPANT"]},
}
"""Parameters of ATTENDEE by PidTagRecipientType ([MS-OXCICAL] §2.1.3.1.1.20.2); another one is that of a sender."""
_SENDER = (Tag.SENT_REPRESENTING_SMTP_ADDRESS, Tag.SENT_REPRESENTING_ADDRESS_TYPE, Tag.SENT_REPRESENTING_ADDRESS)
_GLOBAL_ID = bytes.fromhex("040000008200E00074C5B7101A82E008")
"""The begin of every PidLidGlobalObjectId ([MS-OXOCAL] §2.2.1.27)."""
_UID_MARK = b"vCal-Uid\x01\x00\x00\x00"
_MAX_UID = 1_000
_MAX_WORDS, _MAX_TEXT = 2_000, 200_000
"""Characters of a summary or location, and of a description."""
_MAX_SEQUENCE = 2**31 - 1
_NOT_WRITTEN = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Addressed:
    """What the header of the mail says of people: names and addresses."""

    sender: str | None
    to: tuple[tuple[str, str], ...] = ()
    cc: tuple[tuple[str, str], ...] = ()


def is_meeting(message: TnefMessage) -> bool:
    """Whether a message is a request, a cancellation or an answer of a meeting."""
    return message.message_class.lower() in _METHODS


def calendar_of(message: TnefMessage, addressed: Addressed) -> str:
    """The VCALENDAR of a meeting's message, in CR LF lines.

    :raises InvalidCalendarData: for one without a UID, times or people, or with a recurrence that RFC 5545 does not
        have.
    """
    return _Writer(message, addressed).text()


class _Writer:
    def __init__(self, message: TnefMessage, addressed: Addressed) -> None:
        self._message, self._addressed = message, addressed
        self._properties = properties = message.properties
        self._method = _METHODS[message.message_class.lower()]
        if self._method == "REPLY" and properties.truth(Named.COUNTER_PROPOSAL):
            self._method = "COUNTER"
        self._all_day = properties.truth(Named.ALL_DAY) or False
        self._zone = _zone(properties)
        identity = properties.octets(Named.GLOBAL_OBJECT_ID) or properties.octets(Named.CLEAN_GLOBAL_OBJECT_ID)
        self._uid, self._day = _uid(identity)
        self._start, self._end = self._times()
        blob = properties.octets(Named.RECURRENCE)
        of_series = bool(blob) and self._instance() is None and self._method in ("REQUEST", "CANCEL")
        self._series = read_recurrence(blob, properties.charset) if of_series else None
        if self._series is not None and self._zone is None and not self._all_day:
            raise InvalidCalendarData("A series has no time zone.")

    def text(self) -> str:
        """The calendar."""
        lines = [
            "BEGIN:VCALENDAR\r\nPRODID:-//Koyomi//TNEF//EN\r\nVERSION:2.0\r\n",
            f"METHOD:{self._method}\r\n",
            "" if self._zone is None else self._zone.definition,
            *self._event(),
        ]
        if self._series is not None and self._method == "REQUEST":
            for each in self._series.modified:
                lines += self._modified(self._series, each)
        return "".join([*lines, "END:VCALENDAR\r\n"])

    # -- components ---------------------------------------------------------------------------------------------------

    def _event(self) -> Iterator[str]:
        series = self._series
        yield "BEGIN:VEVENT\r\n"
        yield from self._common()
        if series is not None:
            yield from self._span(series.start, series.start + series.duration, all_day=self._all_day)
            yield from self._recurrence(series)
        else:
            instance = self._instance()
            if instance is not None:
                yield self._written("RECURRENCE-ID", instance, all_day=self._all_day and instance.time() == time())
            yield from self._span(self._start, self._end, all_day=self._all_day)
        properties = self._properties
        yield from self._words(self._subject(), properties.text(Named.LOCATION) or properties.text(Named.WHERE))
        yield from self._description()
        busy = properties.number(Named.INTENDED_BUSY_STATUS)
        yield from self._busy(properties.number(Named.BUSY_STATUS) if busy is None or busy < 0 else busy)
        yield "END:VEVENT\r\n"

    def _modified(self, series: Recurrence, instance: ModifiedInstance) -> Iterator[str]:
        """A modified instance of a series. What it does not say is as in the series."""
        properties = self._properties
        all_day = self._all_day if instance.all_day is None else instance.all_day
        original = datetime.combine(instance.original.date(), series.start.time())
        yield "BEGIN:VEVENT\r\n"
        yield from self._common()
        yield self._written("RECURRENCE-ID", original, all_day=self._all_day)
        yield from self._span(instance.start, instance.end, all_day=all_day)
        subject = self._subject() if instance.subject is None else instance.subject
        place = properties.text(Named.LOCATION) if instance.location is None else instance.location
        yield from self._words(subject, place)
        yield from self._description()
        busy = properties.number(Named.INTENDED_BUSY_STATUS)
        yield from self._busy(busy if instance.busy_status is None else instance.busy_status)
        yield "END:VEVENT\r\n"

    def _common(self) -> Iterator[str]:
        properties = self._properties
        yield content_line("UID", {}, escape_text(self._uid))
        yield f"DTSTAMP:{_utc(self._stamp())}\r\n"
        sequence = properties.number(Named.SEQUENCE) or 0
        yield f"SEQUENCE:{max(0, min(sequence, _MAX_SEQUENCE))}\r\n"
        yield from self._people()
        if self._method == "CANCEL":
            yield "STATUS:CANCELLED\r\n"
        kept_back = _CLASSES.get(properties.number(Tag.SENSITIVITY) or 0)
        if kept_back:
            yield f"CLASS:{kept_back}\r\n"
        importance = properties.number(Tag.IMPORTANCE)
        if importance in _PRIORITIES:
            yield f"PRIORITY:{_PRIORITIES[importance]}\r\n"

    def _words(self, summary: str, location: str) -> Iterator[str]:
        for name, text in (("SUMMARY", summary), ("LOCATION", location)):
            if text.strip():
                yield content_line(name, {}, escape_text(_clean(text.strip())[:_MAX_WORDS]))

    def _description(self) -> Iterator[str]:
        body = self._message.body
        if not body.strip():
            properties = self._properties
            html = properties.octets(Tag.HTML)
            body = text_of_html(decoded(html, properties.charset) if html else properties.text(Tag.HTML))
        if not body.strip():
            body = _text_of_compressed_rtf(self._message.properties.octets(Tag.COMPRESSED_RTF))
        if body.strip():
            name = "COMMENT" if self._method in ("REPLY", "COUNTER") else "DESCRIPTION"
            yield content_line(name, {}, escape_text(_clean(body.strip())[:_MAX_TEXT]))

    def _busy(self, status: int | None) -> Iterator[str]:
        if self._method == "REQUEST" and status is not None and 0 <= status < len(_BUSY):
            yield f"TRANSP:{'OPAQUE' if status else 'TRANSPARENT'}\r\n"
            yield f"X-MICROSOFT-CDO-BUSYSTATUS:{_BUSY[status]}\r\n"

    # -- times --------------------------------------------------------------------------------------------------------

    def _times(self) -> tuple[datetime, datetime]:
        """Start and end, local where there is a zone, else in UTC; those that are proposed in a counter-proposal."""
        proposed = (Named.PROPOSED_START, Named.PROPOSED_END) if self._method == "COUNTER" else ()
        for keys in (proposed, (Named.START, Named.END), (Tag.START_DATE, Tag.END_DATE)):
            found = [moment for key in keys if (moment := self._properties.time(key)) is not None]
            if len(found) == 2 and found[0] <= found[1]:
                start, end = (self._local(each) for each in found)
                # Whole days of an unknown zone are times.
                self._all_day = self._all_day and {start.time(), end.time()} == {time()} and start < end
                return start, end
        raise InvalidCalendarData("A meeting has no start and end.")

    def _instance(self) -> datetime | None:
        """The start that the only instance of a series, which a message is about, would have."""
        replaced = self._properties.time(Named.REPLACED_TIME)
        if self._day is None:
            return None
        if replaced is not None:
            return self._local(replaced)
        # Hour, minute and second, of six bits each from the minute on ([MS-OXOCAL] §2.2.6.8).
        clock = self._properties.number(Named.START_RECURRENCE_TIME)
        if clock is None or self._zone is None:
            return datetime.combine(self._day, self._start.time())
        hour, minute, second = clock >> 12, clock >> 6 & 63, clock & 63
        if not (0 <= hour < 24 and minute < 60 and second < 60):
            raise InvalidCalendarData("An instance of a series has no time.")
        return datetime.combine(self._day, time(hour, minute, second))

    def _local(self, utc: datetime) -> datetime:
        return utc.replace(tzinfo=None) if self._zone is None else self._zone.zone.to_local(utc)

    def _stamp(self) -> datetime:
        answers = self._method in ("REPLY", "COUNTER")
        first = Named.ATTENDEE_CRITICAL_CHANGE if answers else Named.OWNER_CRITICAL_CHANGE
        properties = self._properties
        found = properties.time(first) or properties.time(Tag.CLIENT_SUBMIT_TIME) or self._message.dated
        found = found or properties.time(Tag.LAST_MODIFICATION_TIME) or properties.time(Tag.CREATION_TIME)
        if found is None:
            raise InvalidCalendarData("A meeting's message has no date.")
        return found

    def _recurrence(self, series: Recurrence) -> Iterator[str]:
        rule = series.rule
        if series.count is not None:
            rule += f";COUNT={series.count}"
        elif series.last is not None:
            last = datetime.combine(series.last, series.start.time())
            if self._all_day or self._zone is None:
                rule += f";UNTIL={last:%Y%m%d}"
            else:
                rule += f";UNTIL={_utc(self._zone.zone.to_utc(last))}"
        yield f"RRULE:{rule}\r\n"
        for each in series.deleted:
            yield self._written("EXDATE", each, all_day=self._all_day)

    def _span(self, start: datetime, end: datetime, *, all_day: bool) -> Iterator[str]:
        yield self._written("DTSTART", start, all_day=all_day)
        # DTEND is later than DTSTART (RFC 5545 §3.8.2.2).
        if start.date() != end.date() if all_day else start != end:
            yield self._written("DTEND", end, all_day=all_day)

    def _written(self, name: str, local: datetime, *, all_day: bool) -> str:
        if all_day:
            return f"{name};VALUE=DATE:{_digits(local)}\r\n"
        if self._zone is None:
            return f"{name}:{_utc(local)}\r\n"
        return content_line(name, {"TZID": [self._zone.tzid]}, f"{_digits(local)}T{local:%H%M%S}")

    # -- people -------------------------------------------------------------------------------------------------------

    def _people(self) -> Iterator[str]:
        properties, addressed = self._properties, self._addressed
        own = (
            _clean(properties.text(Tag.SENT_REPRESENTING_NAME)),
            _address(properties, *_SENDER) or addressed.sender or "",
        )
        people = list(self._recipients())
        if self._method in ("REPLY", "COUNTER"):
            answer = _ANSWERS[self._message.message_class.lower().rpartition(".")[2]]
            organizers = [(name, address) for name, address, _, _ in people] or list(addressed.to)
            if len(organizers) == 1:
                yield _person("ORGANIZER", *organizers[0], {})
            yield _person("ATTENDEE", *own, {"PARTSTAT": [answer]})
            return
        organizer = next(((name, address) for name, address, _, leads in people if leads), own)
        yield _person("ORGANIZER", *organizer, {})
        if not [each for each in people if not each[3]]:
            people = [
                (name, address, _ROLES[kind], False)
                for kind, listed in ((1, addressed.to), (2, addressed.cc))
                for name, address in listed
            ]
        asked = properties.truth(Tag.RESPONSE_REQUESTED)
        state = {"PARTSTAT": ["NEEDS-ACTION"], "RSVP": ["FALSE" if asked is False else "TRUE"]}
        seen = {organizer[1].lower()}
        for name, address, parameters, leads in people:
            if not leads and address.lower() not in seen:
                seen.add(address.lower())
                yield _person("ATTENDEE", name, address, {**parameters, **state})

    def _recipients(self) -> Iterator[tuple[str, str, dict[str, list[str]], bool]]:
        """Name, address, parameters of ATTENDEE and whether it is the organizer, of the recipients in TNEF."""
        by_name = {name.casefold(): address for name, address in (*self._addressed.to, *self._addressed.cc) if name}
        for each in self._message.recipients:
            name = _clean(each.text(Tag.DISPLAY_NAME))
            address = _address(each, Tag.SMTP_ADDRESS, Tag.ADDRESS_TYPE, Tag.ADDRESS) or by_name.get(name.casefold())
            kind = each.number(Tag.RECIPIENT_TYPE)
            if address is not None:
                leads = bool((each.number(Tag.RECIPIENT_FLAGS) or 0) & _ORGANIZER_FLAG)
                yield name, address, _ROLES.get(1 if kind is None else kind & 0xF, {}), leads

    def _subject(self) -> str:
        """The subject of the meeting, without what says what the message is about it."""
        subject = self._properties.text(Tag.NORMALIZED_SUBJECT)
        if subject:
            return subject
        return self._message.subject.removeprefix(self._properties.text(Tag.SUBJECT_PREFIX)).strip()


def _text_of_compressed_rtf(data: bytes) -> str:
    """The words of a text in compressed RTF; none of one that is damaged: the meeting counts without it."""
    try:
        return text_of_rtf(rtf_of(data)) if data else ""
    except InvalidCalendarData:
        return ""


def _zone(properties: Properties) -> OutlookZone | None:
    for key in (Named.RECURRENCE_ZONE, Named.START_ZONE):
        if data := properties.octets(key):
            return zone_of_definition(data)
    data = properties.octets(Named.ZONE)
    return zone_of_structure(data, properties.text(Named.ZONE_DESCRIPTION)) if data else None


def _uid(identity: bytes) -> tuple[str, date | None]:
    """The UID in a global object id, and the date of the instance that it names ([MS-OXCICAL] §2.1.3.1.1.20.26)."""
    if len(identity) < 40 or not identity.startswith(_GLOBAL_ID):
        raise InvalidCalendarData("A meeting has no global object id.")
    year, month, day = int.from_bytes(identity[16:18], "big"), identity[18], identity[19]
    try:
        instance = date(year, month, day) if year else None
    except ValueError:
        raise InvalidCalendarData("A global object id names no date.") from None
    data = identity[40:]
    if data.startswith(_UID_MARK):
        uid = _clean(decoded(data[len(_UID_MARK) :].partition(b"\0")[0], "utf-8")).strip()
        if uid:
            return uid[:_MAX_UID], instance
    return (identity[:16] + bytes(4) + identity[20:])[:_MAX_UID].hex().upper(), instance


def _address(properties: Properties, smtp: Key, kind: Key, other: Key) -> str | None:
    """A mail address; None where there is only one of Exchange's own."""
    written = properties.text(smtp)
    if not written and properties.text(kind).upper() in ("", "SMTP"):
        written = properties.text(other)
    return mail_address(written)


def _person(property_name: str, name: str, address: str, parameters: dict[str, list[str]]) -> str:
    if not address:
        raise InvalidCalendarData("A meeting's message has no sender.")
    named = {"CN": [name]} if name and name != address else {}
    return content_line(property_name, {**named, **parameters}, mailto(address))


def _clean(text: str) -> str:
    """A text without control characters; its lines end with LF."""
    return _NOT_WRITTEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _digits(moment: datetime) -> str:
    return f"{moment.year:04d}{moment:%m%d}"


def _utc(moment: datetime) -> str:
    moment = moment if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{_digits(moment)}T{moment:%H%M%S}Z"
