"""vdirsyncer between a running server and a folder, both ways; khal on that folder."""

from __future__ import annotations

import base64
import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.conftest import Account
from tests.interop.environments import VDIRSYNCER, environment
from tests.server_process import ServerProcess

EACH = 1000
"""Events, and as many cards: half of them on each side at first."""

CONFIG = """
[general]
status_path = "{folder}/status/"

[pair calendars]
a = "server_calendars"
b = "folder_calendars"
collections = ["from a", "from b"]
metadata = ["displayname", "color"]
conflict_resolution = "a wins"

[storage server_calendars]
type = "caldav"
url = "{url}/"
username = "{name}"
password = "{password}"

[storage folder_calendars]
type = "filesystem"
path = "{folder}/calendars/"
fileext = ".ics"

[pair contacts]
a = "server_contacts"
b = "folder_contacts"
collections = ["from a", "from b"]
metadata = ["displayname"]
conflict_resolution = "b wins"

[storage server_contacts]
type = "carddav"
url = "{url}/"
username = "{name}"
password = "{password}"

[storage folder_contacts]
type = "filesystem"
path = "{folder}/contacts/"
fileext = ".vcf"
"""


def event(number: int, summary: str = "Event") -> str:
    day = f"2026{1 + number % 12:02}{1 + number % 28:02}"
    return (
        f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\nBEGIN:VEVENT\r\nUID:event-{number}\r\n"
        f"DTSTAMP:20260101T000000Z\r\nDTSTART:{day}T100000Z\r\nDTEND:{day}T110000Z\r\nSUMMARY:{summary} {number}\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )


def card(number: int, name: str = "Person") -> str:
    return (
        f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:card-{number}\r\nFN:{name} {number}\r\nN:{number};{name};;;\r\n"
        f"EMAIL:p{number}@example.org\r\nEND:VCARD\r\n"
    )


class Sync:
    """A folder that vdirsyncer keeps in step with an account."""

    def __init__(self, programs: Path, folder: Path, account: Account, server: ServerProcess) -> None:
        self.programs = programs
        self.folder = folder
        self.account = account
        self.server = server
        (folder / "calendars").mkdir()
        (folder / "contacts").mkdir()
        config = CONFIG.format(folder=folder, url=account.url, name=account.name, password=account.password)
        (folder / "config").write_text(config)

    def run(self, *words: str, answers: str = "") -> str:
        """Run vdirsyncer and give what it says."""
        done = subprocess.run(
            [self.programs / "vdirsyncer", "--config", self.folder / "config", *words],
            input=answers, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "rror" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> str:
        """A request of another client; gives the answer's body."""
        tree = "addressbooks" if path.startswith("addressbook/") else "calendars"
        login = base64.b64encode(f"{self.account.name}:{self.account.password}".encode()).decode()
        if method == "PUT":
            headers["Content_Type"] = "text/vcard" if tree == "addressbooks" else "text/calendar"
        request = urllib.request.Request(
            self.account.home(tree) + path,
            None if body is None else body.encode(),
            {"Authorization": f"Basic {login}", **{name.replace("_", "-"): value for name, value in headers.items()}},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def here(self, collection: str) -> dict[str, str]:
        """What the folder holds, by UID."""
        texts = [path.read_bytes().decode() for path in (self.folder / collection).iterdir() if path.suffix != ""]
        return {uid(text): text for text in texts}

    def file(self, collection: str, wanted: str) -> Path:
        """The file of an object."""
        return next(
            path for path in (self.folder / collection).iterdir()
            if path.suffix and uid(path.read_bytes().decode()) == wanted
        )  # fmt: skip

    def names(self, collection: str) -> dict[str, str]:
        """What the server holds: texts by the path below the home."""
        target = self.folder / f"export-{len(list(self.folder.glob('export-*')))}"
        self.server.command("export", "--user", self.account.name, "--collection", collection, str(target))
        files = [path for path in target.iterdir() if path.name[0] != "."]
        return {f"{collection}/{path.name}": path.read_bytes().decode() for path in files}

    def there(self, collection: str) -> dict[str, str]:
        """What the server holds, by UID."""
        return {uid(text): text for text in self.names(collection).values()}


def uid(text: str) -> str:
    found = re.search(r"^UID:(.*?)\r?$", text, re.MULTILINE)
    assert found, text
    return found[1]


@pytest.fixture(scope="module")
def programs() -> Path:
    return environment(*VDIRSYNCER)


@pytest.fixture
def sync(programs: Path, tmp_path: Path, account: Account, interop_server: ServerProcess) -> Sync:
    return Sync(programs, tmp_path, account, interop_server)


def test_a_thousand_events_and_cards_both_ways(sync: Sync) -> None:
    folder, account, server = sync.folder, sync.account, sync.server
    for kind, make, name in (("calendars", event, "calendar"), ("contacts", card, "addressbook")):
        suffix = ".ics" if kind == "calendars" else ".vcf"
        (folder / kind / name).mkdir()
        for number in range(EACH // 2):
            (folder / kind / name / f"local-{number}{suffix}").write_text(make(number), newline="")
        (folder / f"start{suffix}").write_text(whole(kind, make), newline="")
        server.command("import", "--user", account.name, str(folder / f"start{suffix}"))

    # discovering makes what is missing on either side
    (folder / "calendars/private").mkdir()
    (folder / "calendars/private/color").write_text("#aa00bb")
    sync.run("discover", answers="y\n" * 10)
    assert (folder / "calendars/tasks").is_dir()
    assert "<href>" in sync.request("PROPFIND", "private/", None, Depth="0").replace("D:href", "href")

    sync.run("sync")
    sync.run("metasync")
    names = {("calendars", "calendar"): "event", ("contacts", "addressbook"): "card"}
    for (kind, name), word in names.items():
        assert set(sync.here(f"{kind}/{name}")) == {f"{word}-{number}" for number in range(EACH)}
        assert sync.there(name) == sync.here(f"{kind}/{name}")
    (folder / "calendars/private/displayname").write_text("Private things")
    sync.run("metasync")
    assert "Private things" in sync.request("PROPFIND", "private/", shown("displayname", "DAV:"), Depth="0")
    color = shown("calendar-color", "http://apple.com/ns/ical/")
    assert "#aa00bb" in sync.request("PROPFIND", "private/", color, Depth="0").lower()

    # edits, additions and deletions on both sides, and one event and one card changed on both
    for kind, name, make, word in (
        ("calendars", "calendar", event, "event"), ("contacts", "addressbook", card, "card"),
    ):  # fmt: skip
        suffix = ".ics" if kind == "calendars" else ".vcf"
        for number in range(10):
            sync.file(f"{kind}/{name}", f"{word}-{number}").write_text(make(number, "Here"), newline="")
            sync.file(f"{kind}/{name}", f"{word}-{20 + number}").unlink()
            (folder / kind / name / f"new-{number}{suffix}").write_text(make(2000 + number), newline="")
        known = {uid(text): href for href, text in sync.names(name).items()}
        for number in range(500, 510):
            sync.request("PUT", known[f"{word}-{number}"], make(number, "There"))
            sync.request("DELETE", known[f"{word}-{20 + number}"])
            sync.request("PUT", f"{name}/added-{number}{suffix}", make(2500 + number))
        sync.request("PUT", known[f"{word}-100"], make(100, "There"))
        sync.file(f"{kind}/{name}", f"{word}-100").write_text(make(100, "Here"), newline="")
        sync.request("PUT", known[f"{word}-101"], make(101, "There"))
        sync.file(f"{kind}/{name}", f"{word}-101").unlink()
    sync.run("sync")
    for (kind, name), word in names.items():
        here, there = sync.here(f"{kind}/{name}"), sync.there(name)
        assert here == there
        gone = {f"{word}-{number}" for number in (*range(20, 30), *range(520, 530))}
        added = {f"{word}-{number}" for number in (*range(2000, 2010), *range(3000, 3010))}
        assert set(here) == {f"{word}-{number}" for number in range(EACH)} - gone | added
        assert all("Here" in here[f"{word}-{number}"] for number in range(10))
        assert all("There" in here[f"{word}-{number}"] for number in range(500, 510))
        assert ("There" if name == "calendar" else "Here") in here[f"{word}-100"]
        assert "There" in here[f"{word}-101"]  # what was changed wins over the deletion

    # the next synchronisation finds nothing to do
    before = {path: path.stat().st_mtime_ns for path in folder.glob("c*/*/*")}
    revisions = [tokens(sync, tree) for tree in ("calendar/", "addressbook/")]
    said = sync.run("sync")
    assert not re.search(r"Copying|Deleting|Uploading", said), said
    assert {path: path.stat().st_mtime_ns for path in folder.glob("c*/*/*")} == before
    assert [tokens(sync, tree) for tree in ("calendar/", "addressbook/")] == revisions

    # names and colours go the other way too
    sync.request(
        "PROPPATCH",
        "calendar/",
        '<propertyupdate xmlns="DAV:"><set><prop><displayname>Büro</displayname>'
        '<calendar-color xmlns="http://apple.com/ns/ical/">#00FF00FF</calendar-color></prop></set></propertyupdate>',
    )
    sync.run("metasync")
    assert (folder / "calendars/calendar/displayname").read_text() == "Büro"
    assert (folder / "calendars/calendar/color").read_text().lower() in ("#00ff00", "#00ff00ff")

    khal_reads(sync)


def whole(kind: str, make: Callable[[int], str]) -> str:
    """One file with the second half."""
    texts = [make(number) for number in range(EACH // 2, EACH)]
    if kind == "contacts":
        return "".join(texts)
    events = [text[text.index("BEGIN:VEVENT") : text.index("END:VCALENDAR")] for text in texts]
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\n{''.join(events)}END:VCALENDAR\r\n"


def shown(name: str, namespace: str) -> str:
    """The body of a PROPFIND for one property."""
    return f'<propfind xmlns="DAV:"><prop><{name} xmlns="{namespace}"/></prop></propfind>'


def tokens(sync: Sync, path: str) -> list[str]:
    """What moves when something in a collection changes."""
    answer = sync.request(
        "PROPFIND",
        path,
        '<propfind xmlns="DAV:"><prop><sync-token/><getctag xmlns="http://calendarserver.org/ns/"/></prop></propfind>',
        Depth="0",
    )
    found = re.findall(r"<[DS]:(?:sync-token|getctag)>(.*?)<", answer)
    assert len(found) == 2, answer
    return found


def khal_reads(sync: Sync) -> None:
    """khal shows the events of the folder."""
    config = sync.folder / "khal.conf"
    config.write_text(
        f"[calendars]\n[[work]]\npath = {sync.folder}/calendars/calendar\n"
        f"[sqlite]\npath = {sync.folder}/khal.db\n[locale]\nlocal_timezone = UTC\ndefault_timezone = UTC\n"
        "dateformat = %Y-%m-%d\nlongdateformat = %Y-%m-%d\ndatetimeformat = %Y-%m-%d %H:%M\n"
        "longdatetimeformat = %Y-%m-%d %H:%M\ntimeformat = %H:%M\n"
    )
    done = subprocess.run(
        [sync.programs / "khal", "-c", config, "list", "2026-01-01", "2026-01-02", "--format", "{title}"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = {
        re.search(r"SUMMARY:(.*?)\r", text)[1]  # type: ignore[index]
        for text in sync.here("calendars/calendar").values() if "DTSTART:20260101" in text
    }  # fmt: skip
    assert expected
    assert expected <= set(done.stdout.splitlines()), done.stdout


def test_people_invite_and_answer_by_their_folders(
    programs: Path, tmp_path: Path, three: list[Account], interop_server: ServerProcess
) -> None:
    """The server adds to what is uploaded: that comes back once, and is no conflict."""
    ann, ben = three[:2]
    syncs: list[Sync] = []
    for person in (ann, ben):
        (tmp_path / person.name).mkdir()
        made = Sync(programs, tmp_path / person.name, person, interop_server)
        made.run("discover", answers="y\n" * 10)
        made.run("sync", "calendars")
        syncs.append(made)
    own, copy = syncs
    people = f"ORGANIZER:mailto:{ann.email}\r\nATTENDEE:mailto:{ann.email}\r\nATTENDEE:mailto:{ben.email}\r\n"
    path = own.folder / "calendars/calendar/plan.ics"
    path.write_text(event(1).replace("END:VEVENT", f"{people}END:VEVENT"), newline="")

    for _ in range(2):
        own.run("sync", "calendars")
    assert "SCHEDULE-STATUS=1.2" in unfolded(own.here("calendars/calendar")["event-1"])
    said = own.run("sync", "calendars")
    assert not re.search(r"Copying|Deleting|Uploading|onflict", said), said

    copy.run("sync", "calendars")
    file = copy.file("calendars/calendar", "event-1")
    text = unfolded(file.read_bytes().decode())
    (line,) = [each for each in text.splitlines() if each.endswith(f"mailto:{ben.email}")]
    file.write_text(text.replace(line, f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{ben.email}"), newline="")
    for _ in range(2):
        for each in (copy, own):
            each.run("sync", "calendars")
    for each in (own, copy):
        found = unfolded(each.here("calendars/calendar")["event-1"])
        (line,) = [line for line in found.splitlines() if line.endswith(f"mailto:{ben.email}")]
        assert "PARTSTAT=ACCEPTED" in line
        said = each.run("sync", "calendars")
        assert not re.search(r"Copying|Deleting|Uploading|onflict", said), said

    path.unlink()
    own.run("sync", "--force-delete", "calendars")  # since it was the only one
    copy.run("sync", "calendars")
    assert "event-1" not in own.here("calendars/calendar")
    assert "STATUS:CANCELLED" in copy.here("calendars/calendar")["event-1"]


def unfolded(text: str) -> str:
    return text.replace("\r\n ", "")
