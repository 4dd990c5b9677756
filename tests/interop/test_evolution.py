"""Evolution against a running server: what evolution-data-server does. The meeting is in `clients/evolution.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest

from tests.interop.conftest import Account

SCRIPT = Path(__file__).with_name("clients") / "evolution.py"
PYTHON = "/usr/bin/python3"
FACTORY = Path("/usr/libexec/evolution-calendar-factory")
BINDINGS = Path("/usr/lib/python3/dist-packages/gi")

pytestmark = pytest.mark.skipif(
    not (FACTORY.exists() and BINDINGS.exists() and shutil.which("dbus-run-session")),
    reason="evolution-data-server, gir1.2-ecal-2.0, python3-gi or dbus is not installed",
)


def make_calendar(person: Account, name: str) -> None:
    login = b64encode(f"{person.name}:{person.password}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    request = urllib.request.Request(f"{person.home()}{name}/", headers=headers, method="MKCALENDAR")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201


def test_a_meeting_of_two_people(three: list[Account], tmp_path: Path) -> None:
    ann, ben, _ = three
    make_calendar(ben, "work")
    # Evolution keeps what it knows below the home folder, and its processes belong to the session.
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        environment.pop(name, None)
    host, _, port = ann.url.removeprefix("http://").partition(":")
    words = ["dbus-run-session", "--", PYTHON, SCRIPT, host, port, ann.password, ann.name, ben.name]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
