"""The files: those in the packages that tests need, and those of the conformance suite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import distribution
from pathlib import Path

from server.services.transfer.sources import SUFFIXES
from tests.server_process import SHARED

PACKAGES = ("icalendar", "recurring-ical-events")
SUITE = "suite"
TODAY = date(2026, 6, 1)

_VARIABLE = re.compile(rb"\$now\.(?:(year|month)\.)?([+-]?\d+):")
_BARE = re.compile(rb"\s*BEGIN:(?!VCALENDAR|VCARD)[A-Z]", re.IGNORECASE)
_HEAD = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Koyomi//Corpus//EN\r\n"


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file as it is tested."""

    name: str
    """Corpus and path in it."""
    suffix: str
    content: bytes
    """With dates in place of the suite's variables; a component that stands alone stands in a VCALENDAR."""


def corpus_files(corpus: str) -> Iterator[CorpusFile]:
    """The files of a package or of the suite, by name; of files with the same content the first one."""
    if corpus == SUITE:
        root = SHARED / "conformance" / "suite" / "Resource"
        paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
        named = [(path.relative_to(root).as_posix(), path) for path in paths]
    else:
        shipped = distribution(corpus).files or []
        named = sorted((str(each), Path(str(each.locate()))) for each in shipped if each.suffix.lower() in SUFFIXES)
    seen: set[tuple[str, bytes]] = set()
    for name, path in named:
        suffix = path.suffix.lower()
        content = _VARIABLE.sub(_date, path.read_bytes())
        if _BARE.match(content) and SUFFIXES[suffix] == "calendar":
            content = _HEAD + content.rstrip() + b"\r\nEND:VCALENDAR\r\n"
        if (suffix, content) not in seen:
            seen.add((suffix, content))
            yield CorpusFile(f"{corpus}/{name}", suffix, content)


def _date(match: re.Match[bytes]) -> bytes:
    """What the suite puts in place of `$now.N:`, `$now.month.N:` and `$now.year.N:`."""
    unit, offset = match[1], int(match[2])
    if unit == b"year":
        return b"%d" % (TODAY.year + offset)
    if unit == b"month":
        years, month = divmod(TODAY.month - 1 + offset, 12)
        return b"%d%02d" % (TODAY.year + years, month + 1)
    return (TODAY + timedelta(days=offset)).strftime("%Y%m%d").encode()
