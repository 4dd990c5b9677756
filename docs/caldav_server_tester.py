"""Writes docs/caldav-server-tester.md from the report that the test of that name leaves.

python -m docs.caldav_server_tester    after: make test ARGS="tests/interop/test_caldav_server_tester.py"
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "build" / "interop" / "caldav-server-tester.txt"
TABLE = ROOT / "docs" / "caldav-server-tester.md"

OTHERWISE = {
    "create-calendar.auto": "a PUT makes no calendar (RFC 4791 §5.3.2)",
    "principal-search": "is asked at /: people are searched for below /principals/, or where the body says so",
    "principal-search.by-name.self": "the same",
    "principal-search.list-all": "the same",
    "scheduling.schedule-tag.stable-partstat": "is asked of the attendee's own PUT, which MUST change the tag "
    "(RFC 6638 §3.2.10)",
    "search.text.comp-type-optional": "a prop-filter below VCALENDAR is about VCALENDAR's properties (RFC 4791 §9.7.2)",
    "search.time-range.comp-type-optional": "VCALENDAR has no time-range (RFC 4791 §9.9)",
    "url.encode-at.identity": "asks for two objects with one UID",
    "url.encode-at.literal.principal": "the person's name has no @",
    "well-known": "is not asked for on localhost; test_readme does",
}
"""Why what is not found as `full` is not."""

HEAD = """\
# caldav-server-tester

What the program caldav-server-tester finds of Koyomi, feature by feature. `full` is as the standards say.
Written by `python -m docs.caldav_server_tester` from the report of `tests/interop/test_caldav_server_tester.py`, which
fails when this table no longer holds.

"""


def levels(report: str) -> dict[str, str]:
    """What a report says of each feature."""
    return dict(re.findall(r"^## (.+)\nFeature support level found: (\S+)", report, re.MULTILINE))


def table(report: str) -> str:
    """The document."""
    found = levels(report)
    counts = ", ".join(f"{count} {level}" for level, count in Counter(found.values()).most_common())
    rows = "".join(f"| {name} | {level} | {OTHERWISE.get(name, '')} |\n" for name, level in sorted(found.items()))
    return f"{HEAD}{len(found)} features: {counts}.\n\n| feature | found | why |\n| --- | --- | --- |\n{rows}"


if __name__ == "__main__":
    TABLE.write_text(table(REPORT.read_text()))
