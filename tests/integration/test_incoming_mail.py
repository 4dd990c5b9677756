"""Mail that a real server receives by LMTP and by `koyomi imip`."""

from __future__ import annotations

import base64
import http.client
import json
import smtplib
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses
from pathlib import Path

import pytest

from server.commands.imip import TEMPORARY
from tests.integration.test_network import until
from tests.server_process import COMMAND, ServerProcess, free_port, running
from tests.unit.services.incoming_mail_world import ANNA, DORA, GUS, HERE, mail, meeting, reply, request

LEA = "lea@example.com"
PEOPLE = {
    "principals": [
        {"kind": "individual", "name": name, "password": "secret", "emails": [address]}
        for name, address in (("anna", ANNA), ("lea", LEA))
    ]
}
INBOX = "/calendars/users/anna/inbox/"
MEETING = "/calendars/users/anna/calendar/m.ics"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, settings_of_a_database: dict[str, object]
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("mail")
    people = folder / "people.json"
    people.write_text(json.dumps(PEOPLE))
    settings = {
        **settings_of_a_database,
        "network.workers": 2,
        "monitoring.port": free_port(),
        "mail.address": "calendar@example.com",
        "mail.incoming.authserv_id": HERE,
        "mail.incoming.lmtp_socket": folder / "lmtp",
        "mail.incoming.lmtp_listen": f"127.0.0.1:{free_port()}",
    }
    made = ServerProcess(folder / "data", folder / "log", settings)
    made.command("principals", "load", str(people))
    with running(made):
        yield made


