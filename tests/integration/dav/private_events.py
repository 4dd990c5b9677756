"""A private event with a word in each part that others do not see, and everything that says something about it."""

from __future__ import annotations

from tests.integration.dav.client import Reply
from tests.integration.dav.person import Person, calendar, event

CANARY = "canary"
ALARM = ("BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{CANARY}", "TRIGGER:-PT10M", "END:VALARM")
HIDDEN = (
    f"LOCATION:{CANARY}",
    f"DESCRIPTION:{CANARY}",
    f"CATEGORIES:{CANARY}",
    f"X-NOTE:{CANARY}",
    "PRIORITY:1",
    *ALARM,
)
TIMES = ("BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z", "DTSTART:20260601T090000Z", "DTEND:20260601T100000Z")
BLOCK = calendar(*TIMES, "END:VEVENT")
WINDOW = 'start="20260601T000000Z" end="20260602T000000Z"'
MARKS = ("CLASS:PRIVATE", "CLASS:CONFIDENTIAL", "CLASS:X-SECRET")


def private(mark: str = "CLASS:PRIVATE", *lines: str, uid: str = "1") -> str:
    return event(uid, CANARY, mark, *HIDDEN, *lines)


FILTERS = {
    "text in SUMMARY": f"<C:prop-filter name='SUMMARY'><C:text-match>{CANARY}</C:text-match></C:prop-filter>",
    "a SUMMARY": "<C:prop-filter name='SUMMARY'/>",
    "a CLASS": "<C:prop-filter name='CLASS'/>",
    "text in X-NOTE": f"<C:prop-filter name='X-NOTE'><C:text-match>{CANARY}</C:text-match></C:prop-filter>",
    "an alarm": "<C:comp-filter name='VALARM'/>",
    "an alarm in a window": "<C:comp-filter name='VALARM'><C:time-range start='20260601T080000Z' "
    "end='20260601T100000Z'/></C:comp-filter>",
}
FINDING = {
    "no SUMMARY": "<C:prop-filter name='SUMMARY'><C:is-not-defined/></C:prop-filter>",
    "no such text": "<C:prop-filter name='UID'><C:text-match negate-condition='yes'>other</C:text-match>"
    "</C:prop-filter>",
    "no alarm": "<C:comp-filter name='VALARM'><C:is-not-defined/></C:comp-filter>",
    "a time": f"<C:time-range {WINDOW}/>",
}


async def query(person: Person, path: str, condition: str, data: str = "<C:calendar-data/>") -> Reply:
    inner = (
        f"<D:prop><D:getetag/>{data}</D:prop><C:filter><C:comp-filter name='VCALENDAR'>"
        f"<C:comp-filter name='VEVENT'>{condition}</C:comp-filter></C:comp-filter></C:filter>"
    )
    return await person.report(path, "C:calendar-query", inner)


async def answers(person: Person, path: str, name: str = "1.ics") -> list[str]:
    """Everything that says something about a member."""
    href = f"{path}{name}"
    props = "<D:prop><D:getetag/><C:schedule-tag/><C:calendar-data/></D:prop>"
    whole = [
        await person.http("GET", href),
        await person.http("GET", path),
        await person.http("GET", path, Accept="text/html"),
        await person.http("GET", f"{path}?export", Accept="text/calendar"),
        await person.report(path, "C:calendar-multiget", f"{props}<D:href>{href}</D:href>"),
        await person.http("PROPFIND", href, "<D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>", Depth="0"),
        await person.http("PROPFIND", path, "<D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>", Depth="1"),
        await person.report(path, "C:free-busy-query", f"<C:time-range {WINDOW}/>"),
        await query(person, path, ""),
        await query(person, path, f"<C:time-range {WINDOW}/>"),
        await query(person, path, "", f"<C:calendar-data><C:expand {WINDOW}/></C:calendar-data>"),
        await query(
            person,
            path,
            "",
            "<C:calendar-data><C:comp name='VCALENDAR'><C:comp name='VEVENT'><C:prop name='SUMMARY'/>"
            "<C:prop name='DESCRIPTION'/><C:comp name='VALARM'><C:allprop/></C:comp></C:comp></C:comp>"
            "</C:calendar-data>",
        ),
    ]
    assert all(reply.status < 400 or reply.status == 405 for reply in whole), [reply.status for reply in whole]
    found = [f"{reply.headers} {reply.text}" for reply in whole]
    changed = await person.sync(path)
    assert href in changed.hrefs
    return found


async def refusals(person: Person, path: str, away: str) -> list[Reply]:
    """The answers to everything that would change `1.ics` in a calendar, which holds `2.ics`, too, or copy it away."""
    mine = await person.prop(f"{path}1.ics", "D:getetag")
    return [
        await person.put(f"{path}1.ics", BLOCK),
        await person.put(f"{path}1.ics", BLOCK, If_Match=mine),
        await person.put(f"{path}1.ics", calendar(*TIMES, *ALARM, "END:VEVENT"), If_Match=mine),
        await person.put(f"{path}1.ics", private()),
        await person.http("DELETE", f"{path}1.ics"),
        await person.http("MOVE", f"{path}1.ics", Destination=away),
        await person.http("COPY", f"{path}1.ics", Destination=away),
        await person.http("MOVE", f"{path}1.ics", Destination=f"{path}3.ics"),
        await person.http("COPY", f"{path}2.ics", Destination=f"{path}1.ics", Overwrite="T"),
        await person.http("MOVE", f"{path}2.ics", Destination=f"{path}1.ics", Overwrite="T"),
    ]
