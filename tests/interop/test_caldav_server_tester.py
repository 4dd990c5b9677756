"""The checks of caldav-server-tester: everything is as its standards say but for what `OTHERWISE` lists.

Its report is left in `build/interop/caldav-server-tester.txt`; docs/caldav-server-tester.md is written from it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from docs.caldav_server_tester import OTHERWISE, REPORT, TABLE, levels, table
from tests.interop.conftest import Account
from tests.interop.environments import TESTER, environment


def test_caldav_server_tester(three: list[Account], tmp_path: Path) -> None:
    program = environment(*TESTER) / "caldav-server-tester"
    config = {
        each.name: {"caldav_url": f"{each.url}/", "caldav_username": each.name, "caldav_password": each.password}
        for each in three
    }
    file = tmp_path / "caldav.json"
    file.write_text(json.dumps(config))
    done = subprocess.run(
        [program, "--verbose", *(word for name in config for word in ("--config-section", name))],
        env=os.environ | {"CALDAV_CONFIG_FILE": str(file)},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    REPORT.write_text(done.stdout)
    found = levels(done.stdout)
    assert list(found.values()).count("full") > 80
    differing = {name: support for name, support in found.items() if support not in ("full", "?")}
    assert set(differing) <= set(OTHERWISE), differing
    assert not {"broken", "fragile", "ungraceful"} & set(differing.values())
    assert TABLE.read_text() == table(done.stdout), "python -m docs.caldav_server_tester writes it anew"
