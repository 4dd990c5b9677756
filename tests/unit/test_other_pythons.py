"""The system's own Python, where it is another than the one of the tests, reads texts as this one does.

Debian 12 comes with Python 3.11.2, whose `re` gets some possessive repeats wrong.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3", "/opt/homebrew/bin/python3")
VERSION = "import sys; print(*sys.version_info[:3])"

READ = r"""
import hashlib, json, random
from server.calendar.contentline import content_lines, split_list, split_structure
from server.calendar.stream import CalendarStream
from server.contacts.aggregate import split_cards
from server.contacts.filters import CardFilter, PropFilter, TextMatch, compiled
from server.domain.errors import KoyomiError

random.seed(20260901)
pieces = ["A", "B:", "\r", "\n", "\r\n", " ", "\t", ";", ":", '"', "X=", "=", ",", "\\", "QUOTED-PRINTABLE", "é",
          "TZID=a", "DTSTART", "a.TEL:1", "TEL:1", "BEGIN:VEVENT\r\n", "END:VEVENT\r\n",
          "UID:", "BEGIN:VCARD\n", "END:VCARD\n"]
matches = compiled(CardFilter((PropFilter("TEL", text_matches=(TextMatch("1"),)),)))
found = hashlib.sha256()
lines = 0

def each(line):
    return line.name, line.parameter_text, line.value, line.line, *line.span, sorted(line.params.items())

def read(function, text):
    try:
        return function(text)
    except KoyomiError as error:
        return error.message

for _ in range(10_000):
    text = "".join(random.choices(pieces, k=random.randint(1, 16)))
    result = [
        read(lambda text: [each(line) for line in content_lines(text)], text), split_list(text), split_structure(text),
        [(card.line, card.octets.decode()) for card in split_cards(text.encode())],
        read(matches, "BEGIN:VCARD\n" + text),
        [part.body.decode() for part in CalendarStream(f"BEGIN:VCALENDAR\n{text}".encode()).objects()],
    ]
    lines += len(result[0]) if isinstance(result[0], list) else 0
    found.update(json.dumps(result).encode())
print(lines, found.hexdigest())
"""


def run(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.platform
def test_texts_are_read_alike() -> None:
    versions = {python: run(python, VERSION) for python in PYTHONS if Path(python).exists()}
    own = run(sys.executable, VERSION)
    others = [
        python for python, version in versions.items()
        if version != own and tuple(map(int, version.split())) >= (3, 11)
    ]  # fmt: skip
    if not others:
        pytest.skip("there is no other Python of the system that Koyomi runs on")
    expected = run(sys.executable, READ)
    assert int(expected.split()[0]) > 1000
    for python in others:
        assert run(python, READ) == expected, versions[python]
