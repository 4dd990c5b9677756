"""Measure Koyomi beside other servers: `make bench`.

Starts Koyomi on a fresh embedded PostgreSQL with the users that the load harness knows, measures it and the peers in
one run, and leaves the tables under build/bench/. Options that are not known here go to the harness, such as
--repeat 3 --duration 3 --events 1000 --users 8. Scheduling is measured beside Cyrus alone (`benchmarks.scheduling`),
finding rooms and times alone (`benchmarks.rooms`), and the bus beside a broker of its own (`benchmarks.bus`, after
`tests/services/kafka/fetch`); --parts names those of the parts that are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # as a script, this file's own folder is there instead

from benchmarks import bus, rooms, scheduling  # noqa: E402
from tests.server_process import SHARED, ServerProcess, running  # noqa: E402

BENCH = SHARED / "bench"
BUILD = ROOT / "build" / "bench"
USERS = [f"user{number:02}" for number in range(1, 21)]


def harness() -> Path:
    """The Python of the harness's own environment, made on first use."""
    home = Path(os.environ.get("LAB") or "/tmp/koyomi-peers") / "bench"
    python = home / "bin" / "python"
    stamp = home / "installed"
    requirements = BENCH / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return python


def main() -> int:
    """Measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--peers", default="cyrus,radicale,xandikos", help="servers to measure beside Koyomi")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of Koyomi")
    parser.add_argument("--parts", default="operations,scheduling,rooms,bus", help="what to measure")
    options, further = parser.parse_known_args()
    parts = options.parts.split(",")

    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    code = measure_operations(options.peers, options.workers, further) if "operations" in parts else 0
    if "scheduling" in parts:
        beside_cyrus = "cyrus" in options.peers.split(",")
        table = scheduling.run(beside_cyrus, scheduling.SIZES, scheduling.ROUNDS, options.workers, bursts=True)
        (BUILD / "scheduling.md").write_text(table + "\n")
        print(table)
    if "rooms" in parts:
        table = rooms.run()
        (BUILD / "rooms.md").write_text(table + "\n")
        print(table)
    if "bus" in parts:
        table = bus.run()
        (BUILD / "bus.md").write_text(table + "\n")
        print(table)
    return code


def measure_operations(peers: str, workers: int, further: Sequence[str]) -> int:
    """Measure single operations by the load harness, and give its exit code."""
    python = harness()
    people = [
        {"id": name, "name": name, "kind": "individual", "display_name": name, "emails": [], "password": name}
        for name in USERS
    ]
    (BUILD / "accounts.json").write_text(json.dumps({"principals": people}))
    server = ServerProcess(BUILD / "data", BUILD / "server.log", {"network.workers": workers})
    server.command("principals", "load", str(BUILD / "accounts.json"))
    version = server.command("version").splitlines()[0]
    with running(server):
        pids = ",".join(str(pid) for pid in server.root_pids())
        template = f"{server.url}/calendars/users/{{user}}/calendar/"
        label = f"{version}, {workers} workers, embedded PostgreSQL"
        command = [python, BENCH / "compare.py", "--peers", peers, "--out", BUILD, *further]
        command += ["--server", f"koyomi;{server.url}/;{template};{pids};{label}"]
        return subprocess.run([str(word) for word in command], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
