"""A folder that a Radicale server made is imported, and one that was exported is served by a Radicale server."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.environments import RADICALE, environment
from tests.server_process import ServerProcess, free_port

PEOPLE = {"ada": "secret one", "bob@example.org": "secret two"}
MKCALENDAR = """<?xml version="1.0" encoding="utf-8"?>
<C:mkcalendar xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:I="http://apple.com/ns/ical/"><set><prop>
<displayname>Ada's &lt;work&gt;</displayname><I:calendar-color>#12ab34ff</I:calendar-color>
<C:calendar-description>All that is to be done</C:calendar-description>
<C:supported-calendar-component-set><C:comp name="VEVENT"/><C:comp name="VTODO"/></C:supported-calendar-component-set>
</prop></set></C:mkcalendar>"""
MKCOL = """<?xml version="1.0" encoding="utf-8"?>
<mkcol xmlns="DAV:" xmlns:CR="urn:ietf:params:xml:ns:carddav"><set><prop>
<resourcetype><collection/><CR:addressbook/></resourcetype><displayname>People</displayname>
<CR:addressbook-description>Whom I know</CR:addressbook-description></prop></set></mkcol>"""


def event(uid: str, component: str = "VEVENT") -> str:
    return (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\nBEGIN:{component}\r\nUID:{uid}\r\n"
        f"DTSTAMP:20260101T000000Z\r\nDTSTART;TZID=Europe/Berlin:20260904T100000\r\nSUMMARY:Über {uid}\r\n"
        f"END:{component}\r\nEND:VCALENDAR\r\n"
    )


CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:c\r\nFN:Zoë\r\nN:Zoë;;;;\r\nEND:VCARD\r\n"


def request(url: str, person: str, method: str, path: str, body: str = "", kind: str = "text/calendar") -> str:
    login = base64.b64encode(f"{person}:{PEOPLE[person]}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": f"{kind}; charset=utf-8", "Depth": "1"}
    wanted = urllib.request.Request(url + path, body.encode(), headers, method=method)
    with urllib.request.urlopen(wanted, timeout=30) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def radicale(programs: Path, storage: Path, log: Path) -> Iterator[str]:
    """A Radicale server on a folder; gives its URL."""
    users = storage.with_name("users")
    users.write_text("".join(f"{name}:{password}\n" for name, password in PEOPLE.items()))
    port = free_port()
    options = {
        "server-hosts": f"127.0.0.1:{port}", "storage-filesystem-folder": storage, "auth-type": "htpasswd",
        "auth-htpasswd-filename": users, "auth-htpasswd-encryption": "plain", "auth-delay": "0",
    }  # fmt: skip
    words = [
        programs / "python",
        "-m",
        "radicale",
        "--config",
        "",
        *(f"--{key}={value}" for key, value in options.items()),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                request(url, "ada", "PROPFIND", "/")
                break
            except (OSError, urllib.error.URLError):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def programs() -> Path:
    return environment(*RADICALE)


def test_from_radicale_and_back(programs: Path, interop_server: ServerProcess, tmp_path: Path) -> None:
    with radicale(programs, tmp_path / "radicale", tmp_path / "log") as url:
        request(url, "ada", "MKCALENDAR", "/ada/work/", MKCALENDAR, "application/xml")
        request(url, "ada", "PUT", "/ada/work/a.ics", event("a"))
        request(url, "ada", "PUT", "/ada/work/b c.ics".replace(" ", "%20"), event("b", "VTODO"))
        request(url, "ada", "MKCOL", "/ada/people/", MKCOL, "application/xml")
        request(url, "ada", "PUT", "/ada/people/c.vcf", CARD, "text/vcard")
        request(url, "bob@example.org", "MKCALENDAR", "/bob@example.org/calendar/", MKCALENDAR, "application/xml")
        request(url, "bob@example.org", "PUT", "/bob@example.org/calendar/x.ics", event("x"))
        there = {path: request(url, "ada", "GET", path) for path in ("/ada/work/a.ics", "/ada/people/c.vcf")}

    folder = str(tmp_path / "radicale")
    said = interop_server.command("import", folder, "--htpasswd", str(tmp_path / "users"))
    assert "Principals: 2 created\n" in said
    assert said.endswith("4 created, 0 changed, 0 unchanged, 0 refused\n")
    assert interop_server.command("import", folder) == "0 created, 0 changed, 4 unchanged, 0 refused\n"

    interop_server.command("export", "--user", "ada", str(tmp_path / "export/collection-root/ada"))
    exported = tmp_path / "export/collection-root/ada"
    assert (exported / "work/a.ics").read_bytes().decode() == there["/ada/work/a.ics"]
    with radicale(programs, tmp_path / "export", tmp_path / "log") as url:
        for path, text in there.items():
            assert request(url, "ada", "GET", path) == text
        found = request(url, "ada", "PROPFIND", "/ada/work/", "", "application/xml")
        assert "Ada's &lt;work&gt;" in found
        assert "b%20c.ics" in found
        color = '<propfind xmlns="DAV:"><prop><calendar-color xmlns="http://apple.com/ns/ical/"/></prop></propfind>'
        assert "#12ab34ff" in request(url, "ada", "PROPFIND", "/ada/work/", color, "application/xml")
        assert "Whom I know" in request(url, "ada", "PROPFIND", "/ada/people/", DESCRIPTION, "application/xml")


DESCRIPTION = (
    '<propfind xmlns="DAV:"><prop><addressbook-description xmlns="urn:ietf:params:xml:ns:carddav"/></prop></propfind>'
)
