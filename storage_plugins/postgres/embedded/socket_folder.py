"""The folder of PostgreSQL's socket: in the data folder, or a short private folder if the path would be too long."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path

from server.domain.errors import ConfigurationError
from storage_plugins.postgres.embedded.account import Account
from storage_plugins.postgres.embedded.cluster_settings import PORT
from storage_plugins.postgres.embedded.postmaster import PidFile

_LIMIT = 103
"""Bytes of a socket's path on the strictest system (macOS), without the NUL."""


def socket_folder(place: Path, account: Account) -> Path:
    """A folder for the socket that only `account` may enter: `place`, or a short one that `place` becomes a link to.

    A short one that is there from earlier is used again. Raises `ConfigurationError` if even the folder for temporary
    files has too long a path.
    """
    if place.is_symlink():
        earlier = place.resolve()
        if _fits(earlier) and _is_private(earlier, account):
            return earlier
        place.unlink()
    if _fits(place):
        place.mkdir(mode=0o700, exist_ok=True)
        os.chown(place, account.uid, account.gid)
        place.chmod(0o700)
        return place
    if place.exists():
        # The data folder was moved; nothing but old sockets is in here.
        shutil.rmtree(place)
    for folder in (tempfile.gettempdir(), "/tmp"):  # noqa: S108
        short = Path(tempfile.mkdtemp(prefix="koyomi-", dir=folder)).resolve()
        if _fits(short):
            os.chown(short, account.uid, account.gid)
            place.symlink_to(short)
            return short
        short.rmdir()
    raise ConfigurationError(
        f"The path {place} is too long for a socket, and so is that of temporary files; set TMPDIR=/tmp"
    )


def remove_short_folder(place: Path) -> None:
    """Remove the short folder that `place` is a link to, if it is one."""
    if place.is_symlink():
        with contextlib.suppress(OSError):
            place.resolve().rmdir()
        place.unlink()


def socket_files(folder: Path) -> tuple[Path, Path]:
    """The socket and its lock file."""
    name = f".s.PGSQL.{PORT}"
    return folder / name, folder / f"{name}.lock"


def answers(noted: PidFile) -> bool:
    """Whether something listens on the socket that a pid file names."""
    if noted.socket_folder is None or noted.port is None:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        try:
            client.connect(str(noted.socket_folder / f".s.PGSQL.{noted.port}"))
        except OSError:
            return False
    return True


def _fits(folder: Path) -> bool:
    return len(os.fsencode(socket_files(folder)[0])) <= _LIMIT


def _is_private(folder: Path, account: Account) -> bool:
    try:
        facts = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and facts.st_uid == account.uid and facts.st_mode & 0o7777 == 0o700
