"""A Koyomi server in a process of its own, on data of its own, for tests, the conformance run and benchmarks."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from server.settings.explain import variable

COMMAND = Path(sys.executable).with_name("koyomi")
SHARED = Path(os.environ.get("SHARED") or Path(__file__).resolve().parents[2] / "shared")
"""The folder with the conformance suite, the accounts and the load harness."""


_PORTS = iter(random.sample(range(10_000, 32_000), 22_000))
"""Below the ports that the system gives to clients (from 32768): no connection takes one before a server does."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has, another one each time."""
    for port in _PORTS:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("No port is left.")


@dataclass
class ServerProcess:
    """`koyomi serve` on a data folder; other commands can be run on the same data at any time."""

    data: Path
    log: Path
    """File that the server's output is appended to."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings by option name, as `network.workers`."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    code: Path | None = None
    """A folder with the code of another version of Koyomi, which runs in the place of this one."""
    named: Callable[[str], str] = variable
    """Gives the environment variable of an option, for versions that named them otherwise."""

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The caller's environment, with exactly these settings of Koyomi."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KOYOMI_")}
        settings: dict[str, object] = {"storage.data": self.data, "network.port": self.port, **self.settings}
        if programs := os.environ.get("KOYOMI_TEST_POSTGRES_BIN"):
            settings.setdefault("storage.postgres_bin", programs)
        if self.code is not None:
            # The settings file of this folder is one of this version.
            clean |= {"PYTHONPATH": str(self.code), "KOYOMI_CONFIG": os.devnull}
        return clean | {self.named(name): str(value) for name, value in settings.items()}

    def command(self, *words: str) -> str:
        """Run a command of `koyomi` to its end and give what it prints; its errors appear in the raised message."""
        done = subprocess.run([COMMAND, *words], env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"koyomi {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, seconds: float = 90) -> None:
        """Start the server and wait until it answers."""
        with self.log.open("ab") as output:
            # a session of its own: Ctrl-C at the terminal reaches the caller alone, who then stops the server
            self.process = subprocess.Popen(
                [COMMAND, "serve"], env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + seconds
        while not self.answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"koyomi serve ended with {self.process.returncode}; its output: {self.log}")
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"koyomi serve did not answer within {seconds} s; its output: {self.log}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Whether the server answers, and not with an error of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self, seconds: float = 60) -> int:
        """Stop the server as an administrator does, and give its exit code."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise RuntimeError(f"koyomi serve did not stop within {seconds} s; its output: {self.log}") from None

    def root_pids(self) -> list[int]:
        """The process ids of the roots of the trees that do the work: the server and its PostgreSQL."""
        assert self.process is not None
        postmasters = [int(path.read_text().split()[0]) for path in self.data.rglob("postmaster.pid")]
        return [self.process.pid, *postmasters]


@contextlib.contextmanager
def running(server: ServerProcess) -> Iterator[ServerProcess]:
    """Start the server, and stop it at the end whatever happens."""
    try:
        server.start()
        yield server
    finally:
        server.stop()