def ask(server: ServerProcess, method: str, path: str, body: str = "", who: str = "anna") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        basic = base64.b64encode(f"{who}:secret".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "text/calendar"}
        connection.request(method, path, body.encode() or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def partstat(server: ServerProcess) -> str:
    text = ask(server, "GET", MEETING)[1].replace("\r\n ", "")
    return next(line for line in text.splitlines() if line.startswith("ATTENDEE") and line.endswith(DORA))


def answered(server: ServerProcess, value: str) -> bool:
    return f"PARTSTAT={value}" in partstat(server)


def test_answers_arrive_by_lmtp_and_by_the_command(server: ServerProcess) -> None:
    assert ask(server, "PUT", MEETING, meeting(DORA))[0] == 201
    host, _, port = str(server.settings["mail.incoming.lmtp_listen"]).rpartition(":")
    with smtplib.LMTP(host, int(port), timeout=30) as client:
        assert client.sendmail("x@contoso.example", [ANNA], mail(reply())) == {}
    assert answered(server, "ACCEPTED")
    with smtplib.LMTP(str(server.settings["mail.incoming.lmtp_socket"]), timeout=30) as client:
        client.sendmail("x@contoso.example", [ANNA], mail(reply(partstat="TENTATIVE", dtstamp="20260303T000000Z")))
        assert client.sendmail("x@contoso.example", [ANNA], b"From: x@contoso.example\r\n\r\nHello\r\n") == {}
    assert answered(server, "TENTATIVE")
    assert deliver(server, bytes(20_000_000)).returncode == 0
    data = b"Return-Path: <x@contoso.example>\r\n" + mail(reply(partstat="DECLINED", dtstamp="20260304T000000Z"))
    assert deliver(server, data).returncode == 0
    assert answered(server, "DECLINED")
    until(lambda: 'koyomi_incoming_mail_messages_total{outcome="applied"} 2.0' in metrics(server))


def metrics(server: ServerProcess) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", int(str(server.settings["monitoring.port"])), timeout=30)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def deliver(server: ServerProcess, data: bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    words = [COMMAND, "imip", "deliver", ANNA]
    return subprocess.run(words, env=server.environment | environment, input=data, capture_output=True, check=False)


def test_a_mail_is_not_consumed_without_a_database(server: ServerProcess, tmp_path: Path) -> None:
    nowhere = f"postgresql://nobody@/none?host={tmp_path}"
    done = deliver(server, mail(reply()), KOYOMI_STORAGE_DATABASE=nowhere)
    assert done.returncode == TEMPORARY
    assert b"Not received: " in done.stderr
    assert deliver(server, mail(reply()), KOYOMI_MAIL_INCOMING_INVITATIONS="sometimes").returncode == TEMPORARY


def test_held_messages_are_listed_accepted_and_dropped(server: ServerProcess) -> None:
    for number in range(2):
        assert deliver(server, mail(request(ANNA, uid=f"held{number}"), results="")).returncode == 0
    rows = [line.split() for line in server.command("imip", "pending").splitlines() if line[:1].isdigit()]
    assert [row[1] for row in rows] == ["anna", "anna"]
    assert all({"untrusted", DORA, "REQUEST", "Plan"} <= set(row) for row in rows)
    first, second = (row[0] for row in rows)
    assert server.command("imip", "pending", "--accept", first, "--drop", second).splitlines() == [
        f"{first} is accepted: 1.2",
        f"{second} is dropped.",
    ]
    assert not [line for line in server.command("imip", "pending").splitlines() if line[:1].isdigit()]
    with pytest.raises(RuntimeError, match="No held message"):
        server.command("imip", "pending", "--accept", first)


def test_a_person_lets_others_act(server: ServerProcess) -> None:
    assert server.command("imip", "allow", "anna", GUS.upper(), "b&c@x.example").split() == ["b&c@x.example", GUS]
    assert server.command("imip", "allow", "anna", "--remove", "b&c@x.example").split() == [GUS]
    assert deliver(server, mail(request(ANNA, uid="by-gus"), GUS)).returncode == 0
    assert "by-gus" not in server.command("imip", "pending")
    with pytest.raises(RuntimeError, match="no mail address"):
        server.command("imip", "allow", "anna", "no address")


def test_answers_to_somebody_who_has_left_reach_who_organizes_the_meeting_now(
    server: ServerProcess, tmp_path: Path
) -> None:
    text = meeting(DORA, GUS, by=LEA, uid="left").replace("DTSTART:2026", "DTSTART:2099")
    assert ask(server, "PUT", "/calendars/users/lea/calendar/left.ics", text, "lea")[0] == 201

    def sent() -> dict[str, Message]:
        mails = [message_from_bytes(path.read_bytes()) for path in (server.data / "mail").glob("*.eml")]
        return {address: each for each in mails for _, address in getaddresses([str(each["To"])])}

    until(lambda: {DORA, GUS} <= set(sent()))
    (tagged,) = [address for _, address in getaddresses([str(sent()[DORA]["Reply-To"])])]
    told = server.command("user", "delete", "lea", "--purge", "--hand-over-to", "anna", "--erase")
    assert "Meetings handed over to anna: 1" in told
    for answer, sender, to, results in (
        # One answers to the tagged address, the other to the address of who has left.
        (reply(organizer=LEA, uid="left"), "x@home.example", tagged, ""),
        (reply(GUS, organizer=LEA, uid="left"), GUS, LEA, None),
    ):
        with smtplib.LMTP(str(server.settings["mail.incoming.lmtp_socket"]), timeout=30) as client:
            client.sendmail(sender, [to], mail(answer, sender, results))
    server.command("export", str(tmp_path), "--user", "anna")
    (text,) = [found for path in tmp_path.rglob("*.ics") if "UID:left" in (found := path.read_bytes().decode())]
    lines = text.replace("\r\n ", "").splitlines()
    assert [line for line in lines if line.startswith("ORGANIZER")] == [f"ORGANIZER;CN=anna:mailto:{ANNA}"]
    answers = [line for line in lines if line.startswith("ATTENDEE") and line.endswith((DORA, GUS))]
    assert ["PARTSTAT=ACCEPTED" in line for line in answers] == [True, True]
    assert "lea" not in text
