"""`koyomi doctor` finds what is wrong with a real server, directly and behind a real proxy, and says what mends it."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from server.diagnosis.installation import expiry
from server.domain.errors import ConfigurationError
from server.process.tls import validity
from server.settings.explain import variable
from tests.server_process import COMMAND, ServerProcess, free_port, running

PEOPLE = {"principals": [{"kind": "individual", "name": "ada", "password": "pw"}]}


def doctor(
    server: ServerProcess, *options: str, password: str = "pw", settings: Mapping[str, object] | None = None
) -> tuple[int, str]:
    """Exit status and output, with further settings by option name."""
    environment = server.environment | {variable(name): str(value) for name, value in (settings or {}).items()}
    done = subprocess.run(
        [COMMAND, "doctor", *options],
        env=environment,
        input=password + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "people.json").write_text(json.dumps(PEOPLE))
    made = ServerProcess(folder / "data", folder / "server.log", {"network.workers": 1})
    made.command("principals", "load", str(folder / "people.json"))
    with running(made):
        yield made


class Proxy(http.server.BaseHTTPRequestHandler):
    """A small reverse proxy."""

    protocol_version = "HTTP/1.1"
    backend = 0
    prefix = ""
    """The path that it hands on."""
    well_known = True
    refused: tuple[str, ...] = ()
    location = ""
    """What it makes of a Location."""
    principals = b"/principals/"
    """What it makes of the path of principals in bodies."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        mine = self.path.startswith(self.prefix + "/") or (self.well_known and self.path.startswith("/.well-known/"))
        if not mine or self.command in self.refused:
            self.answer(405 if mine else 404, {}, b"")
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.backend, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "host")}
        connection.request(self.command, self.path, body or None, {**headers, "X-Forwarded-For": "192.0.2.1"})
        answer = connection.getresponse()
        kept = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "content-length")
        }
        if self.location and "Location" in kept:
            kept["Location"] = self.location
        self.answer(answer.status, kept, answer.read().replace(b">/principals/", b">" + self.principals))
        connection.close()

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_OPTIONS = do_PROPFIND = do_REPORT = hand_on


def proxy(backend: int, **settings: object) -> http.server.ThreadingHTTPServer:
    kind = type("Configured", (Proxy,), {"backend": backend, **settings})
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


def test_a_sound_server_has_no_problem(server: ServerProcess) -> None:
    status, said = doctor(server, "--user", "ada", "--password-stdin")
    assert (status, said.splitlines()[-1]) == (0, "All is well.")
    for sign in (
        "ok      settings:",
        "ok      disk:",
        "ok      database: PostgreSQL",
        "ok      time zones: zone data",
        f"ok      server at {server.url}: answers, and asks for a password",
        f"ok      /.well-known/caldav: leads to {server.url}/",
        f"ok      /.well-known/carddav: leads to {server.url}/",
        f"ok      principal: {server.url}/principals/__uids__/",
        f"ok      calendar home: {server.url}/calendars/__uids__/",
        f"ok      address-book home: {server.url}/addressbooks/__uids__/",
    ):
        assert sign in said
    assert "pw" not in said.replace("pwd", "")


def test_a_wrong_login_is_told(server: ServerProcess) -> None:
    status, said = doctor(server, "--user", "ada", "--password-stdin", password="wrong")
    assert status == 1
    assert "the login is not accepted" in said


