"""TLS, Unix sockets and proxies, on a real server."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.server_process import COMMAND, ServerProcess, free_port, running

PATIENCE = 30.0
PEOPLE = {"principals": [{"kind": "individual", "name": "ada", "password": "secret"}]}
BASIC = "Basic " + base64.b64encode(b"ada:secret").decode()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


class Files:
    """A certificate and its key where the server looks for them."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"

    def issue(self) -> None:
        """Replace them by others."""
        made = self.authority.issue_cert("127.0.0.1", "localhost")
        self.key.write_bytes(made.private_key_pem.bytes())
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


class TlsServer(ServerProcess):
    """A server whose port speaks TLS."""

    def answers(self) -> bool:
        try:
            connection = ssl._create_unverified_context().wrap_socket(
                socket.create_connection(("127.0.0.1", self.port), timeout=5)
            )
        except OSError:
            return False
        connection.close()
        return True


def serial(files: Files, port: int) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        files.context().wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        found = secured.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TlsServer, Files]]:
    folder = tmp_path_factory.mktemp("network")
    files = Files(folder)
    files.issue()
    (folder / "people.json").write_text(json.dumps(PEOPLE))
    settings = {
        "network.workers": 2,
        "network.tls_cert": files.certificate,
        "network.tls_key": files.key,
        "network.host": "localhost",
    }
    server = TlsServer(folder / "data", folder / "server.log", settings)
    server.command("principals", "load", str(folder / "people.json"))
    with running(server):
        yield server, files


def test_over_tls_people_sign_in_and_browsers_are_told_to_stay(secured: tuple[TlsServer, Files]) -> None:
    server, files = secured
    connection = http.client.HTTPSConnection("localhost", server.port, context=files.context(), timeout=PATIENCE)
    connection.request("GET", "/", headers={"Authorization": BASIC, "Accept": "text/html"})
    answer = connection.getresponse()
    assert answer.status == 200
    headers = answer.headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= set(
        headers["Content-Security-Policy"].split("; ")
    )
    connection.close()
    until(lambda: f"https://127.0.0.1:{server.port}" in server.log.read_text())


@pytest.mark.parametrize(
    ("version", "works"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
def test_tls_1_2_and_1_3_are_spoken(secured: tuple[TlsServer, Files], version: ssl.TLSVersion, works: bool) -> None:
    server, files = secured
    assert speaks(server.port, files, version) is works


def speaks(port: int, files: Files, version: ssl.TLSVersion) -> bool:
    context = files.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
    except ssl.SSLError:
        return False


def test_a_hang_up_loads_the_certificate_and_no_connection_ends(secured: tuple[TlsServer, Files]) -> None:
    server, files = secured
    kept = [
        http.client.HTTPSConnection("localhost", server.port, context=files.context(), timeout=PATIENCE)
        for _ in range(6)
    ]

    def everyone_is_answered() -> None:
        for connection in kept:
            connection.request("GET", "/", headers={"Authorization": BASIC})
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()

    everyone_is_answered()
    ends = [connection.sock for connection in kept]
    before = serial(files, server.port)
    files.issue()
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    # every worker: the old one is never seen again
    until(lambda: all(serial(files, server.port) != before for _ in range(12)))
    everyone_is_answered()
    assert [connection.sock for connection in kept] == ends
    for connection in kept:
        connection.close()


def test_a_certificate_that_is_none_is_refused_and_the_old_one_stays(secured: tuple[TlsServer, Files]) -> None:
    server, files = secured
    before = serial(files, server.port)
    good = files.key.read_bytes()
    files.key.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.log.read_text().count("certificate_refused") == 2)
    assert {serial(files, server.port) for _ in range(6)} == {before}
    files.key.write_bytes(good)


def test_handshakes_that_stop_delay_nobody(secured: tuple[TlsServer, Files]) -> None:
    server, files = secured
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(20)]
    try:
        assert serial(files, server.port)
    finally:
        for each in silent:
            each.close()


def test_tls_1_3_can_be_demanded_and_a_stop_does_not_wait_for_handshakes(
    tmp_path: Path, secured: tuple[TlsServer, Files]
) -> None:
    server, files = secured
    strict = TlsServer(
        server.data, tmp_path / "log", dict(server.settings) | {"network.tls_version": "1.3", "network.workers": 1}
    )
    with running(strict):
        assert not speaks(strict.port, files, ssl.TLSVersion.TLSv1_2)
        assert speaks(strict.port, files, ssl.TLSVersion.TLSv1_3)
        silent = socket.create_connection(("127.0.0.1", strict.port), timeout=PATIENCE)
        silent.sendall(b"\x16")
        assert strict.stop(25) == 0
        silent.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network.tls_cert": "x"}, "network.tls_cert and network.tls_key belong together"),
        ({"network.tls_cert": "/nowhere/c.pem", "network.tls_key": "/nowhere/k.pem"}, "cannot be read: No such file"),
        ({"network.tls_cert": "{none}", "network.tls_key": "{none}"}, "no PEM certificate"),
        ({"network.unix_socket": "{none}"}, "in use or no socket"),
        ({"network.unix_socket": "/nowhere/koyomi.sock"}, "No such file or directory"),
    ],
)
def test_what_cannot_work_is_named_at_the_start(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    none = tmp_path / "none"
    none.write_text("nothing")
    chosen = {name: value.format(none=none) for name, value in settings.items()}
    environment = ServerProcess(tmp_path / "data", tmp_path / "log", chosen).environment
    done = subprocess.run([COMMAND, "serve"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self.path))


def test_a_unix_socket_for_a_proxy(tmp_path: Path, short_folder: Path) -> None:
    path = short_folder / "http.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))  # left by a server that was killed
    (tmp_path / "people.json").write_text(json.dumps(PEOPLE))
    settings = {
        "network.workers": 2,
        "network.unix_socket": path,
        "sign_in.remote_user_header": "Remote-User",
        "log.access_log": True,
    }
    server = ServerProcess(tmp_path / "data", tmp_path / "server.log", settings)
    server.command("principals", "load", str(tmp_path / "people.json"))
    with running(server):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660

        def status(**headers: str) -> int:
            connection = UnixConnection(path)
            try:
                connection.request("GET", "/", headers={name.replace("_", "-"): text for name, text in headers.items()})
                return connection.getresponse().status
            finally:
                connection.close()

        assert status() == 401
        assert status(Authorization=BASIC) == 200
        assert status(Remote_User="ada", X_Forwarded_For="192.0.2.7") == 200
        until(lambda: '"address": "192.0.2.7"' in server.log.read_text())
        # by TCP nobody is believed
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.request("GET", "/", headers={"Remote-User": "ada"})
        assert connection.getresponse().status == 401
        connection.close()
        other = ServerProcess(tmp_path / "data", tmp_path / "other.log", settings)
        done = subprocess.run(
            [COMMAND, "serve"], env=other.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert re.search(r"Unix socket .* is in use", done.stderr)
    assert not path.exists()


def test_both_protocols_of_the_internet(tmp_path: Path) -> None:
    server = ServerProcess(
        tmp_path / "data",
        tmp_path / "log",
        {"network.workers": 1, "network.host": "::", "monitoring.port": free_port()},
    )
    with running(server):
        for host in ("127.0.0.1", "::1"):
            connection = http.client.HTTPConnection(host, server.port, timeout=PATIENCE)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()
