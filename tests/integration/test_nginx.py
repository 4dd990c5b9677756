"""A real nginx in front, configured as `docs/operations.md` prints it: TLS, a path prefix, signing in."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
import trustme

from tests.integration.test_network import until
from tests.server_process import ServerProcess, free_port, running

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or ""
DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
HOST = "cal.example.org"
CLIENT = "127.0.0.2"
"""Address that the clients come from: another one than the proxy's."""
PEOPLE = {"principals": [{"kind": "individual", "name": "ada", "password": "secret"}]}
BASIC = "Basic " + base64.b64encode(b"ada:secret").decode()
EVENT = "\r\n".join(
    (
        "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", "UID:u", "DTSTAMP:20260101T000000Z",
        "DTSTART:20260101T000000Z", "END:VEVENT", "END:VCALENDAR", "",
    )
)  # fmt: skip

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed")


@dataclass(frozen=True, slots=True)
class Proxied:
    """A server behind nginx."""

    server: ServerProcess
    port: int
    plain: int
    """Where nginx answers without TLS."""
    context: ssl.SSLContext
    prefix: str

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
        connection = _Connection(self.port, self.context)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body.encode() or None, {"Host": HOST, "Authorization": BASIC} | named)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def property(self, path: str, prop: str) -> str:
        """The href in a property."""
        body = (
            '<propfind xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="urn:ietf:params:xml:ns:carddav">'
            f"<prop><{prop}/></prop></propfind>"
        )
        status, _, text = self.ask("PROPFIND", path, body, Depth="0")
        assert status == 207
        found = re.search(rf"{prop.rpartition(':')[2]}[^>]*><D:href>([^<]+)<", text)
        assert found is not None, text
        return found[1]


