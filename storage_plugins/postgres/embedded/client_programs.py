"""PostgreSQL's client programs (pg_dump, psql, pg_basebackup): finding and running them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

from server.domain.errors import ConfigurationError, DatabaseError
from storage_plugins.postgres.embedded.binaries import find_binaries, major_version

_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class ClientPrograms:
    """The programs of one folder."""

    folder: Path

    def path(self, name: str) -> Path:
        """A program. Raises `ConfigurationError` when it is missing."""
        found = self.folder / name
        if not os.access(found, os.X_OK):
            raise ConfigurationError(
                f"{name} is missing in {self.folder}; install PostgreSQL's client programs "
                "(Debian: postgresql-client), or name another folder with storage.postgres_bin"
            )
        return found


def client_programs(setting: Path | None, server_major: int) -> ClientPrograms:
    """Programs that are not older than a server. Raises `ConfigurationError`."""
    folders = [setting] if setting else []
    if not setting:
        with contextlib.suppress(ConfigurationError):
            folders.append(find_binaries().folder)
        named = shutil.which("pg_dump")
        folders += [Path(f"/usr/lib/postgresql/{server_major}/bin")]
        folders += [Path(named).resolve().parent] if named else []
    for folder in folders:
        if os.access(folder / "pg_dump", os.X_OK) and os.access(folder / "postgres", os.X_OK):
            if major_version(folder) >= server_major:
                return ClientPrograms(folder)
        elif os.access(folder / "pg_dump", os.X_OK):
            return ClientPrograms(folder)
    raise ConfigurationError(
        f"PostgreSQL's client programs of version {server_major} or newer are missing; install them "
        "(Debian: postgresql-client), and name their folder with storage.postgres_bin"
    )


def connection(dsn: str) -> tuple[str, dict[str, str]]:
    """A database's URL without its password, and the environment in which a program finds that.

    A command line can be read by everyone on the machine.
    """
    parts = urlsplit(dsn)
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PG")}
    if parts.password is not None:
        environment["PGPASSWORD"] = unquote(parts.password)
        user, _, host = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user.partition(':')[0]}@{host}")
    url = urlunsplit(parts)
    if not parts.netloc:
        # urlunsplit leaves the slashes of an empty host out.
        url = url.replace(f"{parts.scheme}:/", f"{parts.scheme}:///", 1)
    environment["PGAPPNAME"] = "koyomi backup"
    return url, environment


def run(command: list[str | Path], environment: Mapping[str, str], *, show_progress: bool = False) -> None:
    """Run a program to its end. Raises `DatabaseError` with its output."""
    done = subprocess.run(  # noqa: S603
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if show_progress else subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise DatabaseError(_said(command[0], done.returncode, done.stderr or ""))


def pipe_from(
    command: list[str | Path], environment: Mapping[str, str], target: IO[bytes], progress: Callable[[int], None]
) -> None:
    """Run a program and write its output to a file. `progress` is called with numbers of bytes. Raises
    `DatabaseError`."""
    _copy(command, environment, progress, reading=target)


def pipe_to(
    command: list[str | Path], environment: Mapping[str, str], source: IO[bytes], progress: Callable[[int], None]
) -> None:
    """Run a program with a file as its input. Raises `DatabaseError`."""
    _copy(command, environment, progress, writing=source)


def _copy(
    command: list[str | Path],
    environment: Mapping[str, str],
    progress: Callable[[int], None],
    *,
    reading: IO[bytes] | None = None,
    writing: IO[bytes] | None = None,
) -> None:
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603
            command,
            env=dict(environment),
            stdin=subprocess.PIPE if writing else subprocess.DEVNULL,
            stdout=subprocess.PIPE if reading else subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            if reading is not None:
                assert process.stdout is not None
                while chunk := process.stdout.read(_CHUNK):
                    reading.write(chunk)
                    progress(len(chunk))
            if writing is not None:
                assert process.stdin is not None
                try:
                    for line in writing:
                        process.stdin.write(line)
                        progress(len(line))
                    process.stdin.close()
                except BrokenPipeError:
                    pass  # it has exited, and its output has the reason
        except BaseException:
            process.kill()
            raise
        finally:
            status = process.wait()
        if status:
            errors.seek(0)
            raise DatabaseError(_said(command[0], status, errors.read(100_000).decode(errors="replace")))


def _said(program: str | Path, status: int, text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return f"{Path(program).name} failed: {(wrong or lines or [f'exit status {status}'])[0]}"


def on_terminal() -> bool:
    """Whether progress is displayed."""
    return sys.stderr.isatty()
