"""A PostgreSQL such as people run themselves: Debian's, with password authentication over TCP."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.server_process import free_port

BINARIES = Path("/usr/lib/postgresql/15/bin")
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class OwnPostgres:
    """A running one."""

    folder: Path
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def dsn(self, role: str = "postgres", database: str = "postgres") -> str:
        """A URL with the password that all roles of the tests have."""
        return f"postgresql://{role}:pw%40pw@127.0.0.1:{self.port}/{database}"


def as_account(*command: str | Path, shell: str = "") -> None:
    """Run a program, or commands, in the name of the account that PostgreSQL runs as."""
    subprocess.run(
        ["bash", "-ec", shell] if shell else [str(word) for word in command],
        env={"PATH": f"{BINARIES}:{os.defpath}", "LC_ALL": "C"},
        check=True,
        capture_output=True,
        **_account(),  # type: ignore[call-overload]
    )


def _account() -> dict[str, int]:
    """As root it is another one, since PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def own_folder(folder: Path) -> Path:
    """A folder of that account."""
    folder.mkdir()
    if account := _account():
        os.chown(folder, account["user"], account["group"])
    folder.chmod(0o700)
    return folder


def make(folder: Path) -> None:
    """Make a data directory in a folder that `own_folder` made."""
    password = folder / "password"
    as_account(shell=f"umask 077; echo pw@pw > {password}")
    as_account(
        BINARIES / "initdb", "-D", folder / "data", "-U", "postgres", "--encoding=UTF8", "--locale=C.UTF-8",
        "--auth=scram-sha-256", f"--pwfile={password}",
    )  # fmt: skip


@contextlib.contextmanager
def own_postgres(folder: Path) -> Iterator[OwnPostgres]:
    """Run it on the data directory in a folder until the end of the context."""
    port = free_port()
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [BINARIES / "postgres", "-D", folder / "data", "-p", str(port), "-c", f"unix_socket_directories={folder}"],
            stdout=log,
            stderr=log,
            **_account(),  # type: ignore[call-overload]
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(
            [BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
        ).returncode:
            assert process.poll() is None, Path(log.name).read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield OwnPostgres(folder, port)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
