"""The README's examples of curl, run as printed against a server, and where discovery leads."""

import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, running

README = Path(__file__).resolve().parents[2] / "README.md"
ADA = {"id": "ada", "name": "ada", "kind": "individual", "display_name": "Ada", "emails": [], "password": "secret"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("readme")
    (folder / "accounts.json").write_text(json.dumps({"principals": [ADA]}))
    made = ServerProcess(folder / "data", folder / "server.log", {"network.workers": 1})
    made.command("principals", "load", str(folder / "accounts.json"))
    made.start()
    yield made
    assert made.stop() == 0


def location(port: int, path: str, method: str = "GET") -> tuple[int, str | None]:
    """Status and Location of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path)
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.getheader("Location")


def example() -> str:
    """The shell commands of the README's section on curl."""
    found = re.search(r"^### curl\n\n```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_curl_examples_work_as_printed(server: ServerProcess) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    given = "URL=http://127.0.0.1:5232 NAME=ada PASSWORD=secret"
    assert given in example()
    script = example().replace(given, f"URL={server.url} NAME=ada PASSWORD=secret")
    # each answer on a line of its own, with its status
    shell = 'curl() { command curl -sS -w "\\nstatus %{http_code}\\n" "$@"; }\n'
    done = subprocess.run(["bash", "-e", "-c", shell + script], capture_output=True, text=True, check=True)
    statuses = re.findall(r"^status (\d+)$", done.stdout, re.MULTILINE)
    assert statuses == ["207", "201", "200", "207", "207", "204"], done.stdout + done.stderr
    answers = re.split(r"^status \d+$", done.stdout, flags=re.MULTILINE)
    assert "/principals/" in answers[0]
    assert "SUMMARY:Lunch" in answers[2]
    assert "lunch.ics" in answers[3]
    assert "sync-token" in answers[4]


@pytest.mark.parametrize("service", ["caldav", "carddav"])
@pytest.mark.parametrize("method", ["GET", "PROPFIND", "OPTIONS"])
def test_well_known_leads_to_the_root_without_signing_in(server: ServerProcess, service: str, method: str) -> None:
    assert location(server.port, f"/.well-known/{service}", method) == (301, "/")


def test_behind_a_path_prefix_well_known_leads_to_it(server: ServerProcess) -> None:
    settings = {
        "network.workers": 1,
        "network.external_url": "https://example.org/koyomi",
        "network.trusted_proxies": "127.0.0.1",
    }
    prefixed = ServerProcess(server.data, server.log, settings)  # beside the other, on the same data
    with running(prefixed):
        assert location(prefixed.port, "/.well-known/caldav") == (301, "/koyomi/")
        for prefix in ("/koyomi", ""):  # left in the path by the proxy, or taken off
            url = f"{prefixed.url}{prefix}/calendars/users/ada/calendar"
            done = subprocess.run(
                ["curl", "-sS", "-u", "ada:secret", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", url],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert (
                done.stdout == f"301 http://ada:secret@127.0.0.1:{prefixed.port}/koyomi/calendars/users/ada/calendar/"
            )