def test_a_server_that_is_down_is_told(server: ServerProcess) -> None:
    status, said = doctor(server, "--url", f"http://127.0.0.1:{free_port()}")
    assert status == 1
    assert "it does not answer" in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, None),
        ({"well_known": False}, "let the proxy hand on /.well-known/caldav too, beside /koyomi/"),
        ({"refused": ("PROPFIND",)}, "let the proxy hand on all methods"),
        ({"location": "http://inside.example/"}, "leads away, to http://inside.example/"),
    ],
)
def test_behind_a_proxy_with_a_prefix(server: ServerProcess, wrong: dict[str, object], said: str | None) -> None:
    settings = {
        "network.workers": 1,
        "network.external_url": "https://cal.example/koyomi",
        "network.trusted_proxies": "127.0.0.1",
    }
    behind = ServerProcess(server.data, server.log, settings)
    with running(behind):
        made = proxy(behind.port, prefix="/koyomi", **wrong)
        url = f"http://127.0.0.1:{made.server_address[1]}/koyomi"
        try:
            status, text = doctor(behind, "--url", url, "--user", "ada", "--password-stdin")
        finally:
            made.shutdown()
            made.server_close()
    if said is None:
        assert (status, text.splitlines()[-1]) == (0, "All is well.")
        assert f"calendar home: {url}/calendars/__uids__/" in text
    else:
        assert status == 1
        assert said in text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network.host": "0.0.0.0"}, "without TLS nobody elsewhere can sign in"),
        ({"network.external_url": "https://cal.example"}, "external_url is https, but no proxy is trusted"),
        ({"network.trusted_proxies": "0.0.0.0/0"}, "everyone may claim any address"),
        ({"sign_in.basic_auth_insecure": "true"}, "WARNING settings: sign_in.basic_auth_insecure"),
        ({"network.workers": 40}, "connections, and 615 may be wanted"),
        (
            {"storage.database": "postgresql://nobody@127.0.0.1:1/none"},
            "PROBLEM database: The database does not answer",
        ),
    ],
)
def test_settings_that_contradict_each_other(server: ServerProcess, settings: dict[str, object], said: str) -> None:
    _, text = doctor(server, "--url", server.url, settings=settings)
    assert said in text


def test_certificates_near_their_end(server: ServerProcess, tmp_path: Path) -> None:
    authority = trustme.CA()
    for days, said in (
        (-1, "has expired"),
        (5, "WARNING certificate: expires on"),
        (90, "ok      certificate: is valid"),
    ):
        made = authority.issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(days=days))
        (tmp_path / "both.pem").write_bytes(made.private_key_and_cert_chain_pem.bytes())
        files = {"network.tls_cert": tmp_path / "both.pem", "network.tls_key": tmp_path / "both.pem"}
        assert said in doctor(server, "--url", server.url, settings=files)[1]
    os.truncate(tmp_path / "both.pem", 300)
    assert "no PEM certificate and its key" in doctor(server, "--url", server.url, settings=files)[1]


def test_dates_of_certificates(tmp_path: Path) -> None:
    for year in (2049, 2050, 2120):  # UTCTime, then GeneralizedTime
        end = datetime(year, 6, 30, 12, 0, 5, tzinfo=UTC)
        made = trustme.CA().issue_cert("localhost", not_after=end)
        (tmp_path / "cert.pem").write_bytes(made.cert_chain_pems[0].bytes())
        assert validity(tmp_path / "cert.pem")[1] == end
    whole = (tmp_path / "cert.pem").read_text()
    for text in (
        "",
        "nothing",
        whole[:400],
        whole.replace("MII", "///", 1),
        "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----",
    ):
        (tmp_path / "cert.pem").write_text(text)
        with pytest.raises(ConfigurationError):
            validity(tmp_path / "cert.pem")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert expiry("x", tomorrow, tomorrow + timedelta(days=90)).level == "problem"


def test_what_is_wrong_with_the_database(server: ServerProcess, database: str) -> None:
    """The tests' cluster does not wait for the disk, and this database has no newer zone data than ours."""
    status, said = doctor(server, "--url", server.url, settings={"storage.database": database})
    assert status == 1
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        assert f"PROBLEM database: {name} is off" in said
    environment = server.environment | {"KOYOMI_STORAGE_DATABASE": database, "KOYOMI_NETWORK_PORT": "0"}
    done = subprocess.run([COMMAND, "serve"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "storage.unsafe" in done.stderr


def test_the_login_is_sent_to_no_other_server(server: ServerProcess) -> None:
    asked: list[str | None] = []

    class Elsewhere(Proxy):
        def hand_on(self) -> None:
            asked.append(self.headers["Authorization"])
            self.answer(207, {}, b"")

        do_GET = do_OPTIONS = do_PROPFIND = hand_on

    elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    foreign = f"http://127.0.0.1:{elsewhere.server_address[1]}/principals/"
    made = proxy(server.port, principals=foreign.encode())
    try:
        url = f"http://127.0.0.1:{made.server_address[1]}"
        status, said = doctor(server, "--url", url, "--user", "ada", "--password-stdin")
    finally:
        for each in (made, elsewhere):
            each.shutdown()
            each.server_close()
    assert status == 1
    assert f"PROBLEM principal: {foreign}" in said
    assert not [header for header in asked if header is not None]
