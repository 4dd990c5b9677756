"""Mails are held after a restore (`koyomi mail`)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.test_backup import CALENDAR, Client
from tests.integration.test_network import until
from tests.server_process import ServerProcess, free_port, running

PEOPLE = {"principals": [{"kind": "individual", "name": "ada", "emails": ["ada@example.org"], "password": "pw"}]}
SETTINGS = {"network.workers": 1, "network.external_url": "https://one.example.org"}


def meeting(hour: int) -> str:
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\nBEGIN:VEVENT\r\nUID:m\r\nDTSTAMP:20260101T000000Z\r\n"
        f"DTSTART:20990105T{hour:02d}0000Z\r\nDURATION:PT1H\r\nSUMMARY:Plan\r\nORGANIZER:mailto:ada@example.org\r\n"
        "ATTENDEE:mailto:zoe@elsewhere.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )


def put(server: ServerProcess, hour: int) -> None:
    assert Client(server).ask("PUT", f"{CALENDAR}m.ics", meeting(hour))[0] in (201, 204)


def stored(server: ServerProcess) -> str:
    return (Client(server).get("m.ics") or "").replace("\r\n ", "")


def mails(server: ServerProcess) -> int:
    return len([*(server.data / "mail").glob("*.eml")])


def test_a_restored_backup_sends_nothing_by_itself(
    tmp_path: Path, settings_of_a_database: dict[str, object], empty_database: str
) -> None:
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    unreachable = {"mail.smtp_host": "127.0.0.1", "mail.smtp_port": free_port(), "mail.smtp_security": "none"}
    settings = {**SETTINGS, **settings_of_a_database}
    origin = ServerProcess(tmp_path / "data", tmp_path / "origin.log", {**settings, **unreachable})
    origin.command("principals", "load", str(tmp_path / "people.json"))
    with running(origin):
        put(origin, 9)
        origin.command("backup", str(tmp_path / "backup"))
    settings["storage.database"] = empty_database
    other = ServerProcess(tmp_path / "elsewhere", tmp_path / "other.log", settings)
    assert "koyomi mail status" in other.command("restore", "--from", str(tmp_path / "backup"))
    with running(other):
        said = other.command("mail", "status")
        assert "Waiting: 1, " in said
        assert "Held" in said
        assert "A backup was restored at" in said
        put(other, 10)
        assert "SEQUENCE:1000\r" in stored(other), "people elsewhere may know of later ones"
        put(other, 11)
        assert "SEQUENCE:1001\r" in stored(other)
        assert mails(other) == 0
        # Two, if the backup was made while the first was being sent, so that the second could not replace it.
        number = int(other.command("mail", "release").split()[0])
        assert number in (1, 2)
        until(lambda: "SCHEDULE-STATUS=1.1" in stored(other) and mails(other) >= number)
        assert mails(other) == number
        assert other.command("mail", "discard") == "0 mails were dropped.\n"
