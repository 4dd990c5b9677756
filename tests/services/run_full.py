"""Serve with everything that Koyomi can use, for trying out: `make run-full`. Arguments go to `koyomi serve`."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.fixtures.kafka import FOLDER, kafka

ROOT = Path(__file__).resolve().parents[2]
KOYOMI = Path(sys.executable).with_name("koyomi")


def main() -> int:
    """Start Apache Kafka and a server that uses it; both end together."""
    subprocess.run([ROOT / "tests" / "services" / "kafka" / "fetch", FOLDER], check=True)
    with kafka() as broker:
        print(f"Apache Kafka listens on {broker.servers}", flush=True)
        settings = {
            "KOYOMI_EVENTS_BUS": "kafka",
            "KOYOMI_EVENTS_KAFKA_SERVERS": broker.servers,
            "KOYOMI_EVENTS_KAFKA_REPLICATION": "1",
            "KOYOMI_EVENTS_KAFKA_MIN_IN_SYNC": "1",
        }
        server = subprocess.Popen([KOYOMI, "serve", *sys.argv[1:]], env=os.environ | settings)
        while True:
            # Ctrl-C reaches the server, too: wait until it has ended.
            with suppress(KeyboardInterrupt):
                return server.wait()


if __name__ == "__main__":
    sys.exit(main())
