"""vdirsyncer, which keeps a folder in step with a calendar while the server is under load, stopped, or another one."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from tests.e2e.calendar_texts import event
from tests.e2e.http_connection import Connection
from tests.e2e.sync_client import listing
from tests.interop.environments import VDIRSYNCER, environment

CONFIG = """
[general]
status_path = "{folder}/status/"

[pair calendars]
a = "server"
b = "folder"
collections = ["calendar"]
conflict_resolution = "a wins"

[storage server]
type = "caldav"
url = "http://127.0.0.1:{port}/"
username = "{name}"
password = "{name}"

[storage folder]
type = "filesystem"
path = "{folder}/calendars/"
fileext = ".ics"
"""


class VdirsyncerCopy:
    """A person's folder, into which they put events of their own while others write to the server."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.programs = environment(*VDIRSYNCER)
        self.folder, self.name, self.port = folder, name, port
        self.events = folder / "calendars" / "calendar"
        self.events.mkdir(parents=True)
        self.own: list[str] = []
        """UIDs of the person's own events."""
        self.configured = 0
        self.failed = 0
        """Runs that ended with an error: the server was away, or an event went between its listing and its reading."""

    def sync_once(self) -> str:
        """One run; gives what it says when it fails, else nothing."""
        if self.configured != self.port:
            (self.folder / "config").write_text(CONFIG.format(folder=self.folder, port=self.port, name=self.name))
            if said := self._run("discover"):
                return said
            self.configured = self.port
        return self._run("sync")

    def _run(self, command: str) -> str:
        done = subprocess.run(
            [self.programs / "vdirsyncer", "--config", self.folder / "config", command],
            input="y\n" * 10, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        return done.stdout + done.stderr if done.returncode else ""

    def add(self) -> None:
        """Put another event into the folder."""
        uid = f"own-{len(self.own)}"
        (self.events / f"{uid}.ics").write_text(event(uid), newline="")
        self.own.append(uid)

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Add events and synchronise, again and again, until the context ends; the first time before it begins."""
        self.add()
        assert await asyncio.to_thread(self.sync_once) == ""
        over = asyncio.Event()

        async def go_on() -> None:
            while not over.is_set():
                self.add()
                self.failed += bool(await asyncio.to_thread(self.sync_once))

        async with asyncio.TaskGroup() as group:
            group.create_task(go_on())
            try:
                yield
            finally:
                over.set()

    async def ends_equal(self, *, complete: bool = True) -> None:
        """Synchronise once more, without an error, and compare both sides; `complete`: the person has lost nothing."""
        assert await asyncio.to_thread(self.sync_once) == ""
        here = {_uid(text): _lines(text) for text in (path.read_text() for path in self.events.glob("*.ics"))}
        http = Connection(self.port, self.name, self.name)
        there = {}
        for href in await listing(http, f"/calendars/users/{self.name}/calendar/", infinite=False):
            text = (await http.request("GET", href)).body.decode()
            there[_uid(text)] = _lines(text)
        http.drop()
        assert here == there
        if complete:
            assert set(self.own) <= set(there)


def _uid(text: str) -> str:
    found = re.search(r"^UID:(.*?)\r?$", text, re.MULTILINE)
    assert found, text
    return found[1]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]
