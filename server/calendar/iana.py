"""The zones of the IANA database, from the data of the `tzdata` wheel only: never the system's, which may differ from
host to host.

Files are TZif (RFC 8536); years after their last transition follow the rule in the file's footer.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from importlib import import_module, resources

from server.calendar.zones import UTC_ZONE, Transition, Zone

_EPOCH = datetime(1970, 1, 1)
_HEADER = struct.Struct(">4sc15x6l")
_EARLIEST_TRANSITION = -62_135_596_800
"""Seconds of the year 1."""
_POSIX_NAME = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]+>)"
_POSIX_OFFSET = r"([+-]?[0-9]{1,3}(?::[0-9]{2}){0,2})"
_POSIX = re.compile(
    rf"{_POSIX_NAME}{_POSIX_OFFSET}(?:{_POSIX_NAME}{_POSIX_OFFSET}?,([^,/]+)(?:/{_POSIX_OFFSET})?,([^,/]+)(?:/{_POSIX_OFFSET})?)?"
)
_UTC_NAMES = frozenset(("utc", "z", "tzone://microsoft/utc", "coordinated universal time", "utc+00:00"))
_GMT_NAMES = frozenset(("gmt", "greenwich mean time"))
_ABBREVIATIONS = frozenset(("est", "mst", "hst", "cet", "met", "eet", "wet", "gmt", "gmt0", "gmt+0", "gmt-0"))
_ABBREVIATIONS |= {"est5edt", "cst6cdt", "mst7mdt", "pst8pdt", "greenwich"}
"""Names of the database, in lower case, that are no places; programs define zones with other rules by them."""


class NameKind(Enum):
    """The kind of a name that `named_zone` knows."""

    PLACE = "a place of the IANA database, such as Europe/Berlin, or UTC"
    WINDOWS = "a name that Windows has for a zone"
    ABBREVIATION = "an abbreviation, such as EST or GMT"


def version() -> str:
    """The version of the zone data, such as `2026a`; later ones are greater as text."""
    return str(import_module("tzdata").IANA_VERSION)


def data_year() -> int:
    """The year of the zone data."""
    return int(version()[:4])


@cache
def zone_names() -> dict[str, str]:
    """The names of all zones and links of the database by their lower-case form."""
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return {name.lower(): name for name in names if name != "Factory"}


def digests() -> dict[str, str]:
    """A digest of the data of every zone, by name: two versions agree on a zone when they agree on its digest."""
    return {name: hashlib.blake2b(_data(name), digest_size=8).hexdigest() for name in zone_names().values()}


@cache
def windows_zones() -> dict[str, str]:
    """IANA names by the lower-case names that Windows has for zones (CLDR's windowsZones, territory 001)."""
    text = resources.files("server.calendar").joinpath("windows_zones.json").read_text(encoding="utf-8")
    return {name.lower(): zone for name, zone in json.loads(text).items()}


@cache
def iana_zone(name: str) -> Zone | None:
    """The zone with exactly this name of `zone_names`; None for any other name."""
    if zone_names().get(name.lower()) != name:
        return None
    if name in ("UTC", "Etc/UTC"):
        return UTC_ZONE
    return _read(name, _data(name))


def _data(name: str) -> bytes:
    """The TZif file of a zone."""
    package, _, file = f"tzdata.zoneinfo.{name.replace('/', '.')}".rpartition(".")
    return resources.files(package).joinpath(file).read_bytes()


def named_zone(tzid: str) -> Zone | None:
    """The zone of the IANA database that a TZID names, as clients write them; None when it names none.

    IANA names in any case, also with spaces for underscores or behind a path
    (`/citadel.org/20070227_1/Europe/Berlin`), the names of Windows, and those of UTC.
    """
    found = _kind_and_name(tzid)
    return None if found is None else iana_zone(found[1])


def name_kind(tzid: str) -> NameKind | None:
    """The kind of name that a TZID is; None if `named_zone` knows no zone by it."""
    found = _kind_and_name(tzid)
    return None if found is None else found[0]


def _kind_and_name(tzid: str) -> tuple[NameKind, str] | None:
    """The kind of name that a TZID is, and the name in the database."""
    wanted = tzid.strip().strip("\"'").strip().lower()
    if wanted in _UTC_NAMES:
        return NameKind.PLACE, "UTC"
    if wanted in _GMT_NAMES:
        return NameKind.ABBREVIATION, "UTC"
    names = zone_names()
    plain = wanted.replace(" ", "_")
    if plain in names:
        return NameKind.ABBREVIATION if plain in _ABBREVIATIONS else NameKind.PLACE, names[plain]
    if wanted in windows_zones():
        return NameKind.WINDOWS, windows_zones()[wanted]
    if "/" in wanted:
        segments = plain.split("/")
        fewest = 1 if wanted.startswith("/") else 2
        for number in range(3, fewest - 1, -1):
            last = "/".join(segments[-number:])
            if last in names:
                return NameKind.ABBREVIATION if last in _ABBREVIATIONS else NameKind.PLACE, names[last]
    return None


@cache
def _known_by_rules() -> list[Zone]:
    """One zone for each set of rules in use today, those that most people live in first."""
    names = sorted(set(windows_zones().values()), key=lambda name: (_PREFERRED.get(name, len(_PREFERRED)), name))
    return [zone for zone in (iana_zone(name) for name in names if not name.startswith("Etc/")) if zone is not None]


_PREFERRED = {
    name: rank
    for rank, name in enumerate(
        (
            "Europe/Berlin",
            "Europe/London",
            "Europe/Kiev",
            "America/New_York",
            "America/Chicago",
            "America/Denver",
            "America/Los_Angeles",
            "Australia/Sydney",
        )
    )
}


def zone_with_rules_of(zone: Zone, since: int) -> Zone | None:
    """A zone of the database that has the offsets of `zone` at all times from the year `since` to ten years from now
    on.

    "Now" is the year of the zone data. Of several, one where many people live. A fixed offset of whole hours is one of
    `Etc/GMT±n`.
    """
    start = datetime(min(since, data_year()), 1, 1)
    end = datetime(data_year() + 10, 1, 1)
    begin = start.replace(tzinfo=UTC_ZONE.to_utc(start).tzinfo)
    offset, transitions = zone.offset_at(begin), zone.transitions(start, end)
    if not transitions:
        hours, rest = divmod(offset, timedelta(hours=1))
        if rest or abs(hours) > 12:
            return None
        return UTC_ZONE if hours == 0 else iana_zone(f"Etc/GMT{-hours:+d}")
    for candidate in _known_by_rules():
        if candidate.offset_at(begin) == offset and candidate.transitions(start, end) == transitions:
            return candidate
    return None


def _read(name: str, data: bytes) -> Zone:
    """A zone from a TZif file of version 2 or later."""
    _, _, *counts = _HEADER.unpack_from(data)
    position = _HEADER.size + _block_size(counts, 4)
    _, _, *counts = _HEADER.unpack_from(data, position)
    position += _HEADER.size
    _, _, _, times, types, _ = counts
    seconds = struct.unpack_from(f">{times}q", data, position)
    indices = data[position + 8 * times : position + 9 * times]
    offsets = [
        timedelta(seconds=struct.unpack_from(">l", data, position + 9 * times + 6 * number)[0])
        for number in range(types)
    ]
    footer = data[position + _block_size(counts, 8) :].strip(b"\n").decode("ascii")
    transitions = [
        (_EPOCH + timedelta(seconds=second), offsets[index])
        for second, index in zip(seconds, indices, strict=True)
        if second > _EARLIEST_TRANSITION
    ]
    return Zone(name, offsets[0], transitions, posix_rule(footer))


def _block_size(counts: Sequence[int], width: int) -> int:
    """The size of a TZif data block whose times have `width` bytes."""
    ut, std, leap, times, types, characters = counts
    return times * (width + 1) + types * 6 + characters + leap * (width + 4) + std + ut


def posix_rule(text: str) -> Callable[[int], Sequence[Transition]] | None:
    """The transitions of any year by a POSIX TZ string (RFC 8536 §3.3.1); None when it has no daylight saving time."""
    match = _POSIX.fullmatch(text)
    if match is None or match[3] is None:
        return None
    standard = -_seconds(match[1])
    daylight = -_seconds(match[2]) if match[2] else standard + timedelta(hours=1)
    to_daylight, to_standard = match[3], match[5]
    daylight_time = _seconds(match[4] or "2") - standard
    standard_time = _seconds(match[6] or "2") - daylight

    def transitions(year: int) -> Sequence[Transition]:
        return sorted(
            (
                (_posix_day(to_daylight, year) + daylight_time, daylight),
                (_posix_day(to_standard, year) + standard_time, standard),
            )
        )

    return transitions


def _seconds(text: str) -> timedelta:
    """`[+-]h[:mm[:ss]]`."""
    sign = -1 if text.startswith("-") else 1
    hours, minutes, seconds = ([int(part) for part in text.lstrip("+-").split(":")] + [0, 0])[:3]
    return sign * timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _posix_day(text: str, year: int) -> datetime:
    """Midnight of the day that `Mm.w.d`, `Jn` or `n` names in a year."""
    if text[0] == "M":
        month, week, weekday = (int(part) for part in text[1:].split("."))
        first = datetime(year, month, 1)
        day = first + timedelta(days=(weekday - 1 - first.weekday()) % 7 + 7 * (week - 1))
        return day if day.month == month else day - timedelta(days=7)
    number = int(text.lstrip("J"))
    leap_day = text[0] == "J" and number >= 60 and (date(year, 3, 1) - date(year, 2, 1)).days == 29
    return datetime(year, 1, 1) + timedelta(days=number - (text[0] == "J") + leap_day)
