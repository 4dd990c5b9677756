"""Calendar objects whose every text is another one."""

from __future__ import annotations

import itertools

_serial = itertools.count(1)


def event(uid: str, *, rule: str = "", padding: int = 0) -> str:
    """An event with a number of its own in its summary; `padding` bytes make it larger."""
    number = next(_serial)
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Koyomi//tests//EN",
        "BEGIN:VEVENT",
        f"UID:{uid}",
        "DTSTAMP:20260101T000000Z",
        f"DTSTART:202602{1 + number % 28:02}T{number % 24:02}0000Z",
        "DURATION:PT1H",
        f"SUMMARY:Version {number}",
    ]
    if rule:
        lines.append(f"RRULE:{rule}")
    if padding:
        lines += [f"X-PADDING:{'x' * 60}"] * (padding // 72 + 1)
    return "\r\n".join([*lines, "END:VEVENT", "END:VCALENDAR", ""])
