"""The checks of caldav-server-tester: everything is as its standards say but for what is listed here, with the reason.

Its report is left in `build/interop/caldav-server-tester.txt`.
"""

from __future__ import annotations

import re
import subprocess

from tests.interop.conftest import Account
from tests.interop.environments import FOLDER, TESTER, environment

OTHERWISE = {
    "create-calendar.auto": "a PUT makes no calendar (RFC 4791 §5.3.2)",
    "principal-search": "the reports of RFC 3744 §9 are not offered yet",
    "principal-search.by-name.self": "the same",
    "principal-search.list-all": "the same",
    "save-load.journal.mixed-calendar": "a calendar made without supported-calendar-component-set takes events only",
    "save-load.todo.mixed-calendar": "the same: Apple's apps take a list of tasks for one when it holds nothing else",
    "scheduling": "RFC 6638 is not offered yet",
    "search.text.comp-type-optional": "a prop-filter below VCALENDAR is about VCALENDAR's properties (RFC 4791 §9.7.2)",
    "search.time-range.comp-type-optional": "VCALENDAR has no time-range (RFC 4791 §9.9)",
    "url.encode-at.identity": "asks for two objects with one UID",
    "url.encode-at.literal.principal": "the person's name has no @",
    "well-known": "is not asked for on localhost; test_readme does",
}


def test_caldav_server_tester(account: Account) -> None:
    program = environment(*TESTER) / "caldav-server-tester"
    login = ["--caldav-username", account.name, "--caldav-password", account.password]
    done = subprocess.run(
        [program, "--verbose", "--caldav-url", f"{account.url}/", *login],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (FOLDER / "caldav-server-tester.txt").write_text(done.stdout)
    found = dict(re.findall(r"^## (.+)\nFeature support level found: (\S+)", done.stdout, re.MULTILINE))
    assert list(found.values()).count("full") > 80
    differing = {name: support for name, support in found.items() if support not in ("full", "?")}
    assert set(differing) <= set(OTHERWISE), differing