class _Connection(http.client.HTTPSConnection):
    """To nginx on this machine, under the name that its certificate has."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(HOST, port, context=context, timeout=30)

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout, (CLIENT, 0))
        self.sock = self._context.wrap_socket(plain, server_hostname=HOST)  # type: ignore[attr-defined]


def printed(start: str) -> str:
    """The one block of nginx that begins like this."""
    blocks = re.findall(r"^```nginx\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(start)]
    return found


@contextlib.contextmanager
def nginx(folder: Path, server: ServerProcess, *, prefix: str, signs_in: bool) -> Iterator[Proxied]:
    """nginx with what the document prints, but for ports and paths."""
    port, plain = free_port(), free_port()
    authority = trustme.CA()
    made = authority.issue_cert(HOST)
    certificate, key, passwords = folder / "cert.pem", folder / "key.pem", folder / "htpasswd"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    passwords.write_text("ada:{PLAIN}secret\n")
    block = printed("server {")
    whole = "    location / { proxy_pass http://127.0.0.1:5232; }\n"
    assert whole in block
    if prefix:
        block = block.replace(whole, printed("location /koyomi/"))
    if signs_in:
        block = block.removesuffix("}\n") + printed("auth_basic") + "}\n"
    for name, here in {
        "443 ssl": f"127.0.0.1:{port} ssl;\n    listen 127.0.0.1:{plain}",
        "/etc/ssl/cal.example.org.pem": str(certificate),
        "/etc/ssl/cal.example.org.key": str(key),
        "/etc/nginx/koyomi.htpasswd": str(passwords),
        "127.0.0.1:5232": f"127.0.0.1:{server.port}",
    }.items():
        block = block.replace(name, here)
    for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        block = f"{name}_temp_path {folder}/{name};\n{block}"
    # As root its workers would have another account, which may not enter the tests' folders.
    user = "user root;\n" if os.geteuid() == 0 else ""
    settings = folder / "nginx.conf"
    settings.write_text(
        f"{user}pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{block}}}\n"
    )
    process = subprocess.Popen([NGINX, "-c", settings, "-p", folder, "-g", "daemon off;"])
    context = ssl.create_default_context()
    authority.configure_trust(context)
    proxied = Proxied(server, port, plain, context, prefix)
    try:
        until(lambda: _answers(proxied, process))
        yield proxied
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _answers(proxied: Proxied, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    try:
        return bool(proxied.ask("GET", f"{proxied.prefix}/")[0])
    except OSError:
        return False


@pytest.fixture(scope="module", params=["", "/koyomi"], ids=["at the root", "under a prefix"])
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "people.json").write_text(json.dumps(PEOPLE))
    settings = {
        "network.workers": 2,
        "network.trusted_proxies": "127.0.0.1/32",
        "network.external_url": f"https://{HOST}{request.param}",
        "log.access_log": True,
    }
    server = ServerProcess(folder / "data", folder / "server.log", settings)
    server.command("principals", "load", str(folder / "people.json"))
    with running(server), nginx(folder, server, prefix=request.param, signs_in=False) as found:
        yield found


@pytest.mark.parametrize("service", ["caldav", "carddav"])
def test_the_way_of_a_client(proxied: Proxied, service: str) -> None:
    status, headers, _ = proxied.ask("PROPFIND", f"/.well-known/{service}", Depth="0", Authorization="")
    assert status in (301, 307, 308)
    place = headers["Location"].removeprefix(f"https://{HOST}")
    assert place == f"{proxied.prefix}/"
    assert proxied.ask("PROPFIND", place, Depth="0", Authorization="")[0] == 401, "passwords are asked for"
    principal = proxied.property(place, "current-user-principal")
    assert principal.startswith(f"{proxied.prefix}/principals/__uids__/")
    if service == "caldav":
        home, tree = proxied.property(principal, "C:calendar-home-set"), "calendars"
    else:
        home, tree = proxied.property(principal, "A:addressbook-home-set"), "addressbooks"
    assert home.startswith(f"{proxied.prefix}/{tree}/__uids__/")
    status, _, text = proxied.ask("PROPFIND", home, Depth="1")
    hrefs = re.findall(r"<D:response><D:href>([^<]+)<", text)
    assert status == 207
    assert len(hrefs) > 1
    assert all(href.startswith(home) for href in hrefs)


@pytest.mark.parametrize("name", ["a.ics", "%C3%A4%20&%20100%25.ics", "b%252Fc.ics"])
def test_writing_moving_and_reports(proxied: Proxied, name: str) -> None:
    home = f"{proxied.prefix}/calendars/users/ada"
    path, other = f"{home}/calendar/{name}", f"{home}/other/moved.ics"
    proxied.ask("MKCALENDAR", f"{home}/other/")
    status, headers, _ = proxied.ask("PUT", path, EVENT, Content_Type="text/calendar")
    assert status == 201
    assert proxied.ask("GET", path)[1]["ETag"] == headers["ETag"]
    for origin in ("", f"https://{HOST}", f"https://{HOST}:443"):
        assert proxied.ask("MOVE", path, Destination=origin + other)[0] == 201
        assert proxied.ask("GET", path)[0] == 404
        assert proxied.ask("MOVE", other, Destination=origin + path)[0] == 201
    body = (
        '<C:calendar-multiget xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><prop><getetag/></prop>'
        f"<href>{escape(path)}</href></C:calendar-multiget>"
    )
    status, _, text = proxied.ask("REPORT", f"{home}/calendar/", body)
    assert status == 207
    (href,) = re.findall(r"<D:href>([^<]+)<", text)
    assert unquote(unescape(href)) == unquote(path)
    assert headers["ETag"].strip('"') in text
    assert proxied.ask("DELETE", path)[0] == 204


def test_the_client_is_who_came_to_the_proxy(proxied: Proxied) -> None:
    for forwarded in ("192.0.2.7", "192.0.2.7, 127.0.0.1", "nonsense"):
        assert proxied.ask("GET", f"{proxied.prefix}/", X_Forwarded_For=forwarded)[0] == 200
    until(lambda: f'"address": "{CLIENT}"' in proxied.server.log.read_text())
    assert "192.0.2.7" not in proxied.server.log.read_text(), "not who the client says that it is"


def test_the_proxy_says_how_clients_came(proxied: Proxied) -> None:
    """Over TLS browsers are told to stay with it; in clear no password is asked for or taken."""
    status, headers, _ = proxied.ask("GET", f"{proxied.prefix}/")
    assert (status, headers["Strict-Transport-Security"]) == (200, "max-age=31536000")
    for authorization in ({}, {"Authorization": BASIC}):
        connection = http.client.HTTPConnection("127.0.0.1", proxied.plain, timeout=30)
        connection.request("GET", f"{proxied.prefix}/", headers={"Host": HOST, **authorization})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (403, b"Signing in needs TLS here.\n")
        assert "WWW-Authenticate" not in answer.headers
        assert "Strict-Transport-Security" not in answer.headers
        connection.close()


def test_a_proxy_that_signs_people_in(tmp_path: Path) -> None:
    (tmp_path / "people.json").write_text(
        json.dumps({"principals": [*PEOPLE["principals"], {"kind": "individual", "name": "eve"}]})
    )
    settings = {
        "network.workers": 1,
        "network.trusted_proxies": "127.0.0.1/32",
        "network.external_url": f"https://{HOST}/koyomi",
        "sign_in.remote_user_header": "Remote-User",
    }
    server = ServerProcess(tmp_path / "data", tmp_path / "server.log", settings)
    server.command("principals", "load", str(tmp_path / "people.json"))
    with running(server), nginx(tmp_path, server, prefix="/koyomi", signs_in=True) as proxied:
        uid = proxied.property("/koyomi/", "current-user-principal")
        assert uid == proxied.property("/koyomi/principals/users/ada/", "principal-URL")
        assert proxied.ask("PROPFIND", "/koyomi/calendars/users/ada/", Depth="0")[0] == 207
        # What a client claims does not get through.
        assert proxied.ask("PROPFIND", "/koyomi/calendars/users/eve/", Depth="0", Remote_User="eve")[0] == 403
        wrong = "Basic " + base64.b64encode(b"ada:wrong").decode()
        assert proxied.ask("GET", "/koyomi/", Authorization=wrong, Remote_User="ada")[0] == 401
